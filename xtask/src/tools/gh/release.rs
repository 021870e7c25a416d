//! `gh`: files kept with drafts of releases.
//!
//! A draft has no tag, never becomes public and does not expire; only people with write access to the repository see
//! it. A laptop cannot upload artifacts, but it can make a draft.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use xshell::{Shell, cmd};

use super::query;

/// For a file of up to 2 GiB, the most that a release takes.
pub(super) const TRANSFER_DEADLINE: Duration = Duration::from_hours(2);

/// One release, or a draft of one.
#[derive(Debug, Clone, Deserialize)]
pub struct GhRelease {
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

/// The files of one repository.
#[derive(Debug, Clone)]
pub struct Files {
    pub(super) sh: Shell,
    pub(super) repository: String,
}

impl Files {
    pub fn new(sh: Shell, repository: &str) -> Self {
        Self {
            sh,
            repository: repository.to_owned(),
        }
    }

    /// All releases and drafts.
    pub fn releases(&self) -> Result<Vec<GhRelease>> {
        let (sh, path) = (
            &self.sh,
            format!("repos/{}/releases?per_page=100", self.repository),
        );
        let text = query(cmd!(sh, "gh api --paginate {path}"))
            .read()
            .context("cannot list the releases on GitHub")?;
        // One array a page, one after the other or merged into one, as the version of gh likes it.
        let pages = serde_json::Deserializer::from_str(&text).into_iter::<Vec<GhRelease>>();
        let pages: Vec<Vec<GhRelease>> = pages
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
    pub fn delete(&self, release: &GhRelease) -> Result<()> {
        let (sh, path) = (
            &self.sh,
            format!("repos/{}/releases/{}", self.repository, release.id),
        );
        query(cmd!(sh, "gh api --method DELETE {path}"))
            .run()
            .with_context(|| format!("cannot delete {} on GitHub", release.tag_name))
    }
}
