//! Snapshots of the environment's cluster, by MongoDB Atlas: taken before a release, proved to be kept, listed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::config::{AtlasConfig, MongodbConfig};
use crate::connection::ConnectionString;
use crate::context::Context;
use crate::database::Live;
use crate::domain::inventory::is_application;
use crate::domain::ledger::{LedgerState, OperationOutcome, SNAPSHOT_READ};
use crate::domain::manifest::NamespaceKind;
use crate::domain::operation::OperationId;
use crate::domain::snapshot::{SnapshotRef, SnapshotState, description_of, operation_of};
use crate::error::catalogue::atlas as errors;
use crate::report;
use crate::tools::atlas::{Atlas, AtlasCluster, AtlasSnapshot, may_pass};
use crate::tools::railway::database_uri;
use crate::wait;

/// Clocks differ, and Atlas counts whole days from the beginning.
const EXPIRY_TOLERANCE: TimeDelta = TimeDelta::days(1);

/// One snapshot that an operation of ours asked for.
#[derive(Debug, Clone, Serialize)]
pub struct SnapshotListing {
    pub id: String,
    pub cluster: String,
    /// As Atlas calls it.
    pub status: String,
    /// The operation that asked for it.
    pub operation: String,
    pub created: Option<DateTime<Utc>>,
    pub expires: Option<DateTime<Utc>>,
    #[serde(rename = "size")]
    pub size_bytes: u64,
    /// The last operation that restored it and read every document; nothing else proves that it can be restored.
    pub read_by: Option<String>,
}

impl SnapshotListing {
    /// What proves that it can be restored, in words.
    pub fn proof(&self) -> String {
        match &self.read_by {
            Some(operation) => format!("read back by {operation}"),
            None => "not restored by us since".to_owned(),
        }
    }
}

/// The cluster of the environment, where its data are kept by snapshots.
pub(super) struct SnapshotSource<'a> {
    pub(super) place: &'a AtlasConfig,
    pub(super) atlas: Atlas,
}

impl<'a> SnapshotSource<'a> {
    pub(super) fn open(ctx: &'a Context) -> Result<Self> {
        let place = ctx.env().atlas.as_ref();
        let place = place.context("the environment names no cluster of Atlas")?;
        let atlas = Atlas::open(ctx, place)?;
        Ok(Self { place, atlas })
    }
}

/// Proves that snapshots of the cluster would be snapshots of what is live: it is the one of the connection string, and its
/// backup is on.
///
/// # Errors
/// What speaks against it.
pub fn check(ctx: &Context) -> Result<AtlasCluster> {
    let source = SnapshotSource::open(ctx)?;
    let cluster = source.atlas.cluster()?;
    require_live(ctx, ctx.mongodb()?, source.place, &cluster)?;
    ensure!(
        cluster.backup_enabled,
        errors::atlas_without_backup(&source.place.cluster)
    );
    Ok(cluster)
}

