//! Backups in a bucket of S3, and in whatever else rclone reaches.

use std::path::Path;

use anyhow::{Result, ensure};
use chrono::{SecondsFormat, TimeDelta, Utc};

use super::Consume;
use super::objects::{Naming, ObjectStore, Objects};
use crate::config::{ObjectLock, RcloneConfig, S3Config};
use crate::context::Context;
use crate::error::CliError;
use crate::error::catalogue::storage as errors;
use crate::report;
use crate::tools::rclone::{Remote, S3Access, UploadLock};

/// Files of a remote; each that is uploaded is locked where the configuration has it so.
#[derive(Debug)]
pub struct RemoteObjects {
    remote: Remote,
    lock: Option<ObjectLock>,
}

/// A bucket.
pub fn open_bucket(ctx: &Context, s3: &S3Config) -> Result<ObjectStore<RemoteObjects>> {
    let access = S3Access {
        bucket: &s3.bucket,
        endpoint: s3.endpoint.as_deref(),
        region: &s3.region,
        provider: s3.provider.as_deref(),
        path_style: s3.path_style,
        credentials: (
            ctx.secret(&s3.access_key)?,
            ctx.secret(&s3.secret_key)?,
            ctx.secret_if_set(&s3.session_token),
        ),
    };
    let objects = RemoteObjects {
        remote: Remote::bucket(ctx.shell()?, &access)?,
        lock: s3.object_lock,
    };
    let naming = Naming::new("s3", &s3.bucket, &s3.prefix);
    Ok(ObjectStore::new(objects, naming, ctx.config.backup.unencrypted))
}

/// A folder of a remote.
pub fn open_remote(ctx: &Context, rclone: &RcloneConfig) -> Result<ObjectStore<RemoteObjects>> {
    let configuration = rclone.config.as_ref().map(|name| ctx.secret(name)).transpose()?;
    // A leading slash is a part of it: SFTP counts from the root then, and from the user's home otherwise.
    let folder = rclone.path.trim_end_matches('/');
    let objects = RemoteObjects {
        remote: Remote::named(ctx.shell()?, &rclone.remote, folder, configuration.as_ref())?,
        lock: None,
    };
    let naming = Naming::new("rclone", format!("{}:{folder}", rclone.remote), "");
    Ok(ObjectStore::new(objects, naming, ctx.config.backup.unencrypted))
}

impl RemoteObjects {
    fn upload_lock(&self) -> Option<UploadLock> {
        self.lock.map(|lock| UploadLock {
            mode: lock.mode.as_str(),
            until: (Utc::now() + TimeDelta::days(lock.days.into()))
                .to_rfc3339_opts(SecondsFormat::Secs, true),
        })
    }

    /// An rclone that is too old for it ignores the lock without a word.
    fn check_lock(&self, name: &str) -> Result<()> {
        if let Some(lock) = self.lock {
            let found = self.remote.lock_of(name)?;
            ensure!(
                found.as_deref() == Some(lock.mode.as_str()),
                errors::object_not_locked(name)
            );
        }
        Ok(())
    }
}

/// Some services keep the file, and then refuse to lock it.
fn is_about_the_lock(error: &anyhow::Error) -> bool {
    let code = error.downcast_ref::<CliError>().and_then(|error| error.code);
    matches!(code, Some("bucket_without_lock" | "object_not_locked"))
}

impl Objects for RemoteObjects {
    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let files = self.remote.list(folder)?.into_iter();
        Ok(files.map(|file| file.path).collect())
    }

    fn upload_new(&self, file: &Path, name: &str) -> Result<()> {
        let uploaded = self
            .remote
            .upload_new(file, name, self.upload_lock().as_ref())
            .and_then(|()| self.check_lock(name));
        let refused = |error: &anyhow::Error| is_about_the_lock(error).then(|| self.remote.delete(name));
        if let Some(Err(error)) = uploaded.as_ref().err().and_then(refused) {
            report::progress(&format!("warning: {name} is left in the storage: {error:#}"));
        }
        uploaded
    }

    fn replace(&self, file: &Path, name: &str) -> Result<()> {
        self.remote.replace(file, name, self.upload_lock().as_ref())?;
        self.check_lock(name)
    }

    fn read(&self, name: &str, offset_bytes: u64, consume: Consume) -> Result<()> {
        self.remote.read(name, offset_bytes, consume)
    }

    fn delete(&self, name: &str) -> Result<()> {
        self.remote.delete(name)
    }
}
