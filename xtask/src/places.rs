//! Where backups are kept, all places behind one interface.
//!
//! A backup is complete in a place when its metadata are there: they are stored after the file, and only when the
//! file was read back.

pub mod azure;
pub mod directory;
pub mod github;

use std::fmt;
use std::io::Read;

use anyhow::Result;

use crate::backup::BackupFile;
use crate::config::Place;
use crate::context::Context;
use crate::domain::manifest::{BackupMetadata, StoragePlace};

/// What is done with the bytes of a file as they come.
pub type Consume<'a> = &'a mut dyn FnMut(&mut dyn Read) -> Result<()>;

/// One place, ready for use.
pub trait Keeper: fmt::Debug {
    /// The place for people.
    fn name(&self) -> String;

    /// Ids of the backups that are complete here, oldest first.
    fn ids(&self) -> Result<Vec<String>>;

    /// What is recorded of a backup; `None` where it is not here.
    fn metadata(&self, id: &str) -> Result<Option<BackupMetadata>>;

    /// Stores file and metadata. Size and digest are read back from the place.
    fn put(&self, backup: &BackupFile) -> Result<StoragePlace>;

    /// Hands the bytes of the file from `offset_bytes` on to `consume`.
    fn read(&self, metadata: &BackupMetadata, offset_bytes: u64, consume: Consume) -> Result<()>;

    /// Deletes the backup.
    fn remove(&self, id: &str) -> Result<()>;
}

/// Opens a place of pipeline.toml.
pub fn open(ctx: &Context, place: &Place) -> Result<Box<dyn Keeper>> {
    Ok(match place {
        Place::Directory { path, .. } => Box::new(directory::Directory::open(ctx.root.join(path))?),
        Place::Github { .. } => Box::new(github::Releases::open(ctx)?),
        Place::Azure {
            container,
            prefix,
            connection,
            ..
        } => Box::new(azure::Container::open(ctx, container, prefix, connection)?),
    })
}

/// Whether a failure of this place is an error of the backup.
pub fn is_required(place: &Place) -> bool {
    match place {
        Place::Directory { required, .. } | Place::Github { required } | Place::Azure { required, .. } => {
            *required
        }
    }
}
