//! Errors of the connection to MongoDB.

use super::catalogue;

catalogue! {
    "Database", "The database was not changed.";

    /// No server answers.
    no_server(host, cause) Failed
        "no MongoDB server answers at {host}: {cause}",
        live "nothing was changed",
        next "check the connection string's host, user and network access, and run the command again";

    /// The server was reached and does not answer.
    database_silent(host, seconds) Failed
        "the MongoDB server at {host} took the connection and did not answer within {seconds} s",
        next "check the server and the proxies and firewalls before it, and run the command again";

    /// The connection string cannot be read.
    connection_string_unusable(cause) Usage
        "the MongoDB connection string is not usable: {cause}",
        live "nothing was changed",
        next "correct the secret that `[environments.*.mongodb] uri` names";
}
