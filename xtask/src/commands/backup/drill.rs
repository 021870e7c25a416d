//! `backup drill`: restores a backup into a scratch server and compares everything, against the clock.
//!
//! A backup that was read back is whole; one that was restored is known to be of use. Meant for a weekly workflow.

use std::collections::BTreeSet;
use std::io::{Read as _, Write};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use mongodb::bson::{Bson, Document};
use rand::seq::IndexedRandom as _;
use serde::Serialize;

use super::create::elapsed_ms;
use super::{compare, identities, list, resolve, verify};
use crate::archive::ContainerReader;
use crate::archive::container::default_workers;
use crate::backup::BackupFile;
use crate::context::Context;
use crate::database::{Digests, Live};
use crate::domain::inventory::{Difference, Inventory};
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::domain::observation::Seen;
use crate::error::CliError;
use crate::exec::check_interrupted;
use crate::operation::history;
use crate::report;
use crate::secret::Secret;
use crate::tools::{mongo_server, mongorestore};

const COPY_BYTES: usize = 256 << 10;
const MAX_PARALLEL: usize = 4;

/// Options of `backup drill`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The backup (id, file or folder); the newest of the environment unless given
    backup: Option<String>,
    /// Any backup of the environment instead of the newest
    #[arg(long, conflicts_with = "backup")]
    random: bool,
    /// Environment variable with the connection string of an empty scratch server; one is started here unless given
    #[arg(long, value_name = "VARIABLE")]
    uri_env: Option<String>,
    /// Keep the result in the history on the git remote, for `metrics`
    #[arg(long)]
    record: bool,
}

