//! `backup list`: what is kept where.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Keepers, keepers};
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
}

/// Every backup that could be listed.
#[derive(Serialize)]
pub(super) struct Listing {
    pub backups: Vec<Listed>,
    /// Places or backups that could not be read.
    pub problems: Vec<String>,
}

/// Every backup of every place, oldest first. Copies of one backup are one entry.
pub fn list(ctx: &Context) -> Result<Vec<Listed>> {
    let listing = read_all(&keepers(ctx)?);
    for problem in &listing.problems {
        report::progress(&format!("warning: {problem}"));
    }
    Ok(listing.backups)
}

pub(super) fn read_all(keepers: &Keepers) -> Listing {
    let mut found: BTreeMap<String, Listed> = BTreeMap::new();
    let mut problems = Vec::new();
    for keeper in keepers {
        let place = keeper.name();
        let ids = keeper.ids().unwrap_or_else(|error| {
            problems.push(format!("{place}: {error:#}"));
            Vec::new()
        });
        for id in ids {
            if let Some(known) = found.get_mut(&id) {
                known.places.push(place.clone());
                continue;
            }
            match keeper.metadata(&id) {
                Ok(Some(metadata)) => {
                    found.insert(id, Listed::of(&metadata, &place));
                }
                // Deleted between two questions.
                Ok(None) => {}
                Err(error) => problems.push(format!("{id} in {place}: {error:#}")),
            }
        }
    }
    Listing {
        backups: found.into_values().collect(),
        problems,
    }
}

impl Listed {
    fn of(metadata: &BackupMetadata, place: &str) -> Self {
        Self {
            id: metadata.id.clone(),
            timestamp: metadata.timestamp,
            environment: metadata.environment.clone(),
            purpose: metadata.purpose.clone(),
            size: metadata.size,
            documents: metadata.documents,
            encrypted: metadata.encrypted,
            verified: metadata.verified,
            places: vec![place.to_owned()],
        }
    }

    /// For the table; what it was taken for, and where it is, below.
    fn row(&self) -> (Vec<String>, String) {
        let verified = self.verified.map(|at| at.format("%F %R").to_string());
        let row = vec![
            self.id.clone(),
            self.environment.clone(),
            report::bytes(self.size),
            self.documents.to_string(),
            if self.encrypted { "yes" } else { "no" }.into(),
            verified.unwrap_or_else(|| "never".into()),
        ];
        (row, format!("{}; in {}", self.purpose, self.places.join(", ")))
    }
}

pub(super) fn run(ctx: &Context) -> Result<()> {
    let list = read_all(&keepers(ctx)?);
    report::emit(ctx.format, "backup-list/1", &list, || {
        let rows = list.backups.iter().map(Listed::row);
        let header = ["id", "environment", "size", "documents", "encrypted", "verified"];
        let problems = list
            .problems
            .iter()
            .map(|problem| format!("problem: {problem}\n"));
        report::table_with_notes(&header, rows) + &problems.collect::<String>()
    })
}
