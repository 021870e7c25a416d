//! Errors of the outside programs and of the platforms behind them.

use super::catalogue;

catalogue! {
    "Tools and platforms", "";

    /// A signal asked the program to end.
    interrupted() Failed
        "interrupted by a signal";

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
        "the Railway deployment {deployment} was replaced while it was waited for (status {status}): {serving} serves",
        live "the backend is not the one of this operation",
        next "find out who else deploys to the service (a connected repository, a person), then resume or undo";

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
}
