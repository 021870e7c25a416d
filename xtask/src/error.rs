//! Errors that say, beside what failed, how the program ends and what the operator does next.
//!
//! Everything is `anyhow::Error`; an error that decides the exit code has a [`CliError`] in its chain.

pub mod catalogue;

use std::fmt;
use std::process::ExitCode;
use std::sync::LazyLock;

use regex::Regex;

/// How a command ends when it does not succeed. The numbers are part of the interface: workflows branch on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitKind {
    /// 1: failed, and nothing live was changed (health: not healthy).
    Failed,
    /// 2: wrong usage or configuration.
    Usage,
    /// 3: refused by a lock, an approval, a confirmation or a safety rule.
    Refused,
    /// 4: stopped midway; the state is recorded, `--resume` or `--undo` go on from it.
    Midway,
}

impl ExitKind {
    /// The process exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Midway => 4,
        }
    }
}

/// An error with an exit, the state of the live system, and the command to run next.
#[derive(Debug)]
pub struct CliError {
    /// Its name in the [`catalogue`], which the guide's table of messages has too.
    pub code: Option<&'static str>,
    pub exit: ExitKind,
    pub what: String,
    pub live: Option<String>,
    pub next: Option<String>,
}

impl CliError {
    fn new(exit: ExitKind, what: impl Into<String>) -> Self {
        Self {
            code: None,
            exit,
            what: what.into(),
            live: None,
            next: None,
        }
    }

    /// An entry of the catalogue.
    pub(crate) fn of(code: &'static str, exit: ExitKind, what: impl Into<String>) -> Self {
        Self {
            code: Some(code),
            ..Self::new(exit, what)
        }
    }

    /// Failed before anything live was changed (exit 1).
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(ExitKind::Failed, what)
    }

    /// Wrong usage or configuration (exit 2).
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(ExitKind::Usage, what)
    }

    /// Refused by a lock, an approval or a safety rule (exit 3).
    pub fn refused(what: impl Into<String>) -> Self {
        Self::new(ExitKind::Refused, what)
    }

    /// What state the live system is in now.
    #[must_use]
    pub fn live(mut self, live: impl Into<String>) -> Self {
        self.live = Some(live.into());
        self
    }

    /// The exact command to run next, or what to change.
    #[must_use]
    pub fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for CliError {}

/// The same error, with the state and the next step filled in where it does not say them: nothing live was changed. What
/// stopped midway knows better.
pub fn unchanged(error: &anyhow::Error) -> anyhow::Error {
    let stop = error.downcast_ref::<CliError>();
    let exit = exit_of(error);
    let filled = |said: Option<String>, otherwise: &str| {
        let otherwise = (exit != ExitKind::Midway).then(|| otherwise.to_owned());
        said.or(otherwise)
    };
    CliError {
        code: stop.and_then(|stop| stop.code),
        exit,
        what: format!("{error:#}"),
        live: filled(
            stop.and_then(|stop| stop.live.clone()),
            "nothing live was changed",
        ),
        next: filled(
            stop.and_then(|stop| stop.next.clone()),
            "fix the problem above and run the command again",
        ),
    }
    .into()
}

/// What the driver adds to each error: nothing that helps, and a page of it.
static DRIVERS_DETAILS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r", labels: \{[^}]*\}(?:, source: None)?",
        r#"(?:, server response: (?:None|Some\(RawDocumentBuf \{ data: "[0-9a-f]*" \}\)))?"#
    ))
    .expect("the pattern is a constant")
});
/// A document in hexadecimal, wherever it stands: kilobytes that nobody reads, and data of the application.
static RAW_DOCUMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"RawDocumentBuf \{ data: "[0-9a-f]*" \}"#).expect("the pattern is a constant")
});

/// The text of an error without what only the driver's authors read.
pub fn brief(text: &str) -> String {
    let text = DRIVERS_DETAILS.replace_all(text, "");
    RAW_DOCUMENT.replace_all(&text, "a document").into_owned()
}

/// Writes the error for an operator: the chain of what failed, the live state, the next command.
pub fn render(error: &anyhow::Error) -> String {
    let stop = error.downcast_ref::<CliError>();
    let code = stop
        .and_then(|stop| stop.code)
        .map_or_else(String::new, |code| format!("[{}]", catalogue::display_code(code)));
    let mut text = format!("error{code}: {error:#}");
    if let Some(stop) = stop {
        if let Some(live) = &stop.live {
            text.push_str("\n  live: ");
            text.push_str(live);
        }
        if let Some(next) = &stop.next {
            text.push_str("\n  next: ");
            text.push_str(next);
        }
    }
    crate::secret::scrub(&brief(&text))
}

/// How the program ends with this error: as failed where nothing in its chain says otherwise.
pub fn exit_of(error: &anyhow::Error) -> ExitKind {
    error
        .downcast_ref::<CliError>()
        .map_or(ExitKind::Failed, |stop| stop.exit)
}

/// The exit code that the error asks for.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    ExitCode::from(exit_of(error).code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn what_changed_nothing_says_so_and_what_stopped_midway_is_left_alone() {
        let said = |error: anyhow::Error| render(&unchanged(&error));
        assert_eq!(
            said(anyhow::anyhow!("no answer").context("cannot ask")),
            "error: cannot ask: no answer\n  live: nothing live was changed\n  \
             next: fix the problem above and run the command again"
        );
        let refused = CliError::refused("locked").live("as it was").next("wait");
        assert_eq!(
            said(refused.into()),
            "error: locked\n  live: as it was\n  next: wait"
        );
        assert_eq!(
            said(CliError::new(ExitKind::Midway, "half done").into()),
            "error: half done"
        );
    }

    #[test]
    fn answers_of_a_server_are_never_shown_in_hexadecimal() {
        let data = "0a1b".repeat(1_000);
        let answer = format!("Some(RawDocumentBuf {{ data: \"{data}\" }})");
        let drivers =
            format!("Kind: Command failed: no, labels: {{}}, source: None, server response: {answer}");
        assert_eq!(brief(&drivers), "Kind: Command failed: no");
        let nested = format!(
            "no, labels: {{}}, source: Some(Error {{ kind: Io, server_response: {answer} }}), server response: {answer}"
        );
        for text in [nested, format!("cannot insert: {answer}")] {
            let said = render(&anyhow::anyhow!(text));
            assert!(said.len() < 200 && !said.contains("0a1b"), "{said}");
        }
    }

    #[test]
    fn ending_and_next_command_survive_added_context() {
        let result: anyhow::Result<()> = Err(CliError::new(
            ExitKind::Midway,
            "the swap stopped after 2 of 5 collections",
        )
        .live("two collections hold the backup")
        .next("cargo xtask restore --resume 20260102-030405-ab12")
        .into());
        let error = result.context("cannot restore").unwrap_err();
        assert_eq!(
            error.downcast_ref::<CliError>().map(|stop| stop.exit),
            Some(ExitKind::Midway)
        );
        assert_eq!(
            render(&error),
            "error: cannot restore: the swap stopped after 2 of 5 collections\n  \
             live: two collections hold the backup\n  \
             next: cargo xtask restore --resume 20260102-030405-ab12"
        );
    }
}
