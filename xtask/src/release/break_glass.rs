//! A rollback while the git remote does not answer. A repository on this machine takes the remote's place, with what this clone, or
//! a kept copy, has of its records; the lock is in the database. When the remote answers again, all that was recorded here is
//! appended there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ledger_repair;
use super::releases::{Releases, publish};
use crate::context::Context;
use crate::domain::ledger::{LedgerOperation, LedgerState, OperationOutcome};
use crate::domain::operation::OperationId;
use crate::domain::release::Release;
use crate::domain::release_chain::ADOPTED;
use crate::error::catalogue::release as errors;
use crate::operation::ledger::{Ledger, Start, is_missing};
use crate::operation::preflight::Preflight;
use crate::operation::run::plan_sha256;
use crate::report;
use crate::restore::connect;
use crate::tools::git::Git;

/// The kind, in the ledger, of the operation that takes over what others had not seen.
const KIND: &str = "break-glass";
/// The repository that takes the remote's place.
const COPY: &str = "remote.git";
/// The token of the lock in the database: who has this file has the lock.
const TOKEN: &str = "token";
/// How long the remote is asked whether it answers after all.
const ASKED: Duration = Duration::from_secs(20);

/// What the database has of a rollback without the ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct EmergencyNote {
    environment: String,
    by: String,
    host: String,
    began: String,
    reason: String,
    /// The release that it made, once it has ended.
    #[serde(default)]
    release: Option<Release>,
}

impl EmergencyNote {
    fn describe(&self) -> String {
        format!(
            "{} on {} at {} UTC ({})",
            self.by, self.host, self.began, self.reason
        )
    }
}

/// What was appended to the ledger afterwards.
#[derive(Debug, Default, Serialize)]
pub struct Appended {
    pub releases: Vec<String>,
    /// Operations of others that the ledger had got meanwhile: what serves now must be checked.
    pub meanwhile: Vec<String>,
}

/// A context whose remote is the copy on this machine, made from `kept` where a copy was kept.
///
/// # Errors
/// Exit 3 where the remote answers, and where another such rollback holds the lock or is not in the ledger yet.
pub fn open(ctx: &Context, kept: Option<&Path>) -> Result<Context> {
    ensure!(
        Git::open(ctx)
            .with_remote_deadline(ASKED)
            .remote_ref(&format!("refs/heads/{}", ctx.config.git.branch))
            .is_err(),
        errors::remote_answers(&ctx.config.git.remote)
    );
    let folder = folder(ctx)?;
    let copy = folder.join(COPY);
    let (prefix, branch) = (&ctx.env().tag_prefix, &ctx.config.git.branch);
    // Without the lock it is what an earlier attempt left, and may be old.
    if !has_lock(ctx, &folder)? && copy.exists() {
        std::fs::remove_dir_all(&copy).with_context(|| format!("cannot remove {}", copy.display()))?;
    }
    if !copy.exists() {
        let git = Git::open(ctx);
        let made = match kept {
            Some(kept) => git.copy_kept(&copy, kept, prefix, branch),
            None => git.copy_remote(&copy, prefix, branch),
        };
        if let Err(error) = made {
            std::fs::remove_dir_all(&copy).ok();
            return Err(error);
        }
    }
    let here = on_copy(ctx, &copy);
    // A copy of the tags alone has no ledger: it begins with them.
    if let Err(error) = Ledger::open_new(&here)
        .state()
        .and_then(|_| Ledger::open(&here).state())
    {
        ensure!(is_missing(&error), error);
        let repair = ledger_repair::plan(&here)?;
        ledger_repair::carry_out(&here, &repair)?;
    }
    report::progress(&format!(
        "the git remote does not answer: everything is recorded in {}, and appended by `cargo xtask ledger --repair` when it does",
        copy.display()
    ));
    Ok(here)
}

/// Whether this machine has the lock in the database.
///
/// # Errors
/// Exit 3 where another one has it.
fn has_lock(ctx: &Context, folder: &Path) -> Result<bool> {
    let Some((token, note)) = connect(ctx)?.emergency_lock()? else {
        return Ok(false);
    };
    ensure!(
        has_token(folder, &token),
        errors::emergency_taken(described(note))
    );
    Ok(true)
}

/// Keeps the release in the database until the ledger has it: this machine may be lost.
pub fn note_release(ctx: &Context, release: &Release) -> Result<()> {
    let live = connect(ctx)?;
    let Some((token, note)) = live.emergency_lock()? else {
        return Ok(());
    };
    let note: EmergencyNote = serde_json::from_str(&note).context("the emergency lock is not readable")?;
    let done = EmergencyNote {
        release: Some(release.clone()),
        ..note
    };
    live.note_emergency(&token, &serde_json::to_string(&done)?)
}

/// What a rollback without the ledger did is a problem until the ledger has it.
pub fn require_none(ctx: &Context, preflight: &mut Preflight) {
    let Ok(Some((token, note))) = connect(ctx).and_then(|live| live.emergency_lock()) else {
        // A database that does not answer is a problem of its own.
        return;
    };
    let is_ours = folder(ctx).is_ok_and(|folder| {
        has_token(&folder, &token) && ctx.config.git.remote == folder.join(COPY).to_string_lossy()
    });
    if is_ours {
        return;
    }
    let who = described(note);
    preflight.require(false, || {
        format!("the rollback without the ledger by {who} is not in the ledger: cargo xtask ledger --repair")
    });
}

