//! The releases of an environment: the chain that the ledger tells, compared with records and tags on the remote, and published
//! as both.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail, ensure};
use chrono::{TimeDelta, Utc};

use crate::backup;
use crate::context::Context;
use crate::domain::commit::CommitId;
use crate::domain::ledger::{LedgerOperation, LedgerState};
use crate::domain::operation::OperationId;
use crate::domain::release::{BackupRef, Health, Release, known_good, tag_name, tag_time};
use crate::domain::release_chain::{
    ExpectedLive, LedgerRelease, RecordedRelease, ReleaseLink, backup_of, data_since, expected_live, next_of,
    releases_of, replaced_by,
};
use crate::domain::snapshot::SnapshotRef;
use crate::domain::status_record::{StatusRecord, is_healthy_between};
use crate::operation::append::{self, Append};
use crate::operation::ledger::{self, Ledger};
use crate::operation::preflight::Preflight;
use crate::operation::status_records;
use crate::release::platforms::Serving;
use crate::report;
use crate::tools::git::{Git, RELEASES};

/// Tags of earlier releases that are pushed with a new one, at most.
const TAGS_AT_ONCE: usize = 10;
/// Files that decide whether the token of a workflow's job may push a tag.
const WORKFLOWS: &str = ".github/workflows";

/// The releases of the environment in the ledger's order, and what on the remote is not one of them.
#[derive(Debug, Default)]
pub struct Releases {
    /// Those whose record can be read.
    pub all: Vec<Release>,
    /// All of them, with what is in doubt about each.
    pub links: Vec<ReleaseLink>,
    /// Names on the remote without a record, and why; none of them counts.
    pub unreadable: Vec<(String, String)>,
    /// Records on the remote that no operation of the ledger made; none of them counts.
    pub unrecorded: Vec<Release>,
    /// What the ledger has; `None` where the remote has releases and no ledger. The chain is then made of what the remote has,
    /// and nothing may be decided by it.
    pub ledger: Option<LedgerState>,
    /// Names of releases whose tag the remote has not (yet), with their message: the newest ones.
    untagged: Vec<(String, String)>,
    /// Every name that is taken on the remote.
    names: Vec<String>,
    checks: OnceLock<Result<Vec<StatusRecord>>>,
}

impl Releases {
    /// Reads the ledger, and records and tags from the remote: a clone's own tags may be old, or made up.
    pub fn read(ctx: &Context) -> Result<Self> {
        let prefix = &ctx.env().tag_prefix;
        let mut ledger = Ledger::open(ctx);
        let state = match ledger.state() {
            Ok(state) => Some(state),
            Err(error) if ledger::is_missing(&error) => None,
            Err(error) => return Err(error.context("cannot read the releases")),
        };
        let found = Git::open(ctx)
            .recorded_releases(prefix)
            .context("cannot read the releases")?;
        if let Some(state) = &state {
            backup::remember_recorded(&found, state);
        }
        Ok(Self::compared(&ctx.env_name, prefix, state, found, |commit| {
            ledger.has(commit)
        }))
    }

    /// What the remote has, as if there were no ledger.
    pub fn without_ledger(ctx: &Context) -> Result<Self> {
        let prefix = &ctx.env().tag_prefix;
        let found = Git::open(ctx).recorded_releases(prefix)?;
        Ok(Self::compared(&ctx.env_name, prefix, None, found, |_| false))
    }

