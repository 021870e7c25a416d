//! `gh`: artifacts of workflow runs.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use xshell::cmd;

use super::release::{Files, TRANSFER_DEADLINE};
use super::{GitHub, query};

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
    /// The newest artifact of this name that has not expired.
    pub fn artifact(&self, name: &str) -> Result<Option<Artifact>> {
        let (sh, path) = (
            &self.sh,
            format!("repos/{}/actions/artifacts?name={name}", self.repository),
        );
        let found: Artifacts = query(cmd!(sh, "gh api {path}"))
            .json()
            .context("cannot list the artifacts on GitHub")?;
        Ok(found
            .artifacts
            .into_iter()
            .find(|artifact| artifact.name == name && !artifact.expired))
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
