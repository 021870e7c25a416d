//! `cargo xtask doctor`: one page, read only: would a deploy and a rollback succeed now, and if not, how to fix it.

mod adapter;
mod atlas;
mod files;
mod github;
mod health;
mod here;
mod platforms;

use std::fmt::Write as _;
use std::sync::OnceLock;

use anyhow::Result;
use serde::Serialize;

use super::Common;
use crate::context::Context;
use crate::error::CliError;
use crate::error::catalogue::setup as errors;
use crate::release::releases::Releases;
use crate::report;

/// The end of `--help`.
pub const AFTER_HELP: &str = "\
Exit codes:
  0  no problem was found (warnings do not count)
  1  at least one problem
  2  wrong usage or configuration

Example:
  cargo xtask doctor --config-only";

/// Options of `doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Only read the configuration files
    #[arg(long)]
    config_only: bool,

    /// Only check the programs that deploy this backend (`platform = "command"`): they are asked, nothing is deployed
    #[arg(long, value_name = "NAME", conflicts_with = "config_only")]
    adapter: Option<String>,

    /// Also make each check of health.toml once, and show what it finds
    #[arg(long, conflicts_with_all = ["config_only", "adapter"])]
    health: bool,
}

/// One check and its finding.
#[derive(Debug, Clone, Serialize)]
struct Line {
    subject: String,
    state: State,
    found: String,
    /// How to fix it.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Ok,
    Warning,
    Problem,
}

/// What several checks need: it is read by the first of them.
struct Asked<'a> {
    ctx: &'a Context,
    releases: OnceLock<Result<Releases>>,
}

impl Asked<'_> {
    fn releases(&self) -> Result<&Releases, &anyhow::Error> {
        self.releases.get_or_init(|| Releases::read(self.ctx)).as_ref()
    }
}

#[derive(Serialize)]
struct Page {
    environment: String,
    problems: usize,
    warnings: usize,
    lines: Vec<Line>,
}

impl Line {
    fn ok(subject: impl Into<String>, found: impl Into<String>) -> Self {
        Self::new(State::Ok, subject, found, None)
    }

    fn warning(subject: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(State::Warning, subject, found, Some(fix.into()))
    }

    fn problem(subject: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new(State::Problem, subject, found, Some(fix.into()))
    }

    fn new(state: State, subject: impl Into<String>, found: impl Into<String>, fix: Option<String>) -> Self {
        Self {
            subject: subject.into(),
            state,
            found: crate::secret::scrub(&found.into()),
            fix,
        }
    }

    /// A problem out of an error: its own next command is the fix, where it has one.
    fn error(subject: impl Into<String>, error: &anyhow::Error, fix: &str) -> Self {
        let next = error
            .downcast_ref::<CliError>()
            .and_then(|stop| stop.next.clone());
        Self::problem(
            subject,
            format!("{error:#}"),
            next.unwrap_or_else(|| fix.to_owned()),
        )
    }
}

/// Runs every check and prints the page; exit 1 where there is a problem.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = common.context()?;
    let page = match &args.adapter {
        Some(name) => counted(&ctx, adapter::lines(&ctx, name)?),
        None => page(&ctx, args),
    };
    report::emit(common.format, "doctor/1", &page, || text(&page))?;
    if page.problems == 0 {
        return Ok(());
    }
    Err(errors::doctor_problems(page.problems).into())
}

fn page(ctx: &Context, args: &Args) -> Page {
    let mut checks: Vec<fn(&Asked<'_>) -> Vec<Line>> =
        vec![|of| here::configuration(of.ctx), |of| files::files(of.ctx)];
    if args.health {
        checks.push(|of| health::first_checks(of.ctx));
    }
    if args.config_only {
        checks.push(|of| files::ids(of.ctx));
    } else {
        checks.extend([
            (|of| here::tools(of.ctx)) as fn(&Asked<'_>) -> Vec<Line>,
            |of| here::secrets(of.ctx),
            here::repository,
            here::backups,
            platforms::railway,
            |of| platforms::vercel(of.ctx),
            |of| platforms::database(of.ctx),
            |of| atlas::atlas(of.ctx),
            |of| github::github(of.ctx),
        ]);
    }
    let asked = &Asked {
        ctx,
        releases: OnceLock::new(),
    };
    // Each waits for another part of the world.
    let lines: Vec<Line> = std::thread::scope(|scope| {
        let running: Vec<_> = checks
            .into_iter()
            .map(|check| scope.spawn(move || check(asked)))
            .collect();
        running
            .into_iter()
            .flat_map(|check| {
                check.join().unwrap_or_else(|_| {
                    vec![Line::problem(
                        "doctor",
                        "a check panicked",
                        "report this as a defect",
                    )]
                })
            })
            .collect()
    });
    counted(ctx, lines)
}

fn counted(ctx: &Context, lines: Vec<Line>) -> Page {
    let count = |state: State| lines.iter().filter(|line| line.state == state).count();
    Page {
        environment: ctx.env_name.clone(),
        problems: count(State::Problem),
        warnings: count(State::Warning),
        lines,
    }
}

fn text(page: &Page) -> String {
    let mut text = String::new();
    for line in &page.lines {
        let mark = match line.state {
            State::Ok => "ok     ",
            State::Warning => "warning",
            State::Problem => "PROBLEM",
        };
        writeln!(text, "{mark}  {}: {}", line.subject, line.found).expect("writing to a string");
        if let Some(fix) = &line.fix {
            writeln!(text, "         fix: {fix}").expect("writing to a string");
        }
    }
    writeln!(
        text,
        "{}: {} problems, {} warnings",
        page.environment, page.problems, page.warnings
    )
    .expect("writing to a string");
    text
}
