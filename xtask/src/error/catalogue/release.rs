//! Errors of deploy, rollback and their undo.

use super::catalogue;

catalogue! {
    "Deploy and rollback", "A preflight lists every problem in one error.";

    /// The undo of the first release.
    no_release_before(tag) Refused
        "there was no release before {tag}",
        live "{tag} is live",
        next "fix the problem and deploy: cargo xtask deploy";

    /// The operation ended without a release.
    nothing_to_undo(operation, ended) Usage
        "{operation} has ended ({ended}) and made no release: nothing to undo",
        live "nothing was changed",
        next "cargo xtask releases";

    /// A deploy whose checks failed, with no automatic rollback.
    release_unhealthy(tag, health, next) Midway
        "the checks after the release of {tag} failed",
        live "{tag} is live and recorded as {health}",
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
}