/// What a drill found.
#[derive(Debug, Serialize)]
pub(super) struct Drill {
    pub backup: String,
    pub good: bool,
    pub documents: u64,
    pub collections: usize,
    /// Everything in which the restored database is not as recorded.
    pub differences: Vec<String>,
    pub server: String,
    pub verify_ms: u64,
    pub restore_ms: u64,
    pub compare_ms: u64,
    /// Verify, restore and compare together.
    pub total_ms: u64,
    pub budget_ms: u64,
    pub within_budget: bool,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<()> {
    let backup = choose(args, ctx)?;
    let drill = match &args.uri_env {
        Some(variable) => drill(ctx, &backup, &ctx.secret(variable)?)?,
        None => scratch(ctx, &backup)?,
    };
    report::step_summary(&markdown(&drill))?;
    report::emit(ctx.format, "backup-drill/1", &drill, || text(&drill))?;
    if args.record {
        let seen = Seen::Drill {
            backup: drill.backup.clone(),
            good: drill.good,
            total_ms: drill.total_ms,
            budget_ms: drill.budget_ms,
        };
        history::record(ctx, seen).context("the drill was not kept")?;
    }
    if drill.good && drill.within_budget {
        return Ok(());
    }
    let what = if drill.good {
        format!(
            "the restore took {} of the {} it may take",
            report::duration_ms(drill.total_ms),
            report::duration_ms(drill.budget_ms)
        )
    } else {
        format!("what was restored of {} is not what was backed up", drill.backup)
    };
    Err(CliError::failed(what)
        .live("nothing live was touched")
        .next("take a new backup and drill again; if it fails again, do not deploy")
        .into())
}

fn choose(args: &Args, ctx: &Context) -> Result<BackupFile> {
    if let Some(named) = &args.backup {
        return resolve(ctx, named);
    }
    let mut ids: Vec<String> = list(ctx)?
        .into_iter()
        .filter(|backup| backup.environment == ctx.env_name && backup.verified.is_some())
        .map(|backup| backup.id)
        .collect();
    if args.random {
        ids = ids.choose(&mut rand::rng()).cloned().into_iter().collect();
    }
    let id = ids.pop().ok_or_else(|| {
        CliError::failed(format!("there is no verified backup of {}", ctx.env_name))
            .live("nothing was changed")
            .next("cargo xtask backup create")
    })?;
    resolve(ctx, &id)
}

/// The drill on a server that is started for it and gone afterwards.
pub(super) fn scratch(ctx: &Context, backup: &BackupFile) -> Result<Drill> {
    mongo_server::with_scratch(ctx, |uri| drill(ctx, backup, uri))
}

fn drill(ctx: &Context, backup: &BackupFile, uri: &Secret) -> Result<Drill> {
    let databases = databases_of(backup)?;
    let first = databases.first().context("the backup holds no database")?;
    let live = Live::connect(uri, first)?;
    let parts: Vec<Part> = databases
        .iter()
        .map(|name| Part::of(backup, live.with_database(name)))
        .collect();
    for part in &parts {
        part.require_empty()?;
    }
    let started = Instant::now();
    let whole = verify(ctx, backup)?;
    ensure!(
        whole.is_good(),
        "the backup is damaged: {}",
        whole.problems.join("; ")
    );
    let verify_ms = elapsed_ms(started);

    let step = Instant::now();
    for part in &parts {
        part.fill(ctx, backup, uri)?;
    }
    let restore_data_ms = elapsed_ms(step);

    // The documents before the indexes: one that lets documents expire must not do so before they are compared.
    let step = Instant::now();
    report::progress("comparing what was restored with what was backed up");
    let mut differences = Vec::new();
    for part in &parts {
        part.compare(Digests::Full, &mut differences)?;
    }
    let compare_data_ms = elapsed_ms(step);

    let step = Instant::now();
    for part in &parts {
        part.build_indexes(backup)?;
    }
    let restore_ms = restore_data_ms + elapsed_ms(step);
    let step = Instant::now();
    for part in &parts {
        part.compare(Digests::None, &mut differences)?;
    }
    let budget_ms = ctx.config.budgets.restore_s * 1_000;
    let total_ms = elapsed_ms(started);
    Ok(Drill {
        backup: backup.metadata.id.clone(),
        good: differences.is_empty(),
        documents: backup.metadata.documents,
        collections: parts.iter().map(|part| part.expected.collections.len()).sum(),
        differences,
        server: live.server()?.version,
        verify_ms,
        restore_ms,
        compare_ms: compare_data_ms + elapsed_ms(step),
        total_ms,
        budget_ms,
        within_budget: total_ms <= budget_ms,
    })
}

/// The databases of applications in the backup. Those of the server are left out: a scratch server has its own.
fn databases_of(backup: &BackupFile) -> Result<Vec<String>> {
    let own = backup.metadata.namespaces.iter().filter(|n| compare::is_own(n));
    let databases: BTreeSet<&String> = own.map(|n| &n.database).collect();
    ensure!(
        !databases.is_empty(),
        "the backup holds no collection that could be restored"
    );
    Ok(databases.into_iter().cloned().collect())
}

/// One database of the backup, and where it is restored.
struct Part {
    live: Live,
    expected: Inventory,
}

impl Part {
    fn of(backup: &BackupFile, live: Live) -> Self {
        let expected = crate::database::backup_inventory(&backup.metadata.namespaces, live.name());
        Self { live, expected }
    }

    fn require_empty(&self) -> Result<()> {
        if self.live.listed()?.is_empty() {
            return Ok(());
        }
        let (database, host) = (self.live.name(), self.live.host());
        Err(CliError::refused(format!("`{database}` on {host} is not empty"))
            .live("nothing was changed")
            .next("name a server without this database: a drill must never meet live data")
            .into())
    }

