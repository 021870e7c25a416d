//! Why a backup could not be made, and what the operator does about it.

use crate::error::{CliError, brief};

/// What the system, the driver and mongodump say, what it means, and what helps. The first that fits is told.
const CAUSES: &[(&[&str], &str, &str)] = &[
    (
        &[
            "No space left on device",
            "no space left on device",
            "File too large",
            "Disk quota exceeded",
        ],
        "there is no more room for it",
        "make room (cargo xtask backup prune), or name another folder in the storages of pipeline.toml, and run the command again",
    ),
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
        // TOOLS-3611, TOOLS-3637: options and indexes are written as JSON only where they can be read back byte by byte.
        &["error marshaling metadata json"],
        "an option or an index of the collection has a value that mongodump does not write, such as an expiry of NaN",
        "correct it, and run the command again; cargo xtask doctor names indexes with such an expiry, and mongosh corrects them: \
         db.runCommand({ collMod: \"COLLECTION\", index: { name: \"INDEX\", expireAfterSeconds: 2147483647 } })",
    ),
    (
        &["DnsResolve", "DNS", "failed to lookup address", "no such host"],
        "the server's name is not known",
        "correct the host in the connection string, and run the command again",
    ),
    (
        &["oplog overflow"],
        "so much was written during the dump that the oplog does not reach back to its beginning",
        "run the command again at a quieter time, give the server a larger oplog, or set backup.oplog = \"never\"",
    ),
    (
        &[
            "Server selection timeout",
            "server selection error",
            "Connection refused",
            "connection refused",
            "No available servers",
            "Kind: I/O error",
        ],
        "the server cannot be reached",
        "check the host in the connection string, that the server runs and that this machine may reach it (Atlas: Network Access), and run the command again",
    ),
];

const UNCHANGED: &str = "nothing was changed, and no backup was made";
/// Where nothing better is known.
const AGAIN: &str = "remove the cause named above, and run the command again";

/// The error with its cause, the state and the next step. What it says is scrubbed when it is shown.
pub(super) fn explain(error: &anyhow::Error, what: &str) -> anyhow::Error {
    let text = brief(&format!("{error:#}"));
    if let Some(stop) = error.downcast_ref::<CliError>() {
        let stop = CliError {
            code: stop.code,
            exit: stop.exit,
            what: text,
            live: stop.live.clone().or_else(|| Some(UNCHANGED.to_owned())),
            next: stop.next.clone().or_else(|| Some(AGAIN.to_owned())),
        };
        return stop.into();
    }
    known(&text, what)
        .unwrap_or_else(|| CliError::failed(format!("cannot back up {what}: {text}")).next(AGAIN))
        .live(UNCHANGED)
        .into()
}

/// The same for an error of connecting, which has an ending already, but knows less of the cause.
pub(super) fn explain_connection(error: anyhow::Error, what: &str) -> anyhow::Error {
    let code = error.downcast_ref::<CliError>().and_then(|stop| stop.code);
    if code.is_some_and(|code| code != "no_server") {
        return error;
    }
    match known(&brief(&format!("{error:#}")), what) {
        Some(stop) => stop.live(UNCHANGED).into(),
        None => error,
    }
}

fn known(text: &str, what: &str) -> Option<CliError> {
    let (_, cause, next) = CAUSES
        .iter()
        .find(|(signs, _, _)| signs.iter().any(|sign| text.contains(sign)))?;
    Some(CliError::failed(format!("cannot back up {what}: {cause}: {text}")).next(*next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::render;

    #[test]
    fn every_error_names_the_state_and_the_next_step() {
        let errors = [
            anyhow::anyhow!("cannot write the backup: No space left on device (os error 28)"),
            anyhow::anyhow!("something that nobody foresaw"),
            CliError::failed("interrupted by a signal").into(),
            anyhow::Error::from(CliError::failed("interrupted by a signal")).context("the dump broke off"),
        ];
        for error in errors {
            let said = render(&explain(&error, "`shop`"));
            assert!(said.contains(&format!("{error:#}")), "{said}");
            assert!(said.contains("\n  live: nothing was changed"), "{said}");
            assert!(said.contains("\n  next: "), "{said}");
        }
        let said = render(&explain(&anyhow::anyhow!("No space left on device"), "`shop`"));
        assert!(said.contains("backup prune"), "{said}");
        let nan = "Failed: error dumping metadata: error marshaling metadata json for collection `shop.users`: marshaling BSON to ExtJSON \
                   and back resulted in discrepancies";
        let said = render(&explain(&anyhow::anyhow!(nan), "`shop`"));
        assert!(
            said.contains("an expiry of NaN") && said.contains("collMod"),
            "{said}"
        );
        let long = r#"Error code 13 (Unauthorized): not authorized, labels: {}, source: None, server response: Some(RawDocumentBuf { data: "06ab" })"#;
        let said = render(&explain(&anyhow::anyhow!(long), "`shop`"));
        assert!(said.contains("(Unauthorized): not authorized\n"), "{said}");
        let kept = CliError::usage("wrong").live("all is well").next("do that");
        let said = render(&explain(&kept.into(), "`shop`"));
        assert_eq!(said, "error: wrong\n  live: all is well\n  next: do that");
    }
}
