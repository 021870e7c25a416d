//! Everything before the swap: the backup is restored beside the live collections and proved equal. Nothing live changes.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use mongodb::bson::{Bson, Document};
use serde_json::Value;

use super::backup_file;
use super::copy::{Copying, Expiry};
use super::names::{self, Role};
use super::preflight::preflight;
use super::record::{Log, Planned, Record};
use crate::backup::BackupFile;
use crate::context::Context;
use crate::database::{Digests, Live};
use crate::domain::inventory::{Aspect, Difference, Inventory};
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::domain::operation::OperationId;
use crate::error::CliError;
use crate::report;

/// A backup that stands beside the live collections, proved equal.
#[derive(Debug)]
pub struct Prepared {
    pub operation: OperationId,
    pub backup: BackupFile,
    pub(super) ctx: Context,
    pub(super) live: Live,
    pub(super) log: Log,
    pub documents: u64,
    /// How long each part took.
    pub restore_ms: u64,
    pub compare_ms: u64,
    pub warnings: Vec<String>,
}

/// Connects to the environment's database.
pub fn connect(ctx: &Context) -> Result<Live> {
    let mongodb = &ctx.env().mongodb;
    Live::connect(&ctx.secret(&mongodb.uri)?, &mongodb.database)
}

/// Checks the whole backup and the server, restores beside the live collections, compares.
pub fn prepare(ctx: &Context, backup: &BackupFile, operation: &OperationId) -> Result<Prepared> {
    let live = connect(ctx)?;
    let mut log = Log::open(ctx, operation)?;
    ensure!(
        log.history.swap.is_none(),
        CliError::refused(format!("restore {operation} has begun to swap"))
            .next(format!("cargo xtask restore --resume {operation}"))
    );
    log.write(&Record::Planned(Planned {
        backup: std::path::absolute(&backup.path).context("cannot tell the current folder")?,
        backup_id: backup.metadata.id.clone(),
        environment: ctx.env_name.clone(),
        database: live.name().to_owned(),
        host: live.host().to_owned(),
    }))?;
    let found = preflight(ctx, &live, backup, operation)?;
    if !found.problems.is_empty() {
        return Err(CliError::refused(format!(
            "the restore cannot be made:\n    - {}",
            found.problems.join("\n    - ")
        ))
        .live("nothing was changed")
        .next("remove what stands in the way and run the command again")
        .into());
    }
    report::progress(&format!("checking backup {}", backup.metadata.id));
    backup_file::verify(ctx, backup)?;
    log.write(&Record::Verified)?;
    let mut prepared = Prepared {
        operation: operation.clone(),
        backup: backup.clone(),
        ctx: ctx.clone(),
        live,
        log,
        documents: 0,
        restore_ms: 0,
        compare_ms: 0,
        warnings: found.warnings,
    };
    prepared.shadow(ctx).map_err(|error| prepared.abandoned(&error))?;
    Ok(prepared)
}

impl Prepared {
    fn shadow(&mut self, ctx: &Context) -> Result<()> {
        self.log.write(&Record::ShadowBegun)?;
        self.drop_shadow()
            .context("cannot clear the shadow collections of an earlier attempt")?;
        let started = Instant::now();
        let prefix = names::shadow_prefix(&self.operation);
        let collections: Vec<String> = self.collections().collect();
        let copying = Copying {
            backup: &self.backup,
            prefix: &prefix,
            collections: &collections,
            expiry: Expiry::Never,
        };
        self.documents = copying.make(ctx, &self.live)?;
        self.restore_ms = elapsed_ms(started);
        self.log.write(&Record::ShadowFilled {
            documents: self.documents,
            ms: self.restore_ms,
        })?;
        let started = Instant::now();
        let _ticker = report::Ticker::start("comparing the restored collections with the backup");
        let found = shadow_differences(&self.live, &self.backup, &self.operation)?;
        ensure!(
            found.is_empty(),
            "what was restored is not what the backup holds: {}",
            told(&found)
        );
        self.compare_ms = elapsed_ms(started);
        self.log.write(&Record::ShadowCompared { ms: self.compare_ms })
    }

    /// The shadow collections are of no use after an error; they are dropped where the server still answers.
    fn abandoned(&self, error: &anyhow::Error) -> anyhow::Error {
        let cleared = self.drop_shadow();
        let next = match cleared {
            Ok(()) => "correct the cause and run the command again".to_owned(),
            Err(_) => format!(
                "correct the cause, run the command again; `cargo xtask restore --forget {}` clears what is left",
                self.operation
            ),
        };
        CliError::failed(format!("{error:#}"))
            .live("nothing live was changed")
            .next(next)
            .into()
    }

    fn drop_shadow(&self) -> Result<()> {
        for name in self.live.listed()?.keys() {
            if let Some((id, Role::Shadow, _)) = names::parse(name)
                && id == self.operation
            {
                self.live.drop_own(name)?;
            }
        }
        Ok(())
    }

    pub(super) fn namespaces(&self) -> impl Iterator<Item = &NamespaceRecord> {
        let database = self.live.name();
        self.backup
            .metadata
            .namespaces
            .iter()
            .filter(move |n| n.database == database)
    }

    fn collections(&self) -> impl Iterator<Item = String> {
        let collections = self.namespaces().filter(|n| n.kind == NamespaceKind::Collection);
        collections.map(|n| n.collection.clone())
    }
}

/// Everything in which the shadow differs from the backup. TTL indexes are compared without their expiry, which is not
/// set yet; views are made by the swap.
pub(super) fn shadow_differences(
    live: &Live,
    backup: &BackupFile,
    operation: &OperationId,
) -> Result<Vec<Difference>> {
    let mut expected = Inventory::of_backup(&backup.metadata.namespaces, live.name());
    expected
        .collections
        .retain(|_, facts| facts.kind == NamespaceKind::Collection);
    let mut found = live.inventory_of(Digests::Full, |name| match names::parse(name) {
        Some((id, Role::Shadow, collection)) if id == *operation => Some(collection.to_owned()),
        _ => None,
    })?;
    for inventory in [&mut expected, &mut found] {
        for facts in inventory.collections.values_mut() {
            without_expiry(&mut facts.indexes);
        }
    }
    Ok(expected.compare(&found))
}

fn without_expiry(indexes: &mut BTreeMap<String, Value>) {
    for index in indexes.values_mut() {
        if let Some(expiry) = index.get_mut("expireAfterSeconds") {
            *expiry = Value::Null;
        }
    }
}

/// Extended JSON as a document.
pub(super) fn document(value: &Value) -> Result<Document> {
    match serde_json::from_value::<Bson>(value.clone())? {
        Bson::Document(document) => Ok(document),
        other => anyhow::bail!("{other} is not a document"),
    }
}

pub(super) fn told(differences: &[Difference]) -> String {
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    told.join("; ")
}

pub(super) fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Documents that came, changed or went while an application goes on writing, apart from everything else.
pub(super) fn split_written(differences: Vec<Difference>) -> (Vec<Difference>, Vec<Difference>) {
    differences
        .into_iter()
        .partition(|d| d.aspect.is_data() || d.aspect == Aspect::Unexpected)
}
