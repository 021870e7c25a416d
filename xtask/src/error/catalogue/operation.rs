//! Errors of the lock, the ledger and confirmations.

use super::catalogue;

catalogue! {
    "Operations", "Exit 3 means that another operation has precedence; exit 4 that this one must be resumed or undone.";

    /// Somebody else holds the lock.
    operation_under_way(kind, environment, holder, began, reason, seen_s, operation, lease_s) Refused
        "{kind} of {environment} is under way: {holder} began it at {began} UTC ({reason}), last heartbeat {seen_s} s ago",
        live "this command changed nothing",
        next "wait for {operation} to end and run the command again; `cargo xtask ledger` shows it. If its holder died, its lease runs out {lease_s} s after the last heartbeat; the command then watches for one before it takes over";

    /// The operation is not the unfinished one.
    not_resumable(why) Refused
        "{why}",
        live "this command changed nothing",
        next "`cargo xtask ledger` shows the operations and which one is unfinished";

    /// The remote has no ledger where there was one, or where it has releases.
    ledger_missing(environment, why) Refused
        "the git remote has no ledger of {environment}, although {why}: it is hidden or was removed",
        live "this command changed nothing",
        next "if the remote hides refs/xtask/ledger/{environment}, make it readable; if it was removed: cargo xtask ledger --repair";

    /// A commit of the ledger that another version wrote.
    ledger_of_another_version(commit, cause) Failed
        "the ledger cannot be read: {commit} was written by another version ({cause})",
        live "this command changed nothing",
        next "run the version that wrote it: update this clone, or use the program of the newest workflow run";

    /// Others kept appending to the ledger.
    ledger_too_busy(environment, attempts) Refused
        "others wrote to the ledger of {environment} during all of {attempts} attempts",
        live "this command changed nothing",
        next "run the command again";

    /// An earlier operation must be resumed or undone first.
    operation_left_unfinished(kind, operation, holder, step, reason) Refused
        "{kind} {operation} of {holder} was left unfinished after its step `{step}`: {reason}",
        live "as {kind} {operation} left it; this command changed nothing",
        next "cargo xtask {kind} --resume {operation}, or cargo xtask {kind} --undo {operation}";

    /// The lease ran out and another process took over.
    lock_taken_over(operation, holder) Midway
        "the lock of {operation} was taken over by {holder}: this process must not continue",
        live "in the hands of the new holder",
        next "cargo xtask ledger";

    /// The lease cannot be renewed.
    lease_too_short(left_s, operation) Midway
        "only {left_s} s are left of the lease of {operation}, too few for a live change",
        next "see `cargo xtask ledger`, then run the operation again with --resume";

    /// No terminal, or another text than the name was typed.
    not_confirmed(what, why) Refused
        "{what} was not confirmed: {why}",
        live "nothing was changed",
        next "run the command again and type the name, or add --yes";

    /// `--resume` or `--undo` of an operation that has ended.
    nothing_to_resume(operation) Usage
        "{operation} has ended: there is nothing to resume",
        live "nothing was changed",
        next "cargo xtask releases";

    /// `--resume` of an operation that was prepared long ago.
    prepared_too_long_ago(operation, minutes, kind) Refused
        "{operation} was prepared {minutes} minutes ago: its backup is not what is live now",
        live "nothing live was changed by it",
        next "run cargo xtask {kind} again: a new one takes the place of one that was only prepared";

    /// `--resume` of an operation that was prepared for data of another schema.
    schema_changed_since_prepared(operation, kind) Refused
        "the schema of the data (collections, options or indexes) has changed since {operation} was planned",
        live "nothing live was changed by it",
        next "run cargo xtask {kind} again: a new one takes the place of one that was only prepared";

    /// `--resume` after an undo has begun.
    undo_has_begun(operation, kind) Refused
        "the undo of {operation} has begun: it cannot be resumed",
        live "as the undo left it; this command changed nothing",
        next "cargo xtask {kind} --undo {operation}";

    /// A deploy of several parts failed after one of them was live, and was undone.
    operation_undone(cause) Failed
        "{cause}",
        live "every part of the live release serves again what it served before; the data were not changed",
        next "fix the cause and run the command again";

    /// An operation stopped after its first live step. `advice` comes first where something must be done before it is resumed.
    operation_stopped(cause, advice, kind, operation) Midway
        "{cause}",
        live "some steps of this operation are live, others are not; all of them are recorded",
        next "{advice}cargo xtask {kind} --resume {operation}   (or undo it: cargo xtask {kind} --undo {operation})";

    /// Commands of `[[restore.after]]` or `[[rollback.after]]` failed.
    after_failed(failed, again) Midway
        "what was asked for is done, and commands after it failed: {failed}",
        live "code and data are as they were asked for; nothing of that was undone",
        next "{again}   (it runs the missing commands; one that is taken out of pipeline.toml is left out)";

    /// `recover` with nothing to recover.
    nothing_unfinished(environment) Usage
        "no operation of {environment} is unfinished",
        live "this command changed nothing",
        next "cargo xtask ledger";

    /// No operation has this id.
    unknown_operation(environment, operation) Usage
        "the ledger of {environment} has no operation {operation}",
        live "nothing was changed",
        next "cargo xtask ledger";

    /// A deploy is not resumed as a rollback, nor the other way round.
    other_kind(operation, its_kind, kind) Usage
        "{operation} is a {its_kind}, not a {kind}",
        live "nothing was changed",
        next "cargo xtask {its_kind} --resume {operation}   (or --undo {operation})";

    /// The variable with the end of the job holds something else.
    job_end_invalid(variable) Usage
        "{variable} is not a time in seconds since 1970",
        live "nothing was changed",
        next "correct the step of the workflow that sets {variable}";

    /// A job that is ended by its limit would stop in the middle of a live change.
    job_ends_too_soon(left_s, needed_s) Refused
        "the job ends in {left_s} s, and what is to be changed live may take {needed_s} s",
        live "nothing live was changed",
        next "start the workflow again; where it does not fit into a whole job, raise `timeout-minutes` there and the minutes of XTASK_JOB_ENDS";

    /// The journal is locked by another process.
    journal_in_use(file) Refused
        "another process is writing {file}",
        live "this process changed nothing",
        next "wait for the other process to end, or end it, then run the command again";
}