    fn compared(
        environment: &str,
        prefix: &str,
        ledger: Option<LedgerState>,
        found: Vec<RecordedRelease>,
        has: impl Fn(&str) -> bool,
    ) -> Self {
        let mut releases = Self {
            names: found.iter().map(|one| one.name.clone()).collect(),
            ..Self::default()
        };
        let chain = match &ledger {
            Some(state) => releases_of(state),
            None => of_remote(prefix, &found),
        };
        let mut found: BTreeMap<String, RecordedRelease> =
            found.into_iter().map(|one| (one.name.clone(), one)).collect();
        for ledger in &chain {
            let recorded = found.remove(&ledger.tag);
            let mut link = ReleaseLink::compare(environment, ledger, recorded.as_ref());
            if !ledger.adopted {
                link.require_anchor(&has);
            }
            releases.all.extend(link.release.clone());
            if let Some(recorded) = recorded.filter(|one| !one.is_tagged && link.problems.is_empty()) {
                releases.untagged.push((recorded.name, recorded.message));
                let too_many = releases.untagged.len().saturating_sub(TAGS_AT_ONCE);
                releases.untagged.drain(..too_many);
            }
            releases.links.push(link);
        }
        for (name, recorded) in found {
            match readable(prefix, &recorded) {
                Ok(release) => releases.unrecorded.push(release),
                Err(error) => {
                    let mut why = recorded.problems;
                    why.push(format!("{error:#}"));
                    releases.unreadable.push((name, why.join("; ")));
                }
            }
        }
        releases.ledger = ledger;
        releases
    }

    /// The newest release: what should be live. `None` also where its record cannot be read.
    pub fn newest(&self) -> Option<&Release> {
        self.links.last()?.release.as_ref()
    }

    /// The releases that a rollback offers, newest first.
    pub fn known_good(&self, ctx: &Context) -> Vec<&Release> {
        known_good(&self.all, |release| self.is_good(ctx, release))
    }

    /// Whether the checks after its deploy, or any recorded while it was live, found a release healthy: the first ones may have
    /// come too early, or have met a fault that passed.
    pub fn is_good(&self, ctx: &Context, release: &Release) -> bool {
        if release.health == Health::Healthy {
            return true;
        }
        let next = self.all.iter().find(|later| later.created > release.created);
        let checks = self.checks(ctx).unwrap_or_else(|error| {
            report::progress(&format!("warning: the recorded checks cannot be read: {error:#}"));
            &[]
        });
        is_healthy_between(checks, release.created, next.map(|next| next.created))
    }

    /// The recorded checks and drills of the environment, read where they are needed, and once.
    pub fn checks(&self, ctx: &Context) -> Result<&[StatusRecord], &anyhow::Error> {
        let read = self.checks.get_or_init(|| status_records::read(ctx));
        read.as_deref()
    }

    pub fn find(&self, tag: &str) -> Option<&Release> {
        self.all.iter().find(|release| release.tag == tag)
    }

    /// The release of this name, or why there is none.
    pub fn named(&self, tag: &str) -> Result<&Release> {
        let unreadable = self.unreadable.iter().find(|(name, _)| name == tag);
        if let Some((_, why)) = unreadable {
            bail!("{why}");
        }
        let doubts = self.doubts(tag);
        ensure!(doubts.is_empty(), "{}", doubts.join("; "));
        self.find(tag)
            .with_context(|| format!("the remote has no tag {tag}"))
    }

    /// What is in doubt about a release: where ledger, record and tag differ.
    pub fn doubts(&self, tag: &str) -> &[String] {
        let link = self.links.iter().find(|link| link.tag == tag);
        link.map_or(&[], |link| &link.problems)
    }

    /// Whether a release was recorded with another ledger than the one that has it now.
    pub fn is_of_another_ledger(&self, tag: &str) -> bool {
        let link = self.links.iter().find(|link| link.tag == tag);
        link.is_some_and(|link| link.is_of_another_ledger)
    }

    /// The release that an operation made, also where it was killed before the ledger had it.
    pub fn of_operation(&self, id: &OperationId) -> Option<&Release> {
        let mut all = self.all.iter().chain(&self.unrecorded);
        all.find(|release| release.operation == id.as_str())
    }

