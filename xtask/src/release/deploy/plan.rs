//! What a deploy will do: facts, the plan made of them, and everything that speaks against it.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::approval;
use crate::backup::{encryption, off_machine};
use crate::config::OnUnhealthy;
use crate::context::Context;
use crate::domain::migration::ChangedMigration;
use crate::domain::release::rolled_back_by;
use crate::health;
use crate::operation::job_limit::JobLimit;
use crate::operation::preflight::Preflight;
use crate::release::break_glass;
use crate::release::checkout::Checkout;
use crate::release::commit_checks;
use crate::release::migrations;
use crate::release::others::{Settings, accepted_in_words};
use crate::release::platforms::Platforms;
use crate::release::releases::{Releases, tag_note};
use crate::release::variables::{ToSet, Variables};
use crate::report;
use crate::setup::protection;
use crate::tools::git::Git;
use crate::tools::railway::Railway;

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
    if let Some(platforms) = preflight.check("the platforms", Platforms::open(ctx)) {
        preflight.check("the backend's token", platforms.railway.check_token());
        let settings = Settings::ask(&platforms, &mut preflight);
        if let Some(checkout) = &checkout {
            settings.check_folders(ctx, checkout, &mut preflight);
        }
        notes.extend(settings.check(ctx, &mut preflight));
        if let Some(serving) = preflight.check("what serves now", platforms.serving()) {
            let drift = allowed.drift || accepted_in_words(ctx);
            notes.extend(releases.require_no_drift(&serving, drift, &mut preflight));
        }
    }
    for gap in preflight
        .check("the protection on GitHub", protection::gaps(ctx))
        .unwrap_or_default()
    {
        preflight.require(false, || {
            format!("{}: {} (fix: {})", gap.subject, gap.found, gap.fix)
        });
    }
    preflight.check(
        "the database's secret",
        ctx.connection_string(&ctx.env().mongodb.uri),
    );
    preflight.check("the health checks", health::check_for_release(ctx));
    preflight.check("the migrations", migrations::require(ctx, &git, &commit));
    preflight.check("the backup's keys", encryption::check(ctx));
    preflight.check(
        "the time that the job has",
        JobLimit::read(ctx).and_then(|limit| limit.require_all()),
    );
    preflight.require(can_roll_back_at_once(ctx), || {
        "deploy.on_unhealthy = \"rollback\" in a workflow's job needs a storage off its machine in pipeline.toml: nothing else would \
         have the backup of what the rollback replaces"
            .into()
    });
    let variables = preflight
        .check("the variables", variables(ctx))
        .unwrap_or_default();
    check_rolled_back(&releases, commit.as_str(), allowed.rolled_back, &mut preflight);
    let migrations = match last {
        Some(last) => {
            let since = git.resolve(&last.commit)?;
            let changed = migrations::since(ctx, &git, &since, &commit)?;
            changed.iter().map(ChangedMigration::text).collect()
        }
        None => Vec::new(),
    };
    preflight.finish("the deploy")?;
    // No part of the plan: approvals hold when the branch moves on over a workflow file.
    if let Some(note) = tag_note(ctx, commit.as_str()) {
        report::progress(&format!("note: {note}"));
    }
    let plan = DeployPlan {
        environment: ctx.env_name.clone(),
        commit: commit.as_str().to_owned(),
        replaces: last.map(|release| release.tag.clone()),
        migrations,
        variables: variables.backend,
        frontend_variables: variables.frontend,
        approvals: approval::required(ctx, last)?,
        notes,
    };
    Ok((plan, releases))
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
        || !off_machine::machine_vanishes()
        || off_machine::is_configured(ctx)
}

fn variables(ctx: &Context) -> Result<ToSet> {
    Variables::read(ctx)?.to_set(&Railway::open(ctx)?)
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
            vec!["approvals needed".to_owned(), self.approvals.to_string()],
        ];
        rows.extend(
            self.notes
                .iter()
                .map(|note| vec!["note".to_owned(), note.clone()]),
        );
        report::table(&["deploy to", &self.environment], &rows)
    }
}
