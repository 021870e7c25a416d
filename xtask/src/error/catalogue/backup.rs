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
        next "add a storage off this machine to pipeline.toml (github, azure, or off_machine = true for a folder that is one); or do as production-deploy.yml does: --prepare, upload the backup as the artifact mongodb-backup-{id}, --resume";

    /// A job begins a live change in one process, and no storage outlives its machine.
    no_storage_off_machine(kind) Refused
        "this machine is gone when its job ends, and no storage of pipeline.toml outlives it: nothing would have the backup of what is live",
        live "nothing was changed",
        next "add a storage off this machine to pipeline.toml (github, azure, or off_machine = true for a folder that is one); or run it in three steps: cargo xtask {kind} --prepare, upload of the backup as an artifact, cargo xtask {kind} --resume OPERATION";

    /// A file or folder that mongodump wrote by itself, where a backup is asked for.
    dump_of_mongodump(path, options) Usage
        "{path} is a dump of mongodump and no backup of this program: nothing is recorded that it could be checked by",
        live "nothing was changed",
        next "fill a database of another name with it: mongorestore {options} --nsFrom='DATABASE.*' --nsTo='DATABASE_dump.*' (never with --drop); compare it, name it in pipeline.toml, and take a backup of it: cargo xtask backup create";

    /// A file or folder that has no `backup-metadata.json`.
    without_metadata(path) Usage
        "{path} has no backup-metadata.json, so that nothing is recorded that it could be checked by",
        live "nothing was changed",
        next "copy the backup-metadata.json of the same backup beside it, or name the backup by its id (cargo xtask backup list); docs/EMERGENCY.md has the commands for the file alone";

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
}
