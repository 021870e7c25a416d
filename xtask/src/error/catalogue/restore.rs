//! Errors of `restore`, and of the restore that a rollback makes.

use super::catalogue;

catalogue! {
    "Restore", "The backup is restored beside the live data first; what was live stays until `restore --forget`.";

    /// The restore was made in another database than the chosen one.
    other_database(operation, database) Refused
        "restore {operation} was made in the database `{database}`",
        live "nothing was changed",
        next "choose the environment of that database with --env";

    /// `prepare` after the swap began.
    swap_has_begun(operation) Refused
        "the swap of restore {operation} has begun",
        live "collections of the backup and of before may be mixed; no data is lost",
        next "cargo xtask restore --resume {operation}   (or --undo {operation})";

    /// The preflight found problems; they are listed one a line.
    blocked(problems) Refused
        "the restore is blocked by:{problems}",
        live "nothing was changed",
        next "fix what is listed and run the command again";

    /// The shadow could not be filled, or differs from the backup; it was dropped.
    not_prepared(cause) Failed
        "{cause}",
        live "nothing live was changed",
        next "fix the cause and run the command again";

    /// The same, and the shadow could not be dropped.
    not_prepared_and_not_cleared(cause, operation) Failed
        "{cause}",
        live "nothing live was changed",
        next "fix the cause and run the command again; `cargo xtask restore --forget {operation}` drops what is left";

    /// Documents were changed after those that are put back in place were compared. They are listed one a line.
    changed_since_planned(count, documents) Refused
        "{count} documents that are put back in place were changed since they were compared, among them:{documents}",
        live "nothing live was changed",
        next "run the command again; with --conflicts keep they stay as they are, with --conflicts restore the backup's take their place";

    /// A migration made a time-series collection of the name that a collection must get.
    timeseries_blocks(names) Refused
        "`{names}` is a time-series collection now, which can neither be renamed nor replaced",
        live "nothing live was changed",
        next "export it with mongodump and drop it, then run the command again: see \"Time-series collections\" in docs/RESTORE.md";

    /// Documents of a collection were put back in place, and it was dropped or replaced by something else since.
    put_back_gone(names) Refused
        "`{names}` is no collection any more: an undo has only the documents that were put back in it",
        live "nothing live was changed",
        next "restore the safety backup that was taken before it: `cargo xtask backup list`";

    /// The backup file is not what its metadata say.
    backup_damaged(file, problems) Failed
        "{file} is damaged or is not the file that was stored: {problems}",
        live "nothing was changed",
        next "choose another copy or another backup: cargo xtask backup list";

    /// An operation id that belongs to no restore.
    unknown_restore(operation) Usage
        "there is no restore {operation}",
        live "nothing was changed",
        next "`cargo xtask restore --list` shows them";

    /// No restore of this id has begun, in the journals here or in the database.
    nothing_begun(operation, database) Usage
        "no restore {operation} has begun, here or in `{database}`",
        live "nothing was changed",
        next "cargo xtask restore --list";

    /// `--resume` of a restore that has ended. `advice` is what can still be done.
    ended(operation, advice) Refused
        "restore {operation} has ended: there is nothing to resume",
        live "what the restore made live, and what was written since",
        next "{advice}";

    /// `--resume` or `--undo` of a restore that was undone. `advice` is what can still be done.
    undone(operation, advice) Refused
        "restore {operation} was undone",
        live "what was live before it, and what was written since",
        next "{advice}";

    /// `--resume` after an undo has begun.
    undo_begun(operation) Refused
        "the undo of restore {operation} has begun: it cannot be resumed",
        live "collections of the backup and of before may be mixed; no data is lost",
        next "cargo xtask restore --undo {operation}";

    /// `--undo` of an older restore: what was live before it is not what was live before the newer one.
    newer_restore(operation, newer) Refused
        "restore {newer} was made after {operation}, and its data are live",
        live "nothing was changed",
        next "cargo xtask restore --undo {newer}, then undo {operation}   (once {newer} was forgotten, restore a backup: cargo xtask backup list)";

    /// Collections with the names of a restore, and no record of it anywhere.
    plan_lost(operation) Refused
        "the plan of restore {operation} is neither here nor in the database nor in the ledger",
        live "collections of the backup and of before may be mixed; nothing was changed",
        next "run the command on the machine that made the restore, or see \"Lost plans\" in docs/RESTORE.md";

    /// A resume or an undo failed, and the restore is as midway as it was.
    still_midway(operation, cause, command) Midway
        "{cause}",
        live "as restore {operation} left it: collections of the backup and of before may be mixed; no data is lost",
        next "{command}";

    /// `--forget` of a restore that was forgotten.
    forgotten_before(operation) Refused
        "restore {operation} was forgotten",
        live "nothing was changed",
        next "cargo xtask restore --list";

    /// The server failed while collections were dropped, every document of which is elsewhere.
    forget_stopped(operation, cause) Failed
        "not all that restore {operation} kept was dropped: {cause}",
        live "nothing live was changed",
        next "cargo xtask restore --forget {operation}";

    /// A storage has another file under the id of the backup that is restored.
    backup_replaced(id) Failed
        "the backup {id} has another hash than the plan of the restore: it was replaced",
        next "find the file that was meant (cargo xtask backup list), and put it into a storage of pipeline.toml";

    /// A rescue file is named where a backup is restored.
    rescue_is_no_backup(file) Refused
        "{file} is a rescue file: it has only what a backup had not",
        live "nothing was changed",
        next "cargo xtask restore --reinsert {file} puts its documents back where they are missing";

    /// The rescue file of what `--forget` drops is only where it may be lost.
    rescue_not_kept(operation, file) Refused
        "what restore {operation} keeps is in the rescue file {file}, and no storage has a copy of that file which was read back",
        live "nothing was dropped",
        next "correct the storages of pipeline.toml or their secrets, and run the command again; in a workflow's job a storage off its machine is needed";

    /// Documents that `--forget` would drop are in no file.
    not_elsewhere(operation, documents) Refused
        "{documents} documents kept by restore {operation} are neither in its backup nor in a rescue file",
        live "nothing was dropped",
        next "run the command again";

    /// A restore cannot continue after its undo.
    reverted(operation, backup) Refused
        "restore {operation} was undone or forgotten",
        live "what was live before it",
        next "cargo xtask restore {backup}";

    /// The previous collections are gone, so there is nothing to undo with.
    forgotten(operation) Refused
        "the previous collections of restore {operation} were dropped",
        live "what the restore made live",
        next "restore the safety backup that was taken before it: `cargo xtask backup list`";

    /// The restore stopped after its swap began.
    swap_stopped(operation, cause) Midway
        "the swap stopped: {cause}",
        live "collections of the backup and of before may be mixed; no data is lost",
        next "cargo xtask restore --resume {operation}   (or --undo {operation})";

    /// The undo stopped.
    undo_stopped(operation, cause) Midway
        "the undo stopped: {cause}",
        live "collections of the backup and of before may be mixed; no data is lost",
        next "cargo xtask restore --undo {operation}";

    /// Everything was done and proved, but the ledger could not be written.
    end_not_recorded(cause, command) Midway
        "the end could not be recorded in the ledger: {cause}",
        live "what was asked for is done and proved",
        next "{command}";

    /// `--forget` of a restore that has not ended. `advice` is what ends it.
    forget_midway(operation, advice) Refused
        "restore {operation} has not ended",
        live "collections of the backup and of before may be mixed; nothing was dropped",
        next "{advice}";

    /// `--forget` before `keep_old_hours` have passed.
    forget_too_young(operation, age_hours, kept_hours) Refused
        "restore {operation} is {age_hours} h old; its previous collections are kept for {kept_hours} h",
        live "nothing was dropped",
        next "wait, or lower `keep_old_hours` in pipeline.toml";

    /// Documents are put back only where they came from.
    not_reinsertable(file, problems) Refused
        "the documents of {file} cannot be put back:{problems}",
        live "nothing was changed",
        next "choose the environment that it was taken of with --env, or make the collections that are named with their indexes first";

    /// `--collection` names one that the backup or rescue file has not.
    no_such_collection(collection, file, has) Usage
        "{file} has no collection `{collection}`; it has {has}",
        live "nothing was changed",
        next "run the command again with one of them";

    /// Some documents are in, others are not; which, the server knows: a second run skips them.
    reinsert_stopped(cause, inserted) Midway
        "not every document was put back: {cause}",
        live "{inserted} documents were inserted; no document was changed",
        next "run the command again: it skips what is there";

    /// `--quiesce` without hooks.
    no_quiesce_hooks() Usage
        "--quiesce needs the hooks `[restore.quiesce]` in pipeline.toml",
        live "nothing was changed",
        next "write `before`, `after` and `deadline_s` there, or leave --quiesce out";

    /// The hook that lets writers continue failed.
    writers_kept_away(cause, outcome, command) Midway
        "cannot let the writers continue: {cause}",
        live "{outcome}",
        next "run it by hand: {command}";

    /// A release tag that has no backup.
    no_backup_of_release(why) Usage
        "{why}",
        live "nothing was changed",
        next "cargo xtask releases   (or name a backup of `cargo xtask backup list`)";

    /// `--to` names an environment that the configuration lacks.
    target_unknown(name, known) Usage
        "pipeline.toml has no environment `{name}`",
        live "nothing was changed",
        next "choose one of: {known}; or --to-uri-env with the name of a variable";

    /// `--to` names the environment that the command works on.
    target_is_source(name) Usage
        "`{name}` is the environment of the backup",
        live "nothing was changed",
        next "omit --to to restore it there";

    /// `--to` names a protected environment.
    target_protected(name) Refused
        "`{name}` is a protected environment: no copy of another environment's data goes there",
        live "nothing was changed",
        next "choose an environment that is not protected; a protected one is restored from its own backups, with --env {name}";

    /// The target of `--to` or `--to-uri-env` is the database of a protected environment, or of the chosen one.
    target_is_database_of(host, database, environment) Refused
        "`{database}` on {host} is the database of `{environment}`",
        live "nothing was changed",
        next "choose another database or another server";

    /// Nothing proves that the target is not a protected environment.
    target_unproved(environment, variable, why) Refused
        "nothing proves that the target is not the database of `{environment}`: the variable {variable}: {why}",
        live "nothing was changed",
        next "set {variable}, which is only read for its hosts; or choose a database of another name";

    /// The restored data are part of another operation.
    part_of_operation(operation, kind) Refused
        "{operation} is a {kind}, and the restored data are a part of it",
        live "nothing was changed",
        next "cargo xtask {kind} --resume {operation}   (or --undo {operation})";
}
