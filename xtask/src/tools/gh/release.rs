//! `gh`: files kept with drafts of releases, and artifacts of workflow runs.
//!
//! A draft has no tag, never becomes public and does not expire; only people with write access to the repository see
//! it. A laptop cannot upload artifacts, but it can make a draft.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use xshell::{Cmd, Shell, cmd};

use crate::exec::Exec;

const QUERY_DEADLINE: Duration = Duration::from_mins(1);
/// For a file of up to 2 GiB, the most that a release takes.
const TRANSFER_DEADLINE: Duration = Duration::from_hours(2);
/// What gh needs of our environment to find its settings and its token.
const GH_ENV: &[&str] = &["GH_TOKEN", "GITHUB_TOKEN", "GH_CONFIG_DIR", "GH_HOST"];

/// One release, or a draft of one.
#[derive(Debug, Clone, Deserialize)]
pub struct Release {
    pub id: u64,
    pub tag_name: String,
    pub assets: Vec<Asset>,
}

/// One file of a release.
#[derive(Debug, Clone, Deserialize)]
pub struct Asset {
    pub id: u64,
    pub name: String,
    pub size: u64,
    /// `uploaded` when it is complete.
    pub state: String,
    /// `sha256:…`, where GitHub has computed it.
    pub digest: Option<String>,
}

/// One artifact of a workflow run.
#[derive(Debug, Clone, Deserialize)]
pub struct Artifact {
    pub name: String,
    pub expired: bool,
    pub workflow_run: Run,
}

/// The run that an artifact belongs to.
#[derive(Debug, Clone, Deserialize)]
pub struct Run {
    pub id: u64,
}

#[derive(Deserialize)]
struct Artifacts {
    artifacts: Vec<Artifact>,
}

/// The files of one repository.
#[derive(Debug, Clone)]
pub struct Files {
    sh: Shell,
    repository: String,
}

impl Files {
    pub fn new(sh: Shell, repository: &str) -> Self {
        Self {
            sh,
            repository: repository.to_owned(),
        }
    }

    /// All releases and drafts.
    pub fn releases(&self) -> Result<Vec<Release>> {
        let (sh, path) = (
            &self.sh,
            format!("repos/{}/releases?per_page=100", self.repository),
        );
        let text = query(cmd!(sh, "gh api --paginate {path}"))
            .read()
            .context("cannot list the releases on GitHub")?;
        // One array a page, one after the other or merged into one, as the version of gh likes it.
        let pages = serde_json::Deserializer::from_str(&text).into_iter::<Vec<Release>>();
        let pages: Vec<Vec<Release>> = pages
            .collect::<Result<_, _>>()
            .context("GitHub's list of releases is not as expected")?;
        Ok(pages.into_iter().flatten().collect())
    }

    /// Makes a draft with these files.
    pub fn create_draft(&self, tag: &str, title: &str, files: &[PathBuf]) -> Result<()> {
        let (sh, repository) = (&self.sh, &self.repository);
        let command = cmd!(
            sh,
            "gh release create {tag} {files...} --repo {repository} --draft --title {title} --notes {title}"
        );
        query(command)
            .deadline(TRANSFER_DEADLINE)
            .run()
            .context("cannot upload to GitHub")
    }

    /// Hands the bytes of a file from `offset_bytes` on to `consume`.
    pub fn read(
        &self,
        asset: &Asset,
        offset_bytes: u64,
        consume: &mut dyn FnMut(&mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let (sh, id) = (&self.sh, asset.id.to_string());
        let path = format!("repos/{}/releases/assets/{id}", self.repository);
        let range = format!("Range: bytes={offset_bytes}-");
        let ranged: &[&str] = if offset_bytes == 0 { &[] } else { &["-H", &range] };
        let exec = query(cmd!(
            sh,
            "gh api -H 'Accept: application/octet-stream' {ranged...} {path}"
        ))
        .deadline(TRANSFER_DEADLINE);
        let (consumed, finished) = exec.stream_out(|mut stdout| consume(&mut stdout))?;
        consumed?;
        finished
            .checked()
            .with_context(|| format!("cannot download {} from GitHub", asset.name))?;
        Ok(())
    }

    /// Deletes a release or a draft with its files.
    pub fn delete(&self, release: &Release) -> Result<()> {
        let (sh, path) = (
            &self.sh,
            format!("repos/{}/releases/{}", self.repository, release.id),
        );
        query(cmd!(sh, "gh api --method DELETE {path}"))
            .run()
            .with_context(|| format!("cannot delete {} on GitHub", release.tag_name))
    }

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
        let (run, name) = (artifact.workflow_run.id.to_string(), &artifact.name);
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

fn query(command: Cmd<'_>) -> Exec {
    Exec::new(command)
        .inherit(GH_ENV)
        .env("GH_PROMPT_DISABLED", "1")
        .env("GH_NO_UPDATE_NOTIFIER", "1")
        .deadline(QUERY_DEADLINE)
}
