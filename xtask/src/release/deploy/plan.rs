//! What a deploy will do: facts, the plan made of them, and everything that speaks against it.

use std::collections::BTreeMap;
use std::thread::scope;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::kept;
use crate::approval;
use crate::backup::{self, encryption, off_machine, snapshot};
use crate::config::OnUnhealthy;
use crate::context::{Context, PIPELINE_FILE};
use crate::domain::migration::ChangedMigration;
use crate::domain::parts::{BACKEND, FRONTEND, ReleaseParts, about};
use crate::domain::release::rolled_back_by;
use crate::error::catalogue::configuration as errors;
use crate::health;
use crate::operation::job_limit::JobLimit;
use crate::operation::preflight::Preflight;
use crate::release::break_glass;
use crate::release::checkout::Checkout;
use crate::release::commit_checks;
use crate::release::migrations;
use crate::release::others::{AskedSettings, Settings, absent, accepted_in_words};
use crate::release::platforms::{Platforms, Serving};
use crate::release::releases::{Releases, tag_note};
use crate::release::variables::Variables;
use crate::report;
use crate::restore;
use crate::setup::protection;
use crate::sync::{each_answer, join};
use crate::tools::backend::BackendService;
use crate::tools::git::Git;

/// The plan; its SHA-256 is what approvals are bound to, so it holds no times and no random names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployPlan {
    pub environment: String,
    pub commit: String,
    /// The release that this one replaces.
    pub replaces: Option<String>,
    /// Migration files that differ from that release.
    pub migrations: Vec<String>,
    /// Variables whose value will be set on the backend's platform.
    pub variables: Vec<String>,
    /// Those that will be set on the frontend's platform, where none can be compared.
    #[serde(default)]
    pub frontend_variables: Vec<String>,
    /// Variables that will be set for parts of other names than those of a pipeline with one of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub part_variables: BTreeMap<String, Vec<String>>,
    /// Parts that did not change: they keep their deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<ReleaseParts>,
    /// People who must approve.
    pub approvals: u32,
    pub notes: Vec<String>,
}

/// What is no problem because the operator accepts it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowed {
    /// A commit that was rolled back before.
    pub rolled_back: bool,
    /// Platforms that serve something else than what was recorded.
    pub drift: bool,
}

