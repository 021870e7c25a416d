//! Why a server or mongodump refused, and what the operator does about it.

use crate::error::Stop;

/// What the driver and mongodump say, what it means, and what helps.
const CAUSES: &[(&[&str], &str, &str)] = &[
    (
        &["not authorized", "Unauthorized", "requires authentication"],
        "the database user lacks a role",
        "grant the user the role `read` on the database (Atlas: Database Access), or `backup` on `admin`, and run the command again",
    ),
    (
        &[
            "bad auth",
            "AuthenticationFailed",
            "Authentication failed",
            "authentication failed",
            "SCRAM failure",
            "auth error",
        ],
        "the server does not accept the user or the password",
        "correct user, password and authSource in the connection string (special characters are percent-encoded), and run the command again",
    ),
    (
        &["DnsResolve", "DNS", "failed to lookup address", "no such host"],
        "the server's name is not known",
        "correct the host in the connection string, and run the command again",
    ),
    (
        &[
            "Server selection timeout",
            "server selection error",
            "Connection refused",
            "No available servers",
        ],
        "the server cannot be reached",
        "check the host in the connection string, that the server runs and that this machine may reach it (Atlas: Network Access), and run the command again",
    ),
];

/// The error with its cause and the next step, where the cause is known. What it says is scrubbed when it is shown.
pub(super) fn explain(error: anyhow::Error, database: &str) -> anyhow::Error {
    if error.downcast_ref::<Stop>().is_some() {
        return error;
    }
    let text = format!("{error:#}");
    let stop = known(&text, database)
        .unwrap_or_else(|| Stop::failed(format!("cannot back up `{database}`: {text}")));
    stop.live(UNCHANGED).into()
}

/// The same for an error of connecting, which has an ending already, but knows less of the cause.
pub(super) fn explain_connection(error: anyhow::Error, database: &str) -> anyhow::Error {
    match known(&format!("{error:#}"), database) {
        Some(stop) => stop.live(UNCHANGED).into(),
        None => error,
    }
}

const UNCHANGED: &str = "nothing was changed, and no backup was made";

fn known(text: &str, database: &str) -> Option<Stop> {
    let (_, what, next) = CAUSES
        .iter()
        .find(|(signs, _, _)| signs.iter().any(|sign| text.contains(sign)))?;
    Some(Stop::failed(format!("cannot back up `{database}`: {what}: {text}")).next(*next))
}
