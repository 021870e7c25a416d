//! `backup list`: what is kept where.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::directories;
use crate::context::Context;
use crate::domain::manifest::BackupMetadata;
use crate::report;

/// One backup, and the places that have it.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    pub id: String,
    pub timestamp: DateTime<Utc>,
    pub environment: String,
    pub purpose: String,
    pub size: u64,
    pub documents: u64,
    pub encrypted: bool,
    pub verified: Option<DateTime<Utc>>,
    pub places: Vec<String>,
    #[serde(skip)]
    pub metadata: BackupMetadata,
}

#[derive(Serialize)]
struct List {
    backups: Vec<Listed>,
    /// Places or backups that could not be read.
    problems: Vec<String>,
}

/// Every backup of every place, oldest first. Copies of one backup are one entry.
pub fn list(ctx: &Context) -> Result<Vec<Listed>> {
    let list = read(ctx)?;
    for problem in &list.problems {
        report::progress(&format!("warning: {problem}"));
    }
    Ok(list.backups)
}

fn read(ctx: &Context) -> Result<List> {
    let mut found: BTreeMap<String, Listed> = BTreeMap::new();
    let mut problems = Vec::new();
    for directory in directories(ctx)? {
        for id in directory.ids()? {
            let place = directory.path().display().to_string();
            match directory.get(&id) {
                Ok(Some(backup)) => found
                    .entry(id)
                    .or_insert_with(|| Listed::of(backup.metadata))
                    .places
                    .push(place),
                Ok(None) => {}
                Err(error) => problems.push(format!("{id} in {place}: {error:#}")),
            }
        }
    }
    Ok(List {
        backups: found.into_values().collect(),
        problems,
    })
}

impl Listed {
    fn of(metadata: BackupMetadata) -> Self {
        Self {
            id: metadata.id.clone(),
            timestamp: metadata.timestamp,
            environment: metadata.environment.clone(),
            purpose: metadata.purpose.clone(),
            size: metadata.size,
            documents: metadata.documents,
            encrypted: metadata.encrypted,
            verified: metadata.verified,
            places: Vec::new(),
            metadata,
        }
    }
}

pub(super) fn run(ctx: &Context) -> Result<()> {
    let list = read(ctx)?;
    report::emit(ctx.format, "backup-list/1", &list, || {
        let rows = list.backups.iter().map(|backup| {
            vec![
                backup.id.clone(),
                backup.environment.clone(),
                report::bytes(backup.size),
                backup.documents.to_string(),
                if backup.encrypted { "yes" } else { "no" }.into(),
                backup
                    .verified
                    .map_or_else(|| "never".into(), |at| at.format("%Y-%m-%d %H:%M").to_string()),
                backup.purpose.clone(),
                backup.places.join(", "),
            ]
        });
        let header = [
            "id",
            "environment",
            "size",
            "documents",
            "encrypted",
            "verified",
            "purpose",
            "places",
        ];
        let problems = list
            .problems
            .iter()
            .map(|problem| format!("problem: {problem}\n"));
        report::table(&header, &rows.collect::<Vec<_>>()) + &problems.collect::<String>()
    })
}