    fn fill(&self, ctx: &Context, backup: &BackupFile, uri: &Secret) -> Result<()> {
        let facts = || self.expected.collections.iter();
        let collections = facts().filter(|(_, facts)| facts.kind == NamespaceKind::Collection);
        let names: Vec<String> = collections.map(|(name, _)| name.clone()).collect();
        let own = |n: &&NamespaceRecord| n.database == self.live.name();
        let in_archive = backup.metadata.namespaces.iter().filter(own);
        let left_out: Vec<String> = in_archive
            .filter(|n| !compare::is_own(n))
            .map(|n| n.collection.clone())
            .collect();
        let request = mongorestore::Request {
            uri,
            from_database: self.live.name(),
            to_database: self.live.name(),
            prefix: "",
            collections: &names,
            excluded: &left_out,
            bypass_validation: true,
            parallel: default_workers().min(MAX_PARALLEL),
        };
        let documents: u64 = facts().map(|(_, facts)| facts.documents).sum();
        let _ticker = report::Ticker::start(format!(
            "restoring {documents} documents of `{}` into the scratch server",
            self.live.name()
        ));
        mongorestore::restore(&ctx.shell()?, &request, |pipe| copy_archive(ctx, backup, pipe))?;
        Ok(())
    }

    fn build_indexes(&self, backup: &BackupFile) -> Result<()> {
        let _ticker = report::Ticker::start("building indexes");
        let own = |n: &&NamespaceRecord| n.database == self.live.name() && compare::is_own(n);
        let collections = backup.metadata.namespaces.iter().filter(own);
        for namespace in collections.filter(|n| n.kind == NamespaceKind::Collection) {
            let indexes = secondary_indexes(namespace)
                .with_context(|| format!("an index of `{}` is not readable", namespace.name()))?;
            self.live.create_indexes(&namespace.collection, &indexes)?;
        }
        Ok(())
    }

    /// Adds what differs: in documents where they are read, else in everything but documents.
    fn compare(&self, digests: Digests, differences: &mut Vec<String>) -> Result<()> {
        let found = self.expected.compare(&self.live.inventory(digests)?);
        let wanted = |difference: &&Difference| difference.aspect.is_data() == (digests == Digests::Full);
        let told = found.iter().filter(wanted);
        differences.extend(told.map(|difference| format!("{}: {difference}", self.live.name())));
        Ok(())
    }
}

fn copy_archive(ctx: &Context, backup: &BackupFile, into: &mut dyn Write) -> Result<()> {
    let keys = identities(ctx)?;
    let mut reader = ContainerReader::open(&backup.path, keys.as_ref(), default_workers())?;
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let count = reader.read(&mut buffer).context("cannot read the backup")?;
        if count == 0 {
            return Ok(());
        }
        check_interrupted()?;
        into.write_all(&buffer[..count])
            .context("cannot hand on the archive")?;
    }
}

/// Those that the server does not make by itself.
fn secondary_indexes(namespace: &NamespaceRecord) -> Result<Vec<Document>> {
    let mut indexes = Vec::new();
    for index in &namespace.indexes {
        let index: Bson = serde_json::from_value(index.clone())?;
        let mut index = index.as_document().context("it is no document")?.clone();
        index.remove("ns");
        let own = index.get_str("name").is_ok_and(|name| name == "_id_");
        if !own && !index.get_bool("clustered").unwrap_or(false) {
            indexes.push(index);
        }
    }
    Ok(indexes)
}

fn text(drill: &Drill) -> String {
    let mut lines = vec![format!(
        "drill of {}: {} documents of {} collections restored into a scratch server ({}): {}\n",
        drill.backup,
        drill.documents,
        drill.collections,
        drill.server,
        if drill.good {
            "everything equal"
        } else {
            "NOT EQUAL"
        }
    )];
    lines.extend(
        drill
            .differences
            .iter()
            .map(|what| format!("  differs: {what}\n")),
    );
    lines.push(format!(
        "  time: {} of {} (verify {}, restore {}, compare {})\n",
        report::duration_ms(drill.total_ms),
        report::duration_ms(drill.budget_ms),
        report::duration_ms(drill.verify_ms),
        report::duration_ms(drill.restore_ms),
        report::duration_ms(drill.compare_ms)
    ));
    lines.concat()
}

fn markdown(drill: &Drill) -> String {
    format!("### Backup drill\n\n```\n{}```\n", text(drill))
}
