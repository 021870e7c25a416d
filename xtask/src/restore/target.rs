//! A backup into another environment, or into a database that only a variable names: never into a protected one.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use mongodb::bson::doc;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::context::connect;
use super::delta_choice::DeltaChoice;
use super::operation::{RestoreChoice, RestoreOptions, start};
use super::preview::DocumentCount;
use super::selection::Selection;
use super::swap::Swapped;
use crate::backup::{self, BackupFile, CopyTarget, MaskedCopy, Masks};
use crate::config::Via;
use crate::connection::{ConnectionString, member, members_of};
use crate::context::Context;
use crate::database::{Digests, Live};
use crate::domain::inventory::is_application;
use crate::domain::manifest::{NamespaceKind, NamespaceRecord};
use crate::error::catalogue::restore as errors;
use crate::secret::Secret;
use crate::tools::railway::tunnel_name;

/// Where a backup goes.
#[derive(Debug, Clone, Copy)]
pub enum RestoreTarget<'a> {
    /// An environment of pipeline.toml.
    Environment(&'a str),
    /// The database whose connection string is in this variable; its name is that of the environment's unless another is
    /// given.
    Variable {
        variable: &'a str,
        database: Option<&'a str>,
    },
}

/// What would be copied where.
#[derive(Debug, Serialize)]
pub struct CopyPlan {
    pub backup_id: String,
    pub environment: String,
    pub database: String,
    pub host: String,
    pub copied: DocumentCount,
    /// What the target has now, and would be replaced; it stays beside until `--forget`.
    pub replaced: DocumentCount,
    /// The masks, by name, with what becomes of the values.
    pub masks: Vec<String>,
    #[serde(skip)]
    pub is_empty: bool,
}

/// A backup that was copied.
#[derive(Debug, Serialize)]
pub struct CopiedInto {
    pub environment: String,
    pub database: String,
    /// The masked copy, a backup of the target.
    pub copy: String,
    /// Values that were replaced, by mask.
    pub masked: std::collections::BTreeMap<String, u64>,
    #[serde(flatten)]
    pub restored: Swapped,
}

/// What a command works with that has a target other than the chosen environment. A database that only a variable names has a
/// ledger under a name made of its hosts and its name: the same one on every machine.
///
/// # Errors
/// Usage (exit 2) for an environment that is not configured, or the chosen one itself; refused (exit 3) for a protected one.
pub fn target_context(ctx: &Context, target: RestoreTarget<'_>) -> Result<Context> {
    let mut of_target = ctx.clone();
    match target {
        RestoreTarget::Environment(name) => {
            let known: Vec<&str> = ctx.config.environments.keys().map(String::as_str).collect();
            let Some(environment) = ctx.config.environments.get(name) else {
                return Err(errors::target_unknown(name, known.join(", ")).into());
            };
            ensure!(name != ctx.env_name, errors::target_is_source(name));
            ensure!(!environment.protected, errors::target_protected(name));
            name.clone_into(&mut of_target.env_name);
        }
        RestoreTarget::Variable { variable, database } => {
            let mut environment = ctx.env().clone();
            let mut mongodb = ctx.mongodb()?.clone();
            variable.clone_into(&mut mongodb.uri);
            (mongodb.via, mongodb.via_token) = (Via::Direct, None);
            if let Some(database) = database {
                database.clone_into(&mut mongodb.database);
            }
            environment.protected = false;
            let members = members(&ctx.connection_string(variable)?)?;
            let members: Vec<String> = members.into_iter().collect();
            let place = format!("{}/{}", members.join(","), mongodb.database);
            environment.mongodb = Some(mongodb);
            let name = format!("to-{}", &hex::encode(Sha256::digest(place))[..8]);
            environment.tag_prefix.clone_from(&name);
            of_target.env_name.clone_from(&name);
            of_target.config.environments.insert(name, environment);
        }
    }
    Ok(of_target)
}

/// What would be copied where. Changes nothing.
///
/// # Errors
/// Refused (exit 3) where the target is, or may be, the database of a protected environment or of the chosen one.
pub fn plan_copy(
    ctx: &Context,
    of_target: &Context,
    backup: &BackupFile,
    selection: &Selection,
) -> Result<CopyPlan> {
    let live = connect(of_target)?;
    require_other_database(ctx, &live, backup)?;
    let records = records(ctx, backup, selection)?;
    Masks::of(ctx, backup, &records)?;
    let taken = |name: &str| is_application(name) && selection.has(name);
    let now = live.inventory_of(Digests::None, |name| taken(name).then(|| name.to_owned()))?;
    let there = now.collections.values();
    let masks = ctx.config.mask.iter();
    Ok(CopyPlan {
        backup_id: backup.metadata.id.clone(),
        environment: of_target.env_name.clone(),
        database: live.name().to_owned(),
        host: live.host().to_owned(),
        copied: DocumentCount {
            documents: records.iter().map(|record| record.documents).sum(),
            bytes: records.iter().map(|record| record.bytes).sum(),
        },
        replaced: DocumentCount {
            documents: there.clone().map(|facts| facts.documents).sum(),
            bytes: there.map(|facts| facts.bytes).sum(),
        },
        masks: masks
            .map(|(name, rule)| format!("{name}: {}", rule.text()))
            .collect(),
        is_empty: now.collections.is_empty(),
    })
}

