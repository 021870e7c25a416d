//! Errors of the connection to MongoDB.

use super::catalogue;

catalogue! {
    "Database", "The database was not changed.";

    /// No server answers.
    no_server(host, cause) Failed
        "no MongoDB server answers at {host}: {cause}",
        live "nothing was changed",
        next "check the connection string's host, user and network access, and run the command again";

    /// The connection string cannot be read.
    connection_string_unusable(cause) Usage
        "the MongoDB connection string is not usable: {cause}",
        live "nothing was changed",
        next "correct the secret that `[environments.*.mongodb] uri` names";
}