    /// The backup that a rollback to this release restores.
    ///
    /// # Errors
    /// Where the record that names it is in doubt.
    pub fn backup_of(&self, tag: &str) -> Result<Option<&BackupRef>> {
        backup_of(&self.links, tag).map_err(anyhow::Error::msg)
    }

    /// The snapshot that Atlas took when this release was replaced.
    pub fn snapshot_of(&self, tag: &str) -> Option<&SnapshotRef> {
        replaced_by(&self.links, tag).ok()??.snapshot.as_ref()
    }

    /// The releases after `tag` that have worked on the data which are live, the newest first.
    ///
    /// # Errors
    /// Where the record of one of them is in doubt.
    pub fn data_since(&self, tag: &str) -> Result<Vec<&Release>> {
        let operations = self.ledger.iter().flat_map(|state| &state.operations);
        let operations: HashMap<&str, &LedgerOperation> = operations
            .map(|operation| (operation.id.as_str(), operation))
            .collect();
        let restored = |release: &Release| {
            let operation = operations.get(release.operation.as_str());
            operation.is_some_and(|operation| operation.restores_database())
        };
        data_since(&self.links, tag, restored).map_err(anyhow::Error::msg)
    }

    /// What backend and frontend should serve; `None` where nothing was released.
    pub fn expected_live(&self) -> Option<ExpectedLive> {
        let newest = self.newest()?;
        let unknown = LedgerState::default();
        Some(expected_live(self.ledger.as_ref().unwrap_or(&unknown), newest))
    }

    /// Whether an operation is under way or was left after its first step: what is live is then no release.
    pub fn is_midway(&self) -> bool {
        let state = self.ledger.as_ref();
        let unfinished = state.and_then(LedgerState::unfinished);
        unfinished.is_some_and(|operation| !operation.steps.is_empty() && !operation.is_prepared())
    }

    /// The ledger, without which nothing may be decided.
    ///
    /// # Errors
    /// Exit 3 where the remote has releases and no ledger.
    pub fn require_ledger(&self, ctx: &Context) -> Result<&LedgerState> {
        self.ledger
            .as_ref()
            .ok_or_else(|| ledger::missing(&ctx.env_name).into())
    }

    /// Whatever is in doubt about the newest release, and about those that a rollback to `target` uses, is a problem.
    pub fn require_sound(&self, target: Option<&str>, preflight: &mut Preflight) {
        let next = target.and_then(|target| next_of(&self.links, target));
        let used = [self.links.last(), next]
            .into_iter()
            .flatten()
            .map(|link| &link.tag);
        let mut used: Vec<&str> = used.map(String::as_str).chain(target).collect();
        used.sort_unstable();
        used.dedup();
        for tag in used {
            for doubt in self.doubts(tag) {
                preflight.require(false, || format!("{doubt} (fix: cargo xtask ledger --repair)"));
            }
        }
    }

    /// Where the platforms serve something else than what should be live, what was recorded says nothing about what is: that is a
    /// problem, or a note where the operator accepts it. While an operation is midway, its lock decides, and not this.
    pub fn require_no_drift(
        &self,
        serving: &Serving,
        allowed: bool,
        preflight: &mut Preflight,
    ) -> Vec<String> {
        let expected = self.expected_live();
        let drift = expected.map_or_else(Vec::new, |expected| serving.drift_from(&expected));
        let drift: Vec<String> = drift.iter().map(|drift| format!("drift: {drift}")).collect();
        if allowed || self.is_midway() {
            return drift;
        }
        for drift in drift {
            preflight.require(false, || {
                format!("{drift} (find out who changed it; --allow-drift accepts it)")
            });
        }
        Vec::new()
    }

    /// A name for a release that is newer than all others, also when two are made within a second.
    pub fn next_tag(&self, ctx: &Context) -> String {
        let prefix = &ctx.env().tag_prefix;
        let newest = self
            .links
            .last()
            .and_then(|link| tag_time(prefix, &link.tag).ok());
        let after = newest.map(|time| time + TimeDelta::seconds(1));
        let mut at = after.map_or_else(Utc::now, |after| after.max(Utc::now()));
        loop {
            let name = tag_name(prefix, at);
            if !self.names.contains(&name) {
                return name;
            }
            at += TimeDelta::seconds(1);
        }
    }
}

