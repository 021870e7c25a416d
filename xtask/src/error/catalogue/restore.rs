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

    /// `--forget` of a restore that has not ended.
    forget_midway(operation) Refused
        "restore {operation} stopped midway",
        live "collections of the backup and of before may be mixed; nothing was dropped",
        next "cargo xtask restore --resume {operation}   (or --undo {operation})";

    /// `--forget` before `keep_old_hours` have passed.
    forget_too_young(operation, age_hours, kept_hours) Refused
        "restore {operation} is {age_hours} h old; its previous collections are kept for {kept_hours} h",
        live "nothing was dropped",
        next "wait, or lower `keep_old_hours` in pipeline.toml";

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

    /// The restored data are part of another operation.
    part_of_operation(operation, kind) Refused
        "{operation} is a {kind}, and the restored data are a part of it",
        live "nothing was changed",
        next "cargo xtask {kind} --resume {operation}   (or --undo {operation})";
}