/// A snapshot of another cluster has nothing of what is live.
fn require_live(
    ctx: &Context,
    mongodb: &MongodbConfig,
    place: &AtlasConfig,
    cluster: &AtlasCluster,
) -> Result<()> {
    let string = ConnectionString::read(&ctx.connection_string(&mongodb.uri)?)?.members();
    let of_cluster = cluster.members();
    let is_same = cluster.name == place.cluster && !string.is_empty() && string.is_subset(&of_cluster);
    let listed = |members: &std::collections::BTreeSet<String>| {
        members.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    ensure!(
        is_same,
        errors::atlas_other_cluster(&place.cluster, listed(&of_cluster), &mongodb.uri, listed(&string))
    );
    Ok(())
}

/// What the plan of a release has about it.
pub fn note(ctx: &Context) -> String {
    let cluster = ctx.env().atlas.as_ref().map_or("", |place| &place.cluster);
    let days = ctx.config.backup.retention_days;
    let alone = if ctx.config.engine(ctx.env()).has_archive() {
        ""
    } else {
        "; no backup is taken, so that no rollback restores data within its 15 minutes"
    };
    format!(
        "Atlas takes a snapshot of the cluster {cluster} before anything is live, and keeps it for {days} days: it takes minutes{alone}"
    )
}

/// How data come back that only a snapshot has, and what that costs.
pub fn way_back(snapshot: &SnapshotRef, tag: &str) -> String {
    let SnapshotRef {
        id, cluster, expires, ..
    } = snapshot;
    format!(
        "only the snapshot {id} of the cluster {cluster} on Atlas, kept until {}, has the data of {tag}, and nothing of ours has read it back. No \
         rollback waits for Atlas, which restores even small collections in 10 to 20 minutes: `cargo xtask backup import --snapshot {id}` makes \
         a verified backup of it, `cargo xtask restore BACKUP` restores that one; --database keep rolls back the code only",
        expires.format("%F")
    )
}

/// Lets Atlas take a snapshot for an operation and waits until it is completed. Where an earlier process of the operation has
/// asked for one already, it is that one.
///
/// # Errors
/// Exit 1 where it failed or did not complete in time; exit 3 where it would be of another cluster.
pub fn take(ctx: &Context, operation: &OperationId) -> Result<SnapshotRef> {
    check(ctx)?;
    let source = SnapshotSource::open(ctx)?;
    let live = Live::connect(&database_uri(ctx)?, &ctx.mongodb()?.database)?;
    let before = contents(&live)?;
    let asked = source.ask_for(ctx, &description_of(operation))?;
    let cluster = &source.place.cluster;
    report::progress(&format!(
        "  Atlas takes the snapshot {} of the cluster {cluster}",
        asked.id
    ));
    let taken = source.completed(&asked.id)?;
    let mut snapshot = kept(ctx, source.place, &taken)?;
    let after = contents(&live)?;
    for (name, what) in before.iter().chain(&after) {
        let is_same = before.get(name) == after.get(name);
        match what {
            Contents::Collection if is_same => snapshot.collections.push(name.clone()),
            Contents::View(definition) if is_same => {
                drop(snapshot.views.insert(name.clone(), definition.clone()));
            }
            _ => snapshot.left_out.push(name.clone()),
        }
    }
    for names in [&mut snapshot.collections, &mut snapshot.left_out] {
        names.sort();
        names.dedup();
    }
    Ok(snapshot)
}

/// What is of one name in the application's database.
#[derive(Debug, Clone, PartialEq)]
enum Contents {
    Collection,
    View(Value),
    TimeSeries,
}

/// What the application has in its database.
fn contents(live: &Live) -> Result<BTreeMap<String, Contents>> {
    let listed = live.listed()?.into_iter();
    let own = listed.filter(|(name, _)| is_application(name));
    let own = own.map(|(name, listed)| {
        let what = match listed.kind {
            NamespaceKind::Collection => Contents::Collection,
            NamespaceKind::View => Contents::View(serde_json::to_value(&listed.options)?),
            NamespaceKind::Timeseries => Contents::TimeSeries,
        };
        Ok((name, what))
    });
    own.collect()
}

impl SnapshotSource<'_> {
    fn deadline(&self) -> Duration {
        Duration::from_secs(self.place.snapshot_s)
    }

    /// The snapshot with this description. Atlas takes one at a time: that of somebody else is waited for. What an answer that
    /// got lost has begun is found by its description, and not asked for twice.
    fn ask_for(&self, ctx: &Context, description: &str) -> Result<AtlasSnapshot> {
        let days = ctx.config.backup.retention_days;
        let cluster = &self.place.cluster;
        let what = format!("the beginning of a snapshot of the cluster {cluster}");
        let mut reported = false;
        // Between the question and the request somebody else may have asked for one: 409.
        let may_pass = |error: &anyhow::Error| may_pass(error) || format!("{error:#}").contains(": HTTP 409");
        wait::until(&what, self.deadline(), may_pass, || {
            let all = self.atlas.snapshots()?;
            let ours =
                |one: &&AtlasSnapshot| one.description == description && one.state() != SnapshotState::Failed;
            if let Some(found) = all.iter().find(ours) {
                return Ok(Some(found.clone()));
            }
            let other = all
                .iter()
                .find(|one| one.is_on_demand() && one.state() == SnapshotState::Pending);
            if let Some(other) = other {
                if !std::mem::replace(&mut reported, true) {
                    report::progress(&format!(
                        "  waiting for the snapshot {} of somebody else ({}): Atlas takes one at a time",
                        other.id, other.description
                    ));
                }
                return Ok(None);
            }
            self.atlas.create_snapshot(description, days).map(Some)
        })
    }

    fn completed(&self, id: &str) -> Result<AtlasSnapshot> {
        let cluster = &self.place.cluster;
        let _ticker = report::Ticker::start(format!("waiting for the snapshot {id}"));
        let late = std::cell::Cell::new(true);
        let ended = wait::until(&format!("snapshot {id}"), self.deadline(), may_pass, || {
            let asked = self.atlas.snapshot(id);
            late.set(asked.is_ok());
            let snapshot = asked?;
            Ok((snapshot.state() != SnapshotState::Pending).then_some(snapshot))
        });
        let ended = match ended {
            Err(_) if late.get() && !crate::exec::interrupted() => {
                return Err(errors::snapshot_late(id, cluster, self.place.snapshot_s).into());
            }
            other => other?,
        };
        ensure!(
            ended.state() == SnapshotState::Completed,
            errors::snapshot_failed(id, cluster)
        );
        Ok(ended)
    }
}