/// Observes the world, plans, and collects every problem.
pub fn make(ctx: &Context, allowed: Allowed) -> Result<(DeployPlan, Releases)> {
    if ctx.env().backends.is_empty() && ctx.env().frontends.is_empty() {
        return Err(errors::nothing_to_release(&ctx.env_name, PIPELINE_FILE).into());
    }
    let mut preflight = Preflight::default();
    let git = Git::open(ctx);
    let commit = git.head()?;
    check_repository(ctx, &git, &mut preflight);
    commit_checks::require(ctx, commit.as_str(), &mut preflight);
    let checkout = preflight.check("the files to release", Checkout::of(ctx, commit.as_str()));
    let releases = Releases::read(ctx)?;
    releases.require_ledger(ctx)?;
    releases.require_sound(None, &mut preflight);
    break_glass::require_none(ctx, &mut preflight);
    let last = releases.newest();
    let mut notes = approval::notes(ctx, last)?;
    notes.extend(absent(ctx));
    let (mut kept, mut variables) = (None, BTreeMap::new());
    if let Some(platforms) = preflight.check("the platforms", Platforms::open(ctx)) {
        let asked = Asked::ask(ctx, &platforms);
        for (railway, token) in platforms.backends.iter().zip(asked.tokens) {
            preflight.check(&about("the backend's token", railway.name()), token);
        }
        let settings = Settings::of(asked.settings, &mut preflight);
        if let Some(checkout) = &checkout {
            notes.extend(settings.check_folders(checkout, &mut preflight));
        }
        notes.extend(settings.check(ctx, &mut preflight));
        if let Some(serving) = preflight.check("what serves now", asked.serving) {
            let drift = allowed.drift || accepted_in_words(ctx);
            notes.extend(releases.require_no_drift(&serving, drift, &mut preflight));
            let unchanged = kept::unchanged(ctx, &git, &commit, &releases, &serving);
            kept = preflight.check("what changed", unchanged).flatten();
        }
        variables = preflight
            .check("the variables", asked.variables)
            .unwrap_or_default();
    }
    for gap in preflight
        .check("the protection on GitHub", protection::gaps(ctx))
        .unwrap_or_default()
    {
        preflight.require(false, || {
            format!("{}: {} (fix: {})", gap.subject, gap.found, gap.fix)
        });
    }
    if let Some(mongodb) = &ctx.env().mongodb {
        preflight.check("the database's secret", ctx.connection_string(&mongodb.uri));
        preflight.check("the backup's keys", encryption::check(ctx));
        notes.extend(not_restorable(ctx));
        if ctx.config.engine(ctx.env()).has_snapshot()
            && preflight.check("Atlas", snapshot::check(ctx)).is_some()
        {
            notes.push(snapshot::note(ctx));
        }
    }
    preflight.check("the health checks", health::check_for_release(ctx));
    preflight.check("the migrations", migrations::require(ctx, &git, &commit));
    preflight.check(
        "the time that the job has",
        JobLimit::read(ctx).and_then(|limit| limit.require_all()),
    );
    preflight.require(can_roll_back_at_once(ctx), || {
        "deploy.on_unhealthy = \"rollback\" in a workflow's job needs a storage off its machine in pipeline.toml: nothing else would \
         have the backup of what the rollback replaces"
            .into()
    });
    check_rolled_back(&releases, commit.as_str(), allowed.rolled_back, &mut preflight);
    let migrations = match last {
        Some(last) => {
            let since = git.resolve(&last.commit)?;
            let changed = migrations::since(ctx, &git, &since, &commit)?;
            notes.extend(migrations::applied_note(ctx, &changed));
            changed.iter().map(ChangedMigration::text).collect()
        }
        None => Vec::new(),
    };
    preflight.finish("the deploy")?;
    // What keeps its deployment takes no new values: they did not change.
    variables.retain(|part, names| {
        let keeps =
            |kept: &ReleaseParts| kept.backends.contains_key(part) || kept.frontends.contains_key(part);
        !names.is_empty() && !kept.as_ref().is_some_and(keeps)
    });
    // No part of the plan: approvals hold when the branch moves on over a workflow file.
    if let Some(note) = tag_note(ctx, commit.as_str()) {
        report::progress(&format!("note: {note}"));
    }
    let plan = DeployPlan {
        environment: ctx.env_name.clone(),
        commit: commit.as_str().to_owned(),
        replaces: last.map(|release| release.tag.clone()),
        migrations,
        variables: variables.remove(BACKEND).unwrap_or_default(),
        frontend_variables: variables.remove(FRONTEND).unwrap_or_default(),
        part_variables: variables,
        kept,
        approvals: approval::required(ctx, last)?,
        notes,
    };
    Ok((plan, releases))
}

/// What the platforms answered, asked all at once.
struct Asked<'a> {
    tokens: Vec<Result<()>>,
    settings: AskedSettings<'a>,
    serving: Result<Serving>,
    /// Those to set, by part.
    variables: Result<BTreeMap<String, Vec<String>>>,
}

impl<'a> Asked<'a> {
    fn ask(ctx: &Context, platforms: &'a Platforms) -> Self {
        scope(|scope| {
            let serving = scope.spawn(|| platforms.serving());
            let settings = scope.spawn(|| AskedSettings::ask(platforms));
            let variables = scope.spawn(|| Variables::read(ctx)?.to_set(platforms));
            let backends: Vec<_> = platforms.backends.iter().collect();
            Self {
                tokens: each_answer(&backends, BackendService::check_token),
                settings: join(settings),
                serving: join(serving),
                variables: join(variables),
            }
        })
    }
}

