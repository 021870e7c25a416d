//! Who can read backups: the keys that they are encrypted to, and the rule that none lies in the clear where others can
//! read it.
//!
//! Any signed-in user can download the artifacts of a public repository, and everybody with read access those of a
//! private one (docs.github.com, "Downloading workflow artifacts").

use anyhow::{Context as _, Result};

use crate::archive::{Identities, Recipients};
use crate::config::{BackupConfig, StorageConfig, Unencrypted};
use crate::context::Context;
use crate::error::catalogue::configuration as errors;
use crate::report;

/// Whether the configuration names a key to encrypt to.
pub fn is_configured(config: &BackupConfig) -> bool {
    !config.recipients.is_empty() || config.identity.is_some()
}

/// The public keys that backups are encrypted to: `backup.recipients`, or the public side of `backup.identity`. Empty
/// where neither is configured.
///
/// # Errors
/// Exit 2 where the variable that `backup.identity` names is needed and not set.
pub fn public_keys(ctx: &Context) -> Result<Vec<String>> {
    let config = &ctx.config.backup;
    match &config.identity {
        Some(variable) if config.recipients.is_empty() => {
            let identities = Identities::parse(ctx.secret(variable)?.expose()).with_context(|| {
                format!("the environment variable {variable} holds no usable age identity")
            })?;
            Ok(identities.public_keys().to_vec())
        }
        _ => Ok(config.recipients.clone()),
    }
}

/// [`public_keys`], ready to encrypt to.
pub fn recipients(ctx: &Context) -> Result<Option<Recipients>> {
    let keys = public_keys(ctx)?;
    let parsed = (!keys.is_empty()).then(|| Recipients::parse(&keys)).transpose();
    parsed.context("backup.recipients in pipeline.toml cannot be used")
}

/// Storages off this machine, for people.
pub fn elsewhere(config: &BackupConfig) -> Vec<String> {
    let storages = config.storage.iter();
    storages
        .filter_map(|storage| match storage {
            StorageConfig::Directory {
                path, off_machine, ..
            } => off_machine.then(|| format!("the folder {}", path.display())),
            StorageConfig::Github { .. } => Some("GitHub (drafts of releases)".to_owned()),
            StorageConfig::Azure { container, .. } => Some(format!("Azure (container {container})")),
            StorageConfig::S3(s3) => Some(format!("S3 (bucket {})", s3.bucket)),
            StorageConfig::Rclone(rclone) => Some(format!("rclone (remote {})", rclone.remote)),
        })
        .collect()
}

/// Proves that the keys can be used, and that what is written here is encrypted wherever others can read it.
///
/// # Errors
/// Exit 1 where a backup would lie in the clear before others, exit 2 where a key is missing.
pub fn check(ctx: &Context) -> Result<()> {
    let config = &ctx.config.backup;
    if is_configured(config) {
        return recipients(ctx).map(drop);
    }
    let mut places = elsewhere(config);
    if report::is_workflow() {
        places.push("GitHub (artifacts of workflow runs)".into());
    }
    if places.is_empty() || config.unencrypted == Unencrypted::LetOthersReadThem {
        return Ok(());
    }
    Err(errors::backup_unencrypted(places.join(", ")).into())
}
