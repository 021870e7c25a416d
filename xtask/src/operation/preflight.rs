//! Preflight: reports every problem, not only the first, before anything is changed.

use anyhow::Result;

use crate::error::{CliError, ExitKind};
use crate::tools::fault::explained;

/// Problems found so far.
#[derive(Debug, Default)]
pub struct Preflight {
    problems: Vec<(ExitKind, String)>,
}

impl Preflight {
    /// A rule that must hold; the text says what is wrong where it does not.
    pub fn require(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push((ExitKind::Refused, problem()));
        }
    }

    /// The value of a check, or a problem in its place.
    pub fn check<T>(&mut self, what: &str, checked: Result<T>) -> Option<T> {
        match checked {
            Ok(value) => Some(value),
            Err(error) => {
                let explained = explained(&error);
                let stop = explained.as_ref().or_else(|| error.downcast_ref::<CliError>());
                let exit = stop.map_or(ExitKind::Failed, |stop| stop.exit);
                let fix = stop
                    .and_then(|stop| stop.next.as_ref())
                    .map(|next| format!(" (fix: {next})"));
                self.problems
                    .push((exit, format!("{what}: {error:#}{}", fix.unwrap_or_default())));
                None
            }
        }
    }

    /// One error with all problems: wrong usage (exit 2) where one of them is, else refused (exit 3) where a rule says
    /// no, else failed (exit 1).
    pub fn finish(self, what: &str) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let any = |wanted: ExitKind| self.problems.iter().any(|(exit, _)| *exit == wanted);
        let count = self.problems.len();
        let list = self
            .problems
            .iter()
            .fold(String::new(), |list, (_, problem)| list + "\n  - " + problem);
        let text = format!(
            "{what} is not possible, {count} {}:{list}",
            if count == 1 { "problem" } else { "problems" }
        );
        let stop = match (any(ExitKind::Usage), any(ExitKind::Refused)) {
            (true, _) => CliError::usage(text),
            (false, true) => CliError::refused(text),
            (false, false) => CliError::failed(text),
        };
        Err(stop
            .live("nothing was changed")
            .next("fix the listed problems and run the command again")
            .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_in_one_error() {
        let mut preflight = Preflight::default();
        preflight.require(true, || "not shown".into());
        preflight.require(false, || "the tag is wrong".into());
        let missing: Option<()> = preflight.check(
            "token",
            Err(CliError::usage("TOKEN is not set").next("set TOKEN").into()),
        );
        assert!(missing.is_none());
        let error = preflight.finish("the rollback").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the rollback is not possible, 2 problems:\n  - the tag is wrong\n  - token: TOKEN is not set (fix: set TOKEN)"
        );
        assert_eq!(
            error.downcast_ref::<CliError>().map(|stop| stop.exit),
            Some(ExitKind::Usage)
        );
        assert!(Preflight::default().finish("nothing").is_ok());
    }
}
