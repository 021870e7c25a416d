//! Errors about approvals.

use super::catalogue;

catalogue! {
    "Approvals", "Nothing was changed: what cannot be proved counts as not approved.";

    /// A workflow run requests approval for a second plan.
    other_plan_requested(run, plan_sha256) Refused
        "run {run} has requested approval for another plan ({plan_sha256})",
        live "nothing was changed",
        next "start a new run of the workflow";

    /// GitHub or the git remote did not answer.
    approvers_unknown(cause) Refused
        "cannot determine the approvers: {cause}",
        live "nothing was changed",
        next "run the command again when GitHub and the git remote answer";

    /// Too few reviews count, or one rejects the plan.
    not_approved(plan, why, next) Refused
        "the plan {plan} is not approved: {why}",
        live "nothing was changed",
        next "{next}";

    /// The approver's own signature would not count.
    own_signature_unusable(why, approvers_file, branch) Refused
        "the approval {why}",
        live "nothing was changed",
        next "add a line for your key to {approvers_file} on {branch}";

    /// Reviews of all attempts of a run are in one list.
    rerun(run) Refused
        "run {run} is a re-run: its approvals cannot be distinguished from those of the first attempt",
        live "nothing was changed",
        next "start a new run of the workflow";

    /// The run has no recorded request.
    nothing_requested(run) Refused
        "run {run} has requested no approval",
        live "nothing was changed",
        next "start a new run of the workflow: its job `request` does that";

    /// Reviews on GitHub belong to a workflow run.
    no_workflow_run() Refused
        "approvals by GitHub's reviewers exist only for a workflow run (GITHUB_RUN_ID is not set)",
        live "nothing was changed",
        next "start the workflow, or set approval.method = \"signed-tag\" in pipeline.toml";

    /// The plan was edited after it was printed.
    plan_hash_differs(file) Refused
        "the plan in {file} does not have the hash it claims",
        live "nothing was changed",
        next "create the plan again with `--plan --format json`";
}
