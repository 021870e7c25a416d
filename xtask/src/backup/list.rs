//! Lists the backups of every storage.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::find::stores;
use crate::context::Context;
use crate::domain::manifest::{BackupKind, BackupMetadata};
use crate::report;
use crate::storage::BackupStore;

/// One backup, and the storages that have it.
#[derive(Debug, Clone, Serialize)]
pub struct BackupListing {
    pub id: String,
    pub timestamp: DateTime<Utc>,
    pub environment: String,
    pub purpose: String,
    #[serde(rename = "size")]
    pub size_bytes: u64,
    pub documents: u64,
    pub encrypted: bool,
    pub kind: BackupKind,
    /// The full backup that a differential one builds on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    pub verified: Option<DateTime<Utc>>,
    /// Storages that have it.
    #[serde(rename = "places")]
    pub storages: Vec<String>,
}

/// Every backup that could be listed.
#[derive(Debug, Serialize)]
pub struct AllBackups {
    pub backups: Vec<BackupListing>,
    /// Storages or backups that could not be read.
    pub problems: Vec<String>,
}

/// Every backup of every storage, oldest first. Copies of one backup are one entry.
pub fn list(ctx: &Context) -> Result<Vec<BackupListing>> {
    let listing = list_all(ctx)?;
    for problem in &listing.problems {
        report::progress(&format!("warning: {problem}"));
    }
    Ok(listing.backups)
}

/// The same, with the problems as data.
pub fn list_all(ctx: &Context) -> Result<AllBackups> {
    Ok(read_all(&stores(ctx)?))
}

/// The verified backups of this environment, oldest first.
pub(super) fn verified(ctx: &Context) -> Result<Vec<BackupListing>> {
    let mut backups = list(ctx)?;
    backups.retain(|backup| backup.environment == ctx.env_name && backup.verified.is_some());
    backups.sort_by_key(|backup| backup.timestamp);
    Ok(backups)
}

pub(super) fn read_all(stores: &[Box<dyn BackupStore>]) -> AllBackups {
    let mut found: BTreeMap<String, BackupListing> = BTreeMap::new();
    let mut problems = Vec::new();
    for store in stores {
        let storage = store.name();
        let ids = store.ids().unwrap_or_else(|error| {
            problems.push(format!("{storage}: {error:#}"));
            Vec::new()
        });
        for id in ids {
            if let Some(known) = found.get_mut(&id) {
                known.is_in(&storage);
                continue;
            }
            match store.metadata(&id) {
                // A copy of a folder under another name is the same backup.
                Ok(Some(metadata)) => {
                    let listing = || BackupListing::of(&metadata, &storage);
                    let known = found.entry(metadata.id.clone()).or_insert_with(listing);
                    known.is_in(&storage);
                }
                // Deleted between two questions.
                Ok(None) => {}
                Err(error) => problems.push(format!("{id} in {storage}: {error:#}")),
            }
        }
    }
    AllBackups {
        backups: found.into_values().collect(),
        problems,
    }
}

impl BackupListing {
    fn is_in(&mut self, storage: &str) {
        if !self.storages.iter().any(|known| known == storage) {
            self.storages.push(storage.to_owned());
        }
    }

    fn of(metadata: &BackupMetadata, storage: &str) -> Self {
        Self {
            id: metadata.id.clone(),
            timestamp: metadata.timestamp,
            environment: metadata.environment.clone(),
            purpose: metadata.purpose.clone(),
            size_bytes: metadata.size_bytes,
            documents: metadata.documents,
            encrypted: metadata.encrypted,
            kind: metadata.kind,
            base: metadata.base.as_ref().map(|base| base.id.clone()),
            verified: metadata.verified,
            storages: vec![storage.to_owned()],
        }
    }
}