/// Without a ledger: what the remote has, by name.
fn of_remote(prefix: &str, found: &[RecordedRelease]) -> Vec<LedgerRelease> {
    let readable = found.iter().filter(|one| readable(prefix, one).is_ok());
    readable
        .map(|one| LedgerRelease {
            tag: one.name.clone(),
            // With the ledger that is gone.
            adopted: true,
            ..LedgerRelease::default()
        })
        .collect()
}

fn readable(prefix: &str, recorded: &RecordedRelease) -> Result<Release> {
    tag_time(prefix, &recorded.name)?;
    Release::from_message(&recorded.name, &recorded.message)
}

/// Records a release in a reference of its own, which any token that can write can push, and tags it where the remote
/// takes the tag.
///
/// # Errors
/// The remote did not take the record, or has another release of this name.
pub fn publish(ctx: &Context, release: &Release) -> Result<()> {
    let git = Git::open(ctx);
    let message = release.message()?;
    publish_record(&git, &release.tag, &message)?;
    push_tag(&git, &release.tag, &message, &release.commit)
}

/// Pushes the record of a release. The remote may have it already.
pub fn publish_record(git: &Git, tag: &str, message: &str) -> Result<()> {
    let reference = format!("{RELEASES}/{tag}");
    let commit = git.commit_message(None, message)?;
    let appended = append::push(git, &reference, None, &commit)
        .with_context(|| format!("cannot push the release record {reference}"))?;
    ensure!(
        appended == Append::Arrived,
        "the remote has another release {tag}"
    );
    Ok(())
}

/// Pushes the tags of releases that could not be pushed when they were recorded, the newest first. One that fails again is no
/// reason to leave what is live now unrecorded.
pub fn push_missing_tags(ctx: &Context, releases: &Releases) {
    let git = Git::open(ctx);
    for (tag, message) in releases.untagged.iter().rev() {
        let pushed = Release::from_message(tag, message)
            .and_then(|release| push_tag(&git, tag, message, &release.commit));
        if let Err(error) = pushed {
            report::progress(&format!("warning: {error:#}"));
        }
    }
}

/// A tag that the remote refuses is no error: the release is recorded without it. Another tag of this name is one.
pub fn push_tag(git: &Git, tag: &str, message: &str, commit: &str) -> Result<()> {
    let Err(error) = git.push_annotated_tag(tag, message, &git.resolve(commit)?) else {
        return Ok(());
    };
    if matches!(git.tag(tag), Ok(Some(_))) {
        return Err(error.context(format!("cannot push the tag {tag}")));
    }
    report::progress(&format!(
        "note: the remote refused the tag {tag} ({error:#}); the release is recorded in {RELEASES}/{tag}, and a later release \
         pushes the tag"
    ));
    Ok(())
}

/// What the plan says where the token of this workflow's job may not tag the commit: its workflow files differ from
/// those of the branch. `None` outside of a job, and where it cannot be determined.
pub fn tag_note(ctx: &Context, commit: &str) -> Option<String> {
    if !report::is_workflow() {
        return None;
    }
    let git = Git::open(ctx);
    let commit: CommitId = commit.parse().ok()?;
    let tip = git.fetch(&ctx.config.git.branch).ok()?;
    let differ = git.changed_paths(&commit, &tip, &[WORKFLOWS.into()]).ok()?;
    (!differ.is_empty()).then(|| {
        format!(
            "the job's token cannot push the tag ({} differ from {}): the release is recorded in {RELEASES}, and a later \
             release pushes the tag",
            differ.join(", "),
            ctx.config.git.branch
        )
    })
}
