//! Errors of `backup`.

use super::catalogue;

catalogue! {
    "Backup", "A backup changes nothing live, and one that is not whole and verified leaves nothing.";

    /// A swap or an undo in the database has not ended: its live collections are of no one moment.
    restore_midway(operation, database) Refused
        "restore {operation} of `{database}` is under way or stopped midway: a backup would mix collections of before and after, and lack what stands aside",
        live "collections of the backup and of before may be mixed; no data is lost, and no backup was made",
        next "cargo xtask restore --resume {operation}   (or --undo {operation}), then run the command again";

    /// A restore renamed collections while the dump ran.
    restore_during_backup(collection) Refused
        "a restore renamed collections while the dump ran (`{collection}`)",
        live "the restore was not disturbed, and no backup was made",
        next "wait for the restore (cargo xtask restore --list), and run the command again";

    /// The backup of what is live is only on a machine that is gone after its job.
    backup_only_here(id) Refused
        "the backup {id} is only on this machine, which is gone with its disk when the job ends",
        live "nothing live was changed",
        next "add a storage off this machine to pipeline.toml (github, azure, s3, or off_machine = true for a folder or an rclone remote that is one); or do as production-deploy.yml does: --prepare, upload the backup as the artifact mongodb-backup-{id}, --resume";

    /// A job begins a live change in one process, and no storage outlives its machine.
    no_storage_off_machine(kind) Refused
        "this machine is gone when its job ends, and no storage of pipeline.toml outlives it: nothing would have the backup of what is live",
        live "nothing was changed",
        next "add a storage off this machine to pipeline.toml (github, azure, s3, or off_machine = true for a folder or an rclone remote that is one); or run it in three steps: cargo xtask {kind} --prepare, upload of the backup as an artifact, cargo xtask {kind} --resume OPERATION";

    /// A differential backup without the full one.
    base_unusable(id, base, why) Failed
        "the backup {id} is a differential one and cannot be read without the full backup {base}: {why}",
        live "nothing was changed",
        next "get {base} back into a storage or beside {id} (cargo xtask backup list), or use another backup";

    /// A file or folder that mongodump wrote by itself, where a backup is asked for.
    dump_of_mongodump(path, quoted) Usage
        "{path} is a dump of mongodump and no backup of this program: nothing is recorded that it could be checked by",
        live "nothing was changed",
        next "make a verified backup of it: cargo xtask backup import {quoted}";

    /// What is to be imported cannot be read as a dump.
    not_a_dump(path, why) Usage
        "{path} cannot be imported as a dump of mongodump: {why}",
        live "nothing was changed, and no backup was made",
        next "name a whole archive (mongodump --archive), compressed or not, or the folder that mongodump wrote (unpacked from a tar or zip file): cargo xtask backup import DUMP";

    /// A dump that has nothing of the environment's database.
    dump_of_others(path, databases, database) Usage
        "{path} has {databases}, and nothing of the database `{database}`",
        live "nothing was changed, and no backup was made",
        next "name a dump of `{database}` (a folder of one database has its name), or the environment that it is of: --env ENVIRONMENT";

    /// A file or folder that has no `backup-metadata.json`.
    without_metadata(path) Usage
        "{path} has no backup-metadata.json, so that nothing is recorded that it could be checked by",
        live "nothing was changed",
        next "copy the backup-metadata.json of the same backup beside it, or name the backup by its id (cargo xtask backup list); unpack a tar or zip file of a dump first and name its folder; docs/EMERGENCY.md has the commands for the file alone";

    /// Some storages let nothing be deleted.
    prune_incomplete(deleted, count, left, remedy) Failed
        "deleted {deleted} old backups, and {count} could not be deleted: {left}",
        live "nothing live was changed, and every backup that is to be kept is there",
        next "{remedy}";

    /// An encrypted backup, and no key here.
    key_missing(file, why) Usage
        "{file} is encrypted, and no key (age identity) was given: {why}",
        live "nothing was changed",
        next "give the age identity (AGE-SECRET-KEY-1…) that reads the backups in that variable, and run the command again";

    /// An encrypted backup, and another key than the ones that it was encrypted to.
    key_wrong(file, variable, recipients) Usage
        "{file} was encrypted to other keys than the one in the environment variable {variable}",
        live "nothing was changed; the backup is not damaged by this",
        next "set {variable} to the age identity of one of: {recipients}";

    /// The variable holds something else than a key.
    key_unusable(variable, cause) Usage
        "the environment variable {variable} holds no usable age identity: {cause}",
        live "nothing was changed",
        next "set {variable} to the text of an age identity file (AGE-SECRET-KEY-1…) or of an ssh private key without passphrase";

    /// The secret that masked values are hashed with could be found by trying.
    mask_key_short(variable, why) Usage
        "the secret in {variable}, which masked values are hashed with, cannot be used: {why}",
        live "nothing was changed",
        next "set {variable} to a random secret (openssl rand -hex 32) and run the command again";

    /// A mask names nothing: a typing error would let values through.
    mask_without_collection(mask, id) Usage
        "the mask `{mask}` names no collection of backup {id}",
        live "nothing was changed",
        next "correct [mask] in pipeline.toml, or remove the mask there";

    /// A collection with dots in its name, and a mask of its `_id`.
    mask_of_id(mask, collection) Usage
        "the mask `{mask}` is of the `_id` of `{collection}`, which cannot be masked",
        live "nothing was changed",
        next "correct [mask] in pipeline.toml";

    /// One value for all documents, and a unique index.
    mask_breaks_index(mask, index, collection) Refused
        "the mask `{mask}` gives all documents one value, and the index `{index}` of `{collection}` is unique",
        live "nothing was changed",
        next "write \"hash\" for it in [mask] of pipeline.toml";

    /// A value has no hash, or the backup cannot be read.
    copy_not_made(id, cause) Failed
        "the masked copy of backup {id} was not made: {cause}",
        live "nothing was changed, and nothing of the copy remains",
        next "fix the cause (a mask: in [mask] of pipeline.toml) and run the command again";

    /// `backup verify` found damage, or could not read a backup.
    backups_not_good(backups, next) Failed
        "not good: {backups}",
        live "nothing was changed",
        next "{next}";

    /// A drill took longer than a restore may take.
    drill_too_slow(took, budget) Failed
        "the restore took {took} of the {budget} it may take",
        live "nothing live was changed",
        next "take a new backup and drill again; if it fails again, do not deploy";

    /// A drill found differences.
    drill_not_equal(backup) Failed
        "what was restored of {backup} is not what was backed up",
        live "nothing live was changed",
        next "take a new backup and drill again; if it fails again, do not deploy";
}