/// Proves that Atlas keeps it for as long as was asked for.
fn kept(ctx: &Context, place: &AtlasConfig, taken: &AtlasSnapshot) -> Result<SnapshotRef> {
    let wanted = Utc::now() + TimeDelta::days(ctx.config.backup.retention_days.into());
    let expires = taken.expires_at;
    let is_long = expires.is_some_and(|expires| expires + EXPIRY_TOLERANCE >= wanted);
    let text = |at: DateTime<Utc>| at.format("%F").to_string();
    ensure!(
        is_long,
        errors::snapshot_short_lived(
            &taken.id,
            expires.map_or_else(|| "nobody knows when".to_owned(), text),
            text(wanted)
        )
    );
    Ok(SnapshotRef {
        id: taken.id.clone(),
        project: place.project.clone(),
        cluster: place.cluster.clone(),
        expires: expires.unwrap_or(wanted),
        collections: Vec::new(),
        views: BTreeMap::new(),
        left_out: Vec::new(),
    })
}

/// The snapshots that operations of ours asked for, oldest first; none where the environment has no cluster of Atlas.
pub fn list(ctx: &Context, ledger: Option<&LedgerState>) -> Result<Vec<SnapshotListing>> {
    let Some(place) = &ctx.env().atlas else {
        return Ok(Vec::new());
    };
    let read_by = |id: &str| {
        let operations = ledger.into_iter().flat_map(|state| &state.operations);
        let restores = operations.filter(|one| one.started.kind == SNAPSHOT_READ && one.started.target == id);
        let mut done = restores.filter(|one| {
            one.ended
                .as_ref()
                .is_some_and(|ended| ended.outcome == OperationOutcome::Done)
        });
        done.next_back().map(|one| one.id.to_string())
    };
    let mut all: Vec<SnapshotListing> = SnapshotSource::open(ctx)?
        .atlas
        .snapshots()?
        .into_iter()
        .filter_map(|one| {
            Some(SnapshotListing {
                operation: operation_of(&one.description)?.to_string(),
                cluster: place.cluster.clone(),
                status: one.status().to_owned(),
                created: one.created_at,
                expires: one.expires_at,
                size_bytes: one.storage_size_bytes,
                read_by: read_by(&one.id),
                id: one.id,
            })
        })
        .collect();
    all.sort_by_key(|one| one.operation.clone());
    Ok(all)
}
