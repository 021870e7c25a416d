//! Backups in a container of Azure Blob Storage.

use std::path::Path;

use anyhow::Result;

use super::Consume;
use super::objects::{Naming, ObjectStore, Objects};
use crate::context::Context;
use crate::tools::az::Blobs;

/// One container; `connection` names the variable with its connection string.
pub fn open(ctx: &Context, container: &str, prefix: &str, connection: &str) -> Result<ObjectStore<Blobs>> {
    let blobs = Blobs::new(ctx.shell()?, container, ctx.secret(connection)?);
    let naming = Naming::new("azure", container, prefix);
    Ok(ObjectStore::new(blobs, naming, ctx.config.backup.unencrypted))
}

impl Objects for Blobs {
    fn list(&self, folder: &str) -> Result<Vec<String>> {
        let blobs = Self::list(self, folder)?.into_iter();
        Ok(blobs
            .filter_map(|blob| blob.name.strip_prefix(folder).map(str::to_owned))
            .collect())
    }

    fn upload_new(&self, file: &Path, name: &str) -> Result<()> {
        self.upload(file, name, false)
    }

    fn replace(&self, file: &Path, name: &str) -> Result<()> {
        self.upload(file, name, true)
    }

    fn read(&self, name: &str, offset_bytes: u64, consume: Consume) -> Result<()> {
        Self::read(self, name, offset_bytes, consume)
    }

    fn delete(&self, name: &str) -> Result<()> {
        Self::delete(self, name)
    }
}
