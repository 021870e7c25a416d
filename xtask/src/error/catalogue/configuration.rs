//! Errors about the configuration and the surroundings of a command.

use super::catalogue;

catalogue! {
    "Configuration and the rest", "Nothing was begun.";

    /// A secret that the configuration names is not in the environment.
    secret_not_set(variable, file) Usage
        "the environment variable {variable} is not set or empty",
        live "nothing was changed",
        next "set {variable} (it is named in {file}) and run the command again";
}
