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
