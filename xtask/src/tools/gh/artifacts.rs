//! `gh`: artifacts of workflow runs.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use xshell::cmd;

use super::release::{Files, TRANSFER_DEADLINE};
use super::{GitHub, printed, query};
use crate::report;

/// One artifact.
#[derive(Debug, Clone, Deserialize)]
pub struct Artifact {
    pub name: String,
    #[serde(default)]
    pub expired: bool,
    created_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    workflow_run: Option<ArtifactRun>,
}

/// The run that an artifact belongs to.
#[derive(Debug, Clone, Deserialize)]
struct ArtifactRun {
    id: u64,
    head_branch: Option<String>,
    repository_id: Option<u64>,
    head_repository_id: Option<u64>,
}

/// Whose artifacts are taken: whoever opens a pull request can upload one of any name.
#[derive(Debug, Clone, Copy)]
pub struct TrustedRuns<'a> {
    pub branch: &'a str,
    /// Files of workflows below `.github/workflows/`.
    pub workflows: &'a [&'a str],
}

impl ArtifactRun {
    /// Whether it ran on this branch of the repository itself. A fork may have a branch of that name.
    fn is_on(&self, branch: &str) -> bool {
        self.head_branch.as_deref() == Some(branch)
            && self.repository_id.is_some()
            && self.repository_id == self.head_repository_id
    }
}

#[derive(Deserialize)]
struct RunOrigin {
    path: String,
    event: String,
}

impl RunOrigin {
    fn is_of(&self, workflows: &[&str]) -> bool {
        // The path may be followed by `@` and a reference.
        let path = self.path.split('@').next().unwrap_or_default();
        let name = path.strip_prefix(".github/workflows/").unwrap_or_default();
        workflows.contains(&name) && !self.event.starts_with("pull_request")
    }
}

#[derive(Deserialize)]
struct Artifacts {
    artifacts: Vec<Artifact>,
}

impl GitHub {
    /// For how many days the newest artifact whose name begins so is kept; `None` where there is none.
    pub fn artifact_days(&self, name_prefix: &str) -> Result<Option<i64>> {
        let found: Option<Artifacts> = self.get("actions/artifacts?per_page=100")?;
        let newest = found
            .into_iter()
            .flat_map(|found| found.artifacts)
            .filter(|one| one.name.starts_with(name_prefix))
            .max_by_key(|one| one.created_at);
        Ok(newest.and_then(|one| {
            let kept = one.expires_at? - one.created_at?;
            // The expiry counts from the start of the upload, which may be hours before `created_at`: round to whole days.
            Some((kept + TimeDelta::hours(12)).num_days())
        }))
    }
}

impl Files {
    /// The newest artifact of this name that has not expired and comes from a trusted run; others are reported.
    pub fn artifact(&self, name: &str, trusted: TrustedRuns<'_>) -> Result<Option<Artifact>> {
        let (sh, path) = (
            &self.sh,
            format!(
                "repos/{}/actions/artifacts?name={name}&per_page=100",
                self.repository
            ),
        );
        let listed = query(cmd!(sh, "gh api --paginate {path}"))
            .read()
            .context("cannot list the artifacts on GitHub")?;
        let pages = serde_json::Deserializer::from_str(&listed).into_iter::<Artifacts>();
        for page in pages {
            for artifact in page
                .context("GitHub's list of artifacts is not as expected")?
                .artifacts
            {
                if artifact.name != name || artifact.expired {
                    continue;
                }
                if self.is_trusted(&artifact, trusted)? {
                    return Ok(Some(artifact));
                }
                report::progress(&format!(
                    "note: an artifact {name} does not come from our workflows on {}: it is not taken",
                    trusted.branch
                ));
            }
        }
        Ok(None)
    }

    fn is_trusted(&self, artifact: &Artifact, trusted: TrustedRuns<'_>) -> Result<bool> {
        let Some(run) = artifact
            .workflow_run
            .as_ref()
            .filter(|run| run.is_on(trusted.branch))
        else {
            return Ok(false);
        };
        let (sh, path) = (
            &self.sh,
            format!("repos/{}/actions/runs/{}", self.repository, run.id),
        );
        let asked = query(cmd!(sh, "gh api {path}")).output()?;
        if printed(&asked, "(HTTP 404)") {
            return Ok(false);
        }
        let asked = asked
            .checked()
            .context("cannot ask GitHub for the run of an artifact")?;
        let origin: RunOrigin =
            serde_json::from_str(&asked.stdout).context("GitHub's answer about a run is not as expected")?;
        Ok(origin.is_of(trusted.workflows))
    }

    /// Downloads and unpacks an artifact into a folder.
    pub fn download_artifact(&self, artifact: &Artifact, into: &Path) -> Result<()> {
        let (sh, repository) = (&self.sh, &self.repository);
        let name = &artifact.name;
        let run = artifact.workflow_run.as_ref();
        let run = run.with_context(|| format!("GitHub names no run of the artifact {name}"))?;
        let run = run.id.to_string();
        if into.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{} is not empty", into.display());
        }
        query(cmd!(
            sh,
            "gh run download {run} --repo {repository} --name {name} --dir {into}"
        ))
        .deadline(TRANSFER_DEADLINE)
        .run()
        .with_context(|| format!("cannot download the artifact {name} of run {run}"))
    }
}
