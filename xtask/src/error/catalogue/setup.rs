//! Errors of `init`, `generate`, `upgrade`, `setup` and `doctor`.

use super::catalogue;

catalogue! {
    "Init, generate, upgrade, setup and doctor", "Running any of them again is harmless.";

    /// `init` found what would hurt a release.
    init_blocked(findings, accepted) Refused
        "the repository has what would hurt a release or its rollback: {findings}",
        live "nothing was written",
        next "follow each `fix` above and run `cargo xtask init` again; or accept them: cargo xtask init --accept {accepted}";

    /// `init --pull-request` where something stands against it.
    no_pull_request(why, fix) Refused
        "no pull request can be made: {why}",
        live "nothing was written, committed or pushed",
        next "{fix}";

    /// `init --pull-request` failed after it began.
    pull_request_failed(cause, left, fix) Failed
        "the pull request could not be made: {cause}",
        live "{left}",
        next "{fix}";

    /// `init --setup` with something else than an action, as what documents write in the place of a name.
    setup_action_unusable(action) Usage
        "`{action}` is no action that workflows can use",
        live "nothing was written",
        next "name a folder of the repository (./…), or a real owner/repository/folder@commit; without --setup a mark stands in its place";

    /// `init DIR` without that folder.
    init_no_folder(dir) Usage
        "{dir} is no folder",
        live "nothing was written",
        next "name the root of a repository";

    /// `generate --check`: workflows do something else than pipeline.toml asks for.
    workflows_differ(differences) Failed
        "the workflows are not what pipeline.toml asks for:\n{differences}",
        live "nothing was written",
        next "cargo xtask generate";

    /// `generate` would write over the edits of somebody.
    workflows_edited(files) Refused
        "edited by hand, or written by somebody else: {files}",
        live "nothing was written",
        next "cargo xtask generate --check   (it shows what differs); then cargo xtask generate --force, and put your edits in again";

    /// `upgrade --to` names a version that this program is not.
    upgrade_to_other(wanted, program) Usage
        "this program is {program} and upgrades to its own version, not to {wanted}",
        live "nothing was written",
        next "install version {wanted} and run `cargo xtask upgrade` with it";

    /// `upgrade`: the team and the new version changed the same lines of a workflow.
    upgrade_conflicts(proposals) Refused
        "you and this version changed the same lines: {proposals}",
        live "nothing was written but these proposals, which have both sides between markers",
        next "edit the proposals until no marker is left, then run `cargo xtask upgrade` again";

    /// `doctor` found problems.
    doctor_problems(count) Failed
        "{count} problems",
        live "nothing was changed",
        next "follow each line, then run `cargo xtask doctor` again";

    /// `setup` applied its changes, and GitHub still differs.
    settings_missing(missing) Failed
        "still to do: {missing}",
        live "everything else is set up",
        next "set the secrets as environment variables, or each by `cargo xtask setup --secret NAME < FILE`; then run `cargo xtask setup` again";

    /// A private repository without GitHub Enterprise.
    no_required_reviewers(cause, pipeline_file, approvers_file) Failed
        "GitHub offers no required reviewers for this repository (private, without Enterprise): {cause}",
        live "what came before is set up; running the command again is harmless",
        next "set approval.method = \"signed-tag\" in {pipeline_file}, list the keys in {approvers_file}, and run `cargo xtask setup` again";

    /// `setup --secret` before the environment exists: secrets are kept in it.
    environment_missing(environment, repository) Failed
        "{repository} has no environment {environment} yet, which keeps the secrets",
        live "nothing was changed",
        next "cargo xtask setup   (it makes the environment, protected), then the same command again";

    /// `setup --secret` with a name that no configuration has.
    unknown_secret(name, known) Usage
        "pipeline.toml names no secret {name}",
        live "nothing was changed",
        next "choose from: {known}";
}
