//! `gh`: the repository on GitHub. Its token comes from our environment (`GH_TOKEN`, or `gh auth login`).

pub mod artifacts;
mod checks;
mod issues;
mod pulls;
pub mod release;
mod runs;
mod settings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde_json::Value;
use xshell::cmd;

use crate::context::Context;
use crate::error::catalogue::tools as errors;
use crate::exec::{Exec, Finished, OF_GITHUB};
use crate::wait;

pub use issues::OpenIssue;
pub use runs::{RunReview, WorkflowFile, WorkflowRun};
pub use settings::{ArtifactRetention, Protection, RepositoryPage, Ruleset};

const QUERY_DEADLINE: Duration = Duration::from_mins(1);

/// The repository.
#[derive(Debug, Clone)]
pub struct GitHub {
    root: PathBuf,
    repository: String,
}

impl GitHub {
    pub fn open(ctx: &Context) -> Result<Self> {
        let github = ctx.config.github.as_ref();
        let github = github.ok_or_else(errors::no_github_repository)?;
        Ok(Self {
            root: ctx.root.clone(),
            repository: github.repository.clone(),
        })
    }

    /// A repository that no pipeline.toml names yet.
    pub fn of(root: &Path, repository: &str) -> Self {
        Self {
            root: root.to_owned(),
            repository: repository.to_owned(),
        }
    }

    /// GitHub's clock.
    pub fn clock(&self) -> Result<DateTime<Utc>> {
        let sh = self.shell()?;
        let response = query(cmd!(sh, "gh api --include rate_limit")).read()?;
        let date = response.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("date").then(|| value.trim().to_owned())
        });
        let date = date.context("no Date header in GitHub's response")?;
        let date =
            DateTime::parse_from_rfc2822(&date).context("unparsable Date header in GitHub's response")?;
        Ok(date.with_timezone(&Utc))
    }

    /// `owner/name`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Reads below the repository; `None` where there is no such thing (or the token may not see it).
    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let path = format!("repos/{}/{path}", self.repository);
        self.get_absolute(path.trim_end_matches('/'))
    }

    fn get_absolute<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let answer = wait::retry(is_transient, || {
            let sh = self.shell()?;
            let finished = query(cmd!(sh, "gh api {path}")).output()?;
            if printed(&finished, "(HTTP 404)") {
                return Ok(None);
            }
            finished.checked().map(Some)
        });
        let Some(finished) = answer.with_context(|| format!("cannot ask GitHub for {path}"))? else {
            return Ok(None);
        };
        serde_json::from_str(&finished.stdout)
            .map(Some)
            .with_context(|| format!("cannot parse what GitHub returned for {path}"))
    }

    /// All pages of a list below the repository.
    fn pages<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        let path = format!("repos/{}/{path}", self.repository);
        let finished = wait::retry(is_transient, || {
            let sh = self.shell()?;
            query(cmd!(sh, "gh api --paginate {path}")).output()?.checked()
        })
        .with_context(|| format!("cannot ask GitHub for {path}"))
        .map_err(checks::explain_permission)?;
        // One object a page, one after the other.
        serde_json::Deserializer::from_str(&finished.stdout)
            .into_iter()
            .collect::<Result<_, _>>()
            .with_context(|| format!("cannot parse what GitHub returned for {path}"))
    }

    /// Changes something below the repository. Never repeated by itself: the caller reads and decides.
    fn send(&self, method: &str, path: &str, body: &Value) -> Result<()> {
        self.answer_to(method, path, body).map(drop)
    }

    /// The same, with what GitHub answers.
    fn answer_to(&self, method: &str, path: &str, body: &Value) -> Result<String> {
        let path = format!("repos/{}/{path}", self.repository);
        let sh = self.shell()?;
        query(cmd!(sh, "gh api --method {method} {path} --input -"))
            .stdin(body.to_string())
            .read()
            .with_context(|| format!("GitHub refused {method} {path}"))
    }

    fn shell(&self) -> Result<xshell::Shell> {
        crate::exec::shell_in(&self.root)
    }
}

/// A call of `gh` with its token and settings, without prompts.
fn query(command: xshell::Cmd<'_>) -> Exec {
    Exec::new(command)
        .inherit(OF_GITHUB)
        .inherit(&["GITHUB_API_URL"])
        .env("GH_PROMPT_DISABLED", "1")
        .env("GH_NO_UPDATE_NOTIFIER", "1")
        .deadline(QUERY_DEADLINE)
}

fn printed(finished: &Finished, what: &str) -> bool {
    finished.stderr_tail.iter().any(|line| line.contains(what))
}

/// Whether a repeated read may succeed.
fn is_transient(error: &anyhow::Error) -> bool {
    let text = format!("{error:#}");
    ["(HTTP 429)", "(HTTP 5", "connection", "timeout", "EOF"]
        .iter()
        .any(|sign| text.contains(sign))
}