/// What is live and no rollback could put back, before the release: the same check as `doctor`'s. A database that cannot be asked
/// stops the backup of the deploy, which reports it.
fn not_restorable(ctx: &Context) -> Vec<String> {
    let found = restore::connect(ctx).and_then(|live| backup::restorable_live(&live));
    match found {
        Ok(found) => {
            let problems = found.problems.into_iter();
            let problems = problems.map(|why| format!("a rollback could not restore the data: {why}"));
            problems.chain(found.left_alone).collect()
        }
        Err(error) => {
            report::progress(&format!(
                "note: whether the data could be restored is not known: {error:#}"
            ));
            Vec::new()
        }
    }
}

fn check_repository(ctx: &Context, git: &Git, preflight: &mut Preflight) {
    if let Some(changes) = preflight.check("the work tree", git.uncommitted()) {
        preflight.require(changes.is_empty(), || {
            format!("there are changes that are not committed: {}", changes.join(", "))
        });
    }
    let branch = &ctx.config.git.branch;
    if let Some(pushed) = preflight.check("the remote branch", git.is_pushed(branch)) {
        preflight.require(pushed, || {
            format!("the commit is not on the remote's branch {branch}: push it first")
        });
    }
}

/// The automatic rollback has no step of a workflow between its backup and its live changes.
fn can_roll_back_at_once(ctx: &Context) -> bool {
    ctx.config.deploy.on_unhealthy == OnUnhealthy::Stop
        || ctx.env().mongodb.is_none()
        || !off_machine::machine_vanishes()
        || off_machine::is_configured(ctx)
}

/// A commit that was rolled back is not deployed again by accident.
fn check_rolled_back(releases: &Releases, commit: &str, allowed: bool, preflight: &mut Preflight) {
    let mut of_commit = releases.all.iter().filter(|release| release.commit == commit);
    let rolled_back =
        of_commit.find_map(|release| Some((release, rolled_back_by(&releases.all, &release.tag)?)));
    if let Some((release, rollback)) = rolled_back {
        preflight.require(allowed, || {
            format!(
                "this commit (release {}) was rolled back by {}: deploy a fixed commit or pass --allow-rolled-back",
                release.tag, rollback.tag
            )
        });
    }
}

impl DeployPlan {
    /// Variables that will be set for a part.
    pub fn variables_of(&self, part: &str) -> &[String] {
        match part {
            BACKEND => &self.variables,
            FRONTEND => &self.frontend_variables,
            _ => self.part_variables.get(part).map_or(&[], Vec::as_slice),
        }
    }

    /// Whether a backend keeps its deployment.
    pub fn keeps_backend(&self, part: &str) -> bool {
        self.kept
            .as_ref()
            .is_some_and(|kept| kept.backends.contains_key(part))
    }

    /// Whether a frontend keeps its deployment.
    pub fn keeps_frontend(&self, part: &str) -> bool {
        self.kept
            .as_ref()
            .is_some_and(|kept| kept.frontends.contains_key(part))
    }

    /// The plan for people.
    pub fn text(&self) -> String {
        let list = |items: &[String]| {
            if items.is_empty() {
                "none".to_owned()
            } else {
                items.join(", ")
            }
        };
        let mut rows = vec![
            vec!["commit".to_owned(), self.commit.clone()],
            vec![
                "replaces".to_owned(),
                self.replaces
                    .clone()
                    .unwrap_or_else(|| "nothing: the first release".into()),
            ],
            vec!["migrations".to_owned(), list(&self.migrations)],
            vec!["backend variables to set".to_owned(), list(&self.variables)],
            vec![
                "frontend variables to set".to_owned(),
                list(&self.frontend_variables),
            ],
        ];
        rows.extend(
            self.part_variables
                .iter()
                .map(|(part, names)| vec![format!("variables of {part} to set"), list(names)]),
        );
        rows.extend(self.kept.iter().flat_map(|kept| {
            let names = kept.backends.keys().chain(kept.frontends.keys());
            names.map(|name| vec![name.clone(), "did not change: it keeps its deployment".to_owned()])
        }));
        rows.push(vec!["approvals needed".to_owned(), self.approvals.to_string()]);
        rows.extend(
            self.notes
                .iter()
                .map(|note| vec!["note".to_owned(), note.clone()]),
        );
        report::table(&["deploy to", &self.environment], &rows)
    }
}
