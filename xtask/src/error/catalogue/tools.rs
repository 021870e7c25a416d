//! Errors of the outside programs and of the platforms behind them.

use super::catalogue;

catalogue! {
    "Tools and platforms", "";

    /// A signal asked the program to end.
    interrupted() Failed
        "interrupted by a signal";

    /// A program that is run cannot be started.
    program_missing(program, cause) Failed
        "{program} cannot be started: {cause}",
        live "nothing live was changed",
        next "cargo xtask doctor   (it names each program that is missing, and how to install it)";

    /// The network or the server of the git remote does not answer.
    git_remote_unreachable(remote, cause) Failed
        "the git remote {remote} cannot be reached: {cause}",
        live "nothing live was changed",
        next "git ls-remote {remote}   (run the command again when it answers; in an emergency: cargo xtask rollback TAG --break-glass ENVIRONMENT)";

    /// The git remote does not accept the account or key.
    git_remote_denied(remote, cause) Failed
        "the git remote {remote} does not accept this account: {cause}",
        live "nothing live was changed",
        next "git ls-remote {remote}   (renew key, token or, in a workflow, `permissions: contents: write` until it succeeds; then run the command again)";

    /// There is no repository at the address of the git remote.
    git_remote_unknown(remote, cause) Failed
        "the git remote {remote} is no repository: {cause}",
        live "nothing live was changed",
        next "git remote --verbose   (correct the address there, or `git.remote` in pipeline.toml, and run the command again)";

    /// A rule or hook of the git remote refuses a reference.
    git_push_refused(remote, reference, cause) Failed
        "{remote} did not take {reference}: {cause}",
        live "nothing live was changed",
        next "cargo xtask doctor   (let this account push to {reference} in the rules and hooks of the remote, then run the command again)";

    /// A platform does not accept the token, or what it may do.
    platform_denied(platform, access, cause) Failed
        "{platform} does not accept this account: {cause}",
        live "nothing live was changed",
        next "cargo xtask doctor   (renew {access}, then run the command again)";

    /// A platform does not answer.
    platform_unreachable(platform, cause) Failed
        "{platform} cannot be reached: {cause}",
        live "nothing live was changed",
        next "cargo xtask health   (run the command again when {platform} answers)";

    /// The Railway token is valid, but for something else.
    railway_token_elsewhere(variable, project, environment) Refused
        "{variable} is a token of another Railway project or environment",
        live "nothing was changed",
        next "set {variable} to a project token of project {project}, environment {environment}";

    /// The service watches paths that the release does not change.
    railway_skipped(deployment) Failed
        "Railway skipped the deployment {deployment}: the service's watch patterns match nothing in it",
        live "the backend that served before serves on",
        next "remove the watch patterns in the settings of the service on Railway, undo this operation and begin again";

    /// Railway holds the deployment until somebody allows it.
    railway_needs_approval(deployment) Failed
        "the Railway deployment {deployment} waits for an approval on Railway",
        live "the backend that served before serves on",
        next "approve it on Railway, then resume; or reject it there, then undo";

    /// Another deployment took the place of ours.
    railway_replaced(deployment, status, serving) Failed
        "the deployment {deployment} was replaced while it was waited for (status {status}): {serving} serves",
        live "the backend is not the one of this operation",
        next "find out who else deploys to the service (a connected repository, a person), then resume or undo";

    /// A program of an adapter failed, or did not end.
    adapter_failed(part, action, cause) Failed
        "the adapter of {part} failed at `{action}`: {cause}",
        live "what serves now is what its `current` prints",
        next "cargo xtask doctor --adapter {part}";

    /// What a program of an adapter printed is not an answer.
    adapter_answer(part, action, cause) Failed
        "the answer of the adapter of {part} to `{action}` cannot be used: {cause}",
        live "what serves now is what its `current` prints",
        next "cargo xtask doctor --adapter {part}   (infrastructure/schemas/adapter.schema.json has the form)";

    /// Railway does not start a deployment of an earlier image.
    railway_rollback_refused(deployment, cause) Failed
        "Railway does not roll back to {deployment}: {cause}",
        live "the backend that served before serves on",
        next "use a token that may roll back, or build the release again";

    /// The service builds a folder that no upload of the commit has.
    railway_root_directory(root, source) Refused
        "the service's root directory on Railway is {root}, and the commit has no such folder in or at {source}",
        live "nothing was changed",
        next "set `source` in pipeline.toml to the folder of the backend, or change the root directory of the service";

    /// The project builds a folder that the commit does not have there.
    vercel_root_directory(root, source) Refused
        "the Root Directory of the project on Vercel is {root}, and the commit has no such folder in or at {source}",
        live "nothing was changed",
        next "set `source` in pipeline.toml to the folder of the frontend, or change the Root Directory of the project";

    /// `vercel build` ended well and built nothing.
    vercel_output_empty() Failed
        "the build of the frontend has neither `static` nor `functions` nor `services`: it would serve nothing",
        live "the frontend that served before serves on",
        next "compare the Root Directory and the Output Directory of the project on Vercel with the repository";

    /// Pages would be built with nothing in the place of a value.
    vercel_unreadable_variables(names) Refused
        "Vercel does not give back the values of {names}, which a build writes into the pages",
        live "the frontend that served before serves on",
        next "name them under `[[environments.*.variables]]` with `vercel = \"…\"`, or make them readable on Vercel";

    /// Pages were built with a placeholder.
    vercel_placeholder(file) Refused
        "the built file {file} has \"[SENSITIVE]\" in the place of a value that Vercel does not give back",
        live "the frontend that served before serves on",
        next "name the variable under `[[environments.*.variables]]` with `vercel = \"…\"`, or make it readable on Vercel";

    /// The address of a staged deployment asks for a login.
    vercel_staged_protected(host) Refused
        "the staged frontend {host} asks for a login (401): it cannot be checked before it goes live",
        live "the frontend that served before serves on",
        next "make a secret for \"Protection Bypass for Automation\" on Vercel and name its variable: `protection_bypass`";

    /// Vercel's plan does not allow the change of the production domain.
    vercel_plan_too_small(verb, deployment, cause) Failed
        "Vercel refused the {verb} to {deployment}: {cause}",
        live "the production domain serves what it served before",
        next "the plan allows only the previous deployment: upgrade it, or promote in Vercel's dashboard";

    /// `tools` with a name that is not pinned.
    tool_unknown(name, known) Usage
        "no tool is called `{name}`",
        live "nothing was changed",
        next "choose from: {known}";

    /// A program that no pin builds is missing.
    tool_missing(program, package) Usage
        "{program} is not on PATH",
        live "nothing was changed",
        next "install the package {package} and run the command again";

    /// Something on GitHub is needed, and pipeline.toml has no `[github]`.
    no_github_repository() Usage
        "pipeline.toml names no GitHub repository",
        live "nothing was changed",
        next "add [github] repository = \"owner/name\"";

    /// The token of a workflow's job lacks a permission.
    no_permission_for_checks(cause) Refused
        "{cause}",
        live "nothing was changed",
        next "give the job `checks: read`, `statuses: read` and `actions: read` under `permissions`";
}
