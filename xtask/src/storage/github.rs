//! Backups on GitHub: drafts of releases, and artifacts that workflows uploaded.
//!
//! Whoever may read a repository may not read its drafts, but many more people may than those who may read the
//! database: so nothing is uploaded that is not encrypted, unless `backup.unencrypted` has it so.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::backup_file::{BackupFile, parse_metadata};
use super::{BackupStore, Consume, read_back, record_for, refuse_unencrypted};
use crate::config::Unencrypted;
use crate::context::Context;
use crate::domain::manifest::{BackupMetadata, METADATA_FILE, StoredCopy, check_backup_id};
use crate::error::catalogue::tools::no_github_repository;
use crate::exec::read_bounded;
use crate::tools::gh::artifacts::TrustedRuns;
use crate::tools::gh::release::{Asset, Files, GhRelease};

/// Drafts are named by this and the backup's id.
const TAG_PREFIX: &str = "backup-";
/// The most that GitHub takes for one file of a release.
const LIMIT_BYTES: u64 = 2 << 30;
/// The workflows that upload backups.
const BACKUP_WORKFLOWS: &[&str] = &[
    "production-deploy.yml",
    "production-rollback.yml",
    "restore-drill.yml",
];
const METADATA_LIMIT_BYTES: usize = 64 << 20;

/// The drafts of one repository that hold backups.
#[derive(Debug)]
pub struct DraftReleases {
    files: Files,
    repository: String,
    branch: String,
    unencrypted: Unencrypted,
}

impl DraftReleases {
    pub fn open(ctx: &Context) -> Result<Self> {
        let github = ctx.config.github.as_ref();
        let github = github.ok_or_else(no_github_repository)?;
        Ok(Self {
            files: Files::new(ctx.shell()?, &github.repository),
            repository: github.repository.clone(),
            branch: ctx.config.git.branch.clone(),
            unencrypted: ctx.config.backup.unencrypted,
        })
    }

    /// Downloads what one of our workflows uploaded from the release branch as the artifact `mongodb-backup-<id>`; `false`
    /// where there is none.
    pub fn download_artifact(&self, id: &str, into: &Path) -> Result<bool> {
        check_backup_id(id)?;
        let trusted = TrustedRuns {
            branch: &self.branch,
            workflows: BACKUP_WORKFLOWS,
        };
        let Some(artifact) = self.files.artifact(&format!("mongodb-backup-{id}"), trusted)? else {
            return Ok(false);
        };
        self.files.download_artifact(&artifact, into)?;
        Ok(true)
    }

    fn draft(&self, id: &str) -> Result<Option<GhRelease>> {
        check_backup_id(id)?;
        let tag = format!("{TAG_PREFIX}{id}");
        let all = self.files.releases()?;
        Ok(all.into_iter().find(|release| release.tag_name == tag))
    }

    fn asset(&self, id: &str, name: &str) -> Result<Option<Asset>> {
        let assets = self.draft(id)?.map(|release| release.assets).unwrap_or_default();
        Ok(assets.into_iter().find(|asset| is_complete(asset, name)))
    }

    /// Size and digest as GitHub states them; where it states no digest, the file is read back.
    fn check_upload(&self, metadata: &BackupMetadata) -> Result<()> {
        let asset = self
            .asset(&metadata.id, &metadata.file)?
            .context("GitHub does not list the file that was uploaded")?;
        ensure!(
            asset.size == metadata.size_bytes,
            "GitHub has {} bytes of {}",
            asset.size,
            metadata.size_bytes
        );
        let Some(digest) = &asset.digest else {
            return read_back(self, metadata);
        };
        let expected = format!("sha256:{}", metadata.hash);
        ensure!(
            *digest == expected,
            "GitHub has a file with the digest {digest}, not {expected}"
        );
        Ok(())
    }
}

fn is_complete(asset: &Asset, name: &str) -> bool {
    asset.name == name && asset.state == "uploaded"
}

impl BackupStore for DraftReleases {
    fn name(&self) -> String {
        format!("github {}", self.repository)
    }

    fn ids(&self) -> Result<Vec<String>> {
        let complete = |release: &GhRelease| {
            release
                .assets
                .iter()
                .any(|asset| is_complete(asset, METADATA_FILE))
        };
        let all = self.files.releases()?;
        let mut ids: Vec<String> = all
            .iter()
            .filter(|release| complete(release))
            .filter_map(|release| release.tag_name.strip_prefix(TAG_PREFIX))
            .filter(|id| check_backup_id(id).is_ok())
            .map(str::to_owned)
            .collect();
        ids.sort();
        Ok(ids)
    }

    fn metadata(&self, id: &str) -> Result<Option<BackupMetadata>> {
        let Some(asset) = self.asset(id, METADATA_FILE)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        self.files.read(&asset, 0, &mut |stream| {
            bytes = read_bounded(stream, METADATA_LIMIT_BYTES)?;
            Ok(())
        })?;
        let metadata = parse_metadata(bytes).context("the metadata on GitHub are damaged")?;
        ensure!(
            metadata.id == id,
            "the metadata on GitHub belong to backup {}",
            metadata.id
        );
        Ok(Some(metadata))
    }

    fn put(&self, backup: &BackupFile) -> Result<StoredCopy> {
        let metadata = &backup.metadata;
        refuse_unencrypted(self.unencrypted, backup, "GitHub")?;
        ensure!(
            metadata.size_bytes < LIMIT_BYTES,
            "GitHub takes files below 2 GiB, and this one has {} bytes: use another storage",
            metadata.size_bytes
        );
        // Two environments may back up in the same second; GitHub itself takes two drafts of one name.
        ensure!(
            self.draft(&metadata.id)?.is_none(),
            "GitHub keeps another backup {} already",
            metadata.id
        );
        let tag = format!("{TAG_PREFIX}{}", metadata.id);
        let title = format!("Backup {} of {}", metadata.id, metadata.environment);
        let copy = StoredCopy {
            kind: "github".into(),
            location: format!("draft {tag} of {}", self.repository),
            expires: None,
            verified: true,
        };
        let record = record_for(backup, &copy)?;
        let files = [backup.path.clone(), record.path().join(METADATA_FILE)];
        let uploaded = self
            .files
            .create_draft(&tag, &title, &files)
            .and_then(|()| self.check_upload(metadata));
        if uploaded.is_err() {
            // What is not proved whole must not be found as a copy.
            if let Ok(Some(draft)) = self.draft(&metadata.id) {
                self.files.delete(&draft)?;
            }
        }
        uploaded.map(|()| copy)
    }

    fn prove(&self, metadata: &BackupMetadata) -> Result<()> {
        self.check_upload(metadata)
    }

    fn read(&self, metadata: &BackupMetadata, offset_bytes: u64, consume: Consume) -> Result<()> {
        let asset = self
            .asset(&metadata.id, &metadata.file)?
            .context("GitHub has the metadata, but not the file")?;
        self.files.read(&asset, offset_bytes, consume)
    }

    fn remove(&self, id: &str) -> Result<()> {
        let draft = self.draft(id)?.context("GitHub does not have it any more")?;
        self.files.delete(&draft)
    }
}