/// Appends to the remote what was recorded without it; `None` where there is nothing.
///
/// # Errors
/// Exit 3 while the rollback has not ended and its records are on another machine.
pub fn append(ctx: &Context) -> Result<Option<Appended>> {
    // Where the database is not reachable, or not set, records are repaired all the same.
    let Some((live, token, note)) = connect(ctx).ok().and_then(|live| {
        let (token, note) = live.emergency_lock().ok().flatten()?;
        Some((live, token, note))
    }) else {
        return Ok(None);
    };
    let folder = folder(ctx)?;
    let copy = folder.join(COPY);
    let appended = if has_token(&folder, &token) && copy.exists() {
        append_copy(ctx, &copy)?
    } else {
        let note: EmergencyNote =
            serde_json::from_str(&note).context("the emergency lock is not readable")?;
        let who = note.describe();
        let release = note.release.ok_or_else(|| errors::emergency_elsewhere(who))?;
        adopt(ctx, &[release], &LedgerState::default())?
    };
    // The lock last: what it has is enough to do this again.
    std::fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    live.drop_emergency_lock()?;
    Ok(Some(appended))
}

/// The events themselves where the remote has got none since; else a new operation takes over the releases.
fn append_copy(ctx: &Context, copy: &Path) -> Result<Appended> {
    let here = on_copy(ctx, copy);
    let state = Ledger::open(&here).state()?;
    if let Some(left) = state.unfinished() {
        return Err(errors::emergency_unfinished(&left.started.kind, &left.id, &ctx.env_name).into());
    }
    let reference = format!("refs/xtask/ledger/{}", ctx.env_name);
    let ours = Git::open(&here)
        .remote_ref(&reference)?
        .context("the copy has no ledger")?;
    let git = Git::open(ctx);
    let theirs = git.remote_ref(&reference)?;
    let made = Releases::read(&here)?;
    let continues = match &theirs {
        None => true,
        Some(theirs) => {
            git.fetch_chain(&reference, None, theirs).is_ok() && git.is_ancestor(theirs, &ours)?
        }
    };
    if !continues {
        return adopt(ctx, &made.all, &state);
    }
    git.push_commit(&ours, &reference)?;
    let known = Releases::read(ctx)?;
    let mut releases = Vec::new();
    for release in made.all.iter().filter(|one| !known.doubts(&one.tag).is_empty()) {
        publish(ctx, release)?;
        releases.push(release.tag.clone());
    }
    Ok(Appended {
        releases,
        meanwhile: Vec::new(),
    })
}

/// Publishes the releases and lets an operation of its own take them over. `state` has what was recorded without the remote: an
/// operation that the remote has as unfinished may have ended there.
fn adopt(ctx: &Context, made: &[Release], state: &LedgerState) -> Result<Appended> {
    let known = Releases::read(ctx)?;
    let made: Vec<&Release> = made.iter().filter(|one| known.find(&one.tag).is_none()).collect();
    if made.is_empty() {
        return Ok(Appended::default());
    }
    let first = made.iter().map(|release| release.created).min();
    let before = Ledger::open(ctx).state()?;
    let meanwhile = |operation: &&LedgerOperation| first.is_some_and(|first| operation.last_seen > first);
    let meanwhile: Vec<String> = before
        .operations
        .iter()
        .filter(meanwhile)
        .map(|one| {
            format!(
                "{} {} by {}: {}",
                one.started.kind, one.id, one.holder, one.started.reason
            )
        })
        .collect();
    let mut adopted = Vec::new();
    for &release in &made {
        publish(ctx, release)?;
        adopted.push(json!({ "tag": release.tag, "record_sha256": release.sha256()? }));
    }
    let ended = |id: &OperationId| {
        state
            .operations
            .iter()
            .any(|one| one.id == *id && !one.unfinished())
    };
    let over = before.unfinished().map(|one| one.id.clone()).filter(ended);
    let plan = json!({ "adopted": adopted, "meanwhile": meanwhile });
    let lock = Ledger::open(ctx).begin(Start {
        kind: KIND.into(),
        reason: format!(
            "{} releases were made while the remote did not answer",
            made.len()
        ),
        target: ctx.env_name.clone(),
        plan_sha256: plan_sha256(&plan)?,
        plan,
        over,
    })?;
    lock.finish(OperationOutcome::Done, json!({ ADOPTED: adopted }))?;
    Ok(Appended {
        releases: made.iter().map(|release| release.tag.clone()).collect(),
        meanwhile,
    })
}

/// Takes the lock in the database, right before something is changed.
///
/// # Errors
/// Exit 3 where another rollback without the ledger has it.
pub fn lock(ctx: &Context, reason: &str) -> Result<()> {
    let file = folder(ctx)?.join(TOKEN);
    let token = match std::fs::read_to_string(&file) {
        Ok(token) => token,
        Err(_) => {
            let token = format!("{:032x}", rand::random::<u128>());
            std::fs::write(&file, &token).with_context(|| format!("cannot write {}", file.display()))?;
            token
        }
    };
    let note = EmergencyNote {
        environment: ctx.env_name.clone(),
        by: ctx.actor(),
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        began: Utc::now().format("%F %T").to_string(),
        reason: crate::secret::scrub(reason),
        release: None,
    };
    let (theirs, note) = connect(ctx)?.take_emergency_lock(&token, &serde_json::to_string(&note)?)?;
    if theirs == token {
        return Ok(());
    }
    Err(errors::emergency_taken(described(note)).into())
}

fn described(note: String) -> String {
    serde_json::from_str::<EmergencyNote>(&note).map_or(note, |note| note.describe())
}

fn has_token(folder: &Path, token: &str) -> bool {
    std::fs::read_to_string(folder.join(TOKEN)).is_ok_and(|own| own == token)
}

fn folder(ctx: &Context) -> Result<PathBuf> {
    ctx.state_dir(&format!("break-glass/{}", ctx.env_name))
}

fn on_copy(ctx: &Context, copy: &Path) -> Context {
    let mut here = ctx.clone();
    here.config.git.remote = copy.to_string_lossy().into_owned();
    here
}