/// Makes the masked copy and restores it there, as every restore of the target is made.
///
/// # Errors
/// As [`start`].
pub fn copy_into(
    ctx: &Context,
    of_target: &Context,
    backup: &BackupFile,
    selection: &Selection,
    options: RestoreOptions<'_>,
) -> Result<CopiedInto> {
    let live = connect(of_target)?;
    require_other_database(ctx, &live, backup)?;
    let records = records(ctx, backup, selection)?;
    let masks = Masks::of(ctx, backup, &records)?;
    let target = CopyTarget {
        environment: &of_target.env_name,
        database: live.name(),
        host: live.host(),
    };
    let MaskedCopy { file, masked } = backup::copy_masked(ctx, backup, &records, masks, &target)?;
    let choice = RestoreChoice {
        selection: selection.clone(),
        delta: DeltaChoice::default(),
    };
    let restored = start(of_target, &file, &choice, [0; 3], options)?;
    Ok(CopiedInto {
        environment: of_target.env_name.clone(),
        database: live.name().to_owned(),
        copy: file.metadata.id,
        masked,
        restored,
    })
}

/// What is copied of the backup.
fn records<'a>(
    ctx: &'a Context,
    backup: &'a BackupFile,
    selection: &'a Selection,
) -> Result<Vec<&'a NamespaceRecord>> {
    let database = &ctx.mongodb()?.database;
    let taken: Vec<&NamespaceRecord> = selection.of(&backup.metadata.namespaces, database).collect();
    let owned: Vec<NamespaceRecord> = taken.iter().map(|record| (*record).clone()).collect();
    let mut problems = backup::restorable(&owned, database).problems;
    let series = owned.iter().filter(|n| n.kind == NamespaceKind::Timeseries);
    problems.extend(series.map(|n| {
        format!(
            "`{}` is a time-series collection, whose values cannot be masked: name the others with --collection",
            n.collection
        )
    }));
    let listed = problems.iter().map(|problem| format!("\n    - {problem}"));
    ensure!(problems.is_empty(), errors::blocked(listed.collect::<String>()));
    Ok(taken)
}

/// Refuses where the target is the database of a protected environment or of the chosen one, whatever its members are called
/// and in whatever order they are named; and where nothing proves that it is not.
fn require_other_database(ctx: &Context, live: &Live, backup: &BackupFile) -> Result<()> {
    let mut own: BTreeSet<String> = members_of(live.host());
    own.extend(reported_members(live));
    let guarded = ctx
        .config
        .environments
        .iter()
        .filter(|(name, environment)| environment.protected || **name == ctx.env_name);
    for (name, environment) in guarded {
        let Some(mongodb) = &environment.mongodb else {
            continue;
        };
        if !mongodb.database.eq_ignore_ascii_case(live.name()) {
            continue;
        }
        let of_backup = backup.metadata.environment == *name && !backup.metadata.host.is_empty();
        let theirs: BTreeSet<String> = if ctx.secret_if_set(&mongodb.uri).is_some() {
            let known = members(&ctx.connection_string(&mongodb.uri)?);
            let known =
                known.map_err(|error| errors::target_unproved(name, &mongodb.uri, format!("{error:#}")))?;
            let tunnel = mongodb.tunnel().map(|place| member(&tunnel_name(place)));
            known.into_iter().chain(tunnel).collect()
        } else if of_backup {
            members_of(&backup.metadata.host)
        } else {
            return Err(errors::target_unproved(name, &mongodb.uri, "it is not set").into());
        };
        ensure!(
            own.is_disjoint(&theirs),
            errors::target_is_database_of(live.host(), live.name(), name)
        );
    }
    Ok(())
}

/// The members that a connection string names, by itself or through DNS.
fn members(uri: &Secret) -> Result<BTreeSet<String>> {
    let client = ConnectionString::read(uri)?.for_client()?;
    Ok(client
        .hosts
        .iter()
        .map(|host| member(&host.to_string()))
        .collect())
}

/// The members that the server itself reports: a connection string may name one of them alone.
fn reported_members(live: &Live) -> BTreeSet<String> {
    let hello = live.hello().unwrap_or_default();
    let lists = ["hosts", "passives", "arbiters"].into_iter();
    let listed = lists.filter_map(|list| hello.get_array(list).ok()).flatten();
    let me = hello.get_str("me").ok().map(member);
    listed
        .filter_map(|host| host.as_str())
        .map(member)
        .chain(me)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_the_same_however_they_are_written() {
        let of = |uri: &str| members(&Secret::new(uri)).unwrap();
        let one = of("mongodb://u:p@A.example,b.example:27018/?replicaSet=r");
        let other = of("mongodb://b.example:27018,c.example/shop");
        assert!(!one.is_disjoint(&other));
        assert!(one.is_disjoint(&of("mongodb://b.example:27017/")));
        assert!(!of("mongodb://localhost/").is_disjoint(&of("mongodb://127.0.0.1:27017/")));
    }
}
