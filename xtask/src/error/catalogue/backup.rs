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
}
