//! Errors of deploy, rollback and their undo.

use super::catalogue;

catalogue! {
    "Deploy and rollback", "A preflight lists every problem in one error.";

    /// `--break-glass` while the remote answers.
    remote_answers(remote) Refused
        "the git remote {remote} answers: there is no need for --break-glass",
        live "nothing was changed",
        next "run the command without --break-glass";

    /// `--break-glass` with another name than that of the environment.
    glass_not_broken(given, environment) Refused
        "--break-glass was given `{given}`, not the name of the environment",
        live "nothing was changed",
        next "notify the team that nobody else may deploy or roll back, then: --break-glass {environment}";

    /// Another rollback without the ledger.
    emergency_taken(who) Refused
        "a rollback without the ledger is under way, or has ended and is not in the ledger yet: {who}",
        live "this command changed nothing",
        next "ask them; their machine resumes it with --break-glass, and `cargo xtask ledger --repair` appends it when the git remote answers";

    /// A rollback without the ledger stopped midway on another machine.
    emergency_elsewhere(who) Refused
        "the rollback without the ledger has not ended, and its records are on another machine: {who}",
        live "as that rollback left it",
        next "resume or undo it on that machine; if the machine is lost, docs/EMERGENCY.md has the way by hand";

    /// `ledger --repair` while a rollback without the ledger is midway here.
    emergency_unfinished(kind, operation, environment) Refused
        "{kind} {operation}, which runs without the ledger, has not ended",
        live "as {operation} left it",
        next "cargo xtask {kind} --break-glass {environment} --resume {operation}   (or --undo {operation}), then run the command again";

    /// A record or a plan names a part that the configuration has not any more.
    part_unknown(kind, name) Refused
        "pipeline.toml has no {kind} {name}, which the release has",
        live "nothing was changed",
        next "write the {kind} back to pipeline.toml and run the command again";

    /// The undo of the first release.
    no_release_before(tag) Refused
        "there was no release before {tag}",
        live "{tag} is live",
        next "fix the problem and deploy: cargo xtask deploy";

    /// `--undo` of an operation after which others made releases.
    not_the_last_operation(operation, made, newest, next) Refused
        "{operation} made {made}, which was replaced since: an undo of it would take away {newest} too",
        live "{newest} is live; nothing was changed",
        next "{next}";

    /// Something that a plan was made of has changed while its confirmation waited.
    changed_since_plan(changes) Refused
        "this changed after the plan was made: {changes}",
        live "this command changed nothing",
        next "run the command again: its plan is made of what is there now";

    /// The target of a rollback is what is live.
    live_already(tag, newest) Refused
        "{tag} is live already, as {newest}",
        live "nothing was changed",
        next "to restore the data alone: cargo xtask restore {tag} --plan";

    /// A record that no operation made is the target of a rollback.
    not_in_ledger(tag, choices) Refused
        "the record of {tag} is not the one that the ledger knows: no operation in the ledger made it",
        live "nothing was changed",
        next "choose one of: {choices}";

    /// The remote has a record of this operation that it did not write.
    recorded_otherwise(operation, tag) Refused
        "the remote has a record {tag} of {operation} that is not of what it made live",
        next "find out who pushed it, delete refs/xtask/releases/{tag} and the tag on the remote";

    /// `ledger --repair` changes nothing that exists.
    not_all_repaired(count) Refused
        "{count} problems cannot be repaired by this command",
        live "as it was; what is listed as pushed again is repaired",
        next "do what each line names, then run cargo xtask ledger --repair again";

    /// The operation ended without a release.
    nothing_to_undo(operation, ended) Usage
        "{operation} has ended ({ended}) and made no release: nothing to undo",
        live "nothing was changed",
        next "cargo xtask releases";

    /// A deploy whose checks failed, with no automatic rollback.
    release_unhealthy(tag, live, next) Midway
        "the checks after the release of {tag} failed",
        live "{live}",
        next "{next}";

    /// A deploy whose checks failed and which was rolled back.
    rolled_back_automatically(tag, restored, rollback) Failed
        "{tag} was unhealthy and was rolled back",
        live "{restored} is live again, as {rollback}",
        next "cargo xtask releases";

    /// The target of a rollback is live but its checks fail.
    rollback_unhealthy(tag, from) Midway
        "the checks after the rollback failed ({tag})",
        live "{tag} is live with the code and data asked for",
        next "cargo xtask health   (to undo: cargo xtask rollback {from} --reason \"…\")";

    /// The release that was replaced changed the restored data before it ended.
    rollback_data_migrated(tag, what, backup) Midway
        "the data of {tag} were changed by the release that it replaced: {what}",
        live "{tag} is live; its data are restored and changed since",
        next "cargo xtask restore {backup} --reason \"…\"   (the replaced release no longer runs; nothing is lost)";

    /// The same, where it only wrote documents, perhaps in a form that the target does not know.
    rollback_data_written(tag, what, backup) Midway
        "the checks after the rollback failed ({tag}), and documents were written into the restored data: {what}",
        live "{tag} is live; its data are restored and written to since",
        next "if the replaced release wrote them in another form: cargo xtask restore {backup} --reason \"…\"   (a rescue file keeps them)";

    /// The undo of a deploy that may have migrated the data, where Atlas alone kept them.
    data_only_in_snapshot(snapshot, cluster, operation) Midway
        "the deploy may have migrated the data, and those of before are only in the snapshot {snapshot} of the cluster {cluster} on Atlas",
        live "what the deploy made live stays live; the data stay as they are",
        next "cargo xtask deploy --resume {operation}   (then the rollback: its plan names the commands for the snapshot)";

    /// `releases`: a platform or a storage is away. What is known without it was printed.
    not_all_answered(which) Failed
        "the list is not complete: {which}",
        live "nothing was changed; the releases are as the ledger has them, and whether they are what serves is not known",
        next "cargo xtask doctor   (names what is wrong with token, platform or network), then cargo xtask releases";

    /// `rollback` without a tag.
    no_release_given(next) Usage
        "no release given",
        live "nothing was changed",
        next "{next}";

    /// `rollback` without `--reason`.
    no_reason_given() Usage
        "a rollback needs a reason",
        live "nothing was changed",
        next "add --reason \"what is wrong with the release\"";

    /// The tag of `rollback` names no release.
    not_a_target(tag, why, choices) Usage
        "cannot roll back to {tag}: {why}",
        live "nothing was changed",
        next "choose one of: {choices}";

    /// A filter or an attribute of the clone changes files.
    not_as_committed(files) Refused
        "the files to release are not what was committed: {files}",
        live "nothing was changed",
        next "search for a filter or for attributes in the clone's git configuration, or release from a new clone";

    /// The content of the files is not in this clone.
    only_pointers(files) Refused
        "these files are pointers of Git LFS, without their content: {files}",
        live "nothing was changed",
        next "git lfs install --local && git lfs fetch";

    /// `railway up` has rules about what it takes.
    left_out_of_upload(files, folder) Refused
        "`railway up` leaves these committed files out: {files}",
        live "nothing was changed",
        next "take them out of the rules in .ignore, or out of git: `git rm -r --cached {folder}`";

    /// Submodules within a part.
    empty_submodules(folders) Refused
        "the release would have empty folders in the place of submodules: {folders}",
        live "nothing was changed",
        next "take their files into this repository, for example by `git subtree add`";

    /// Rules of folders above count for an upload.
    rules_above(file) Refused
        "{file} decides about files below the folder for temporary files: an upload would leave some out",
        live "nothing was changed",
        next "set TMPDIR to a folder that has none of .git, .ignore and .railwayignore in or above it";
}
