//! Health checks that can say no: what `health.toml` lists, checked from outside, judged into one verdict.

pub mod compare;
mod compile;
mod compile_probes;
mod expect;
mod file;
mod http;
pub mod junit;
mod network;
mod order;
mod plan;
mod probe;
mod problem;
pub mod render;
mod report;
mod runner;
mod template;
pub mod watch;
mod well;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

pub use file::CheckGroup;
pub use report::{Attempt, CheckReport, ExpectedRelease, HealthReport, RequestTimings, SCHEMA};

use crate::config::FrontendConfig;
use crate::context::Context;
use crate::domain::parts::about;
use crate::domain::verdict::{CheckResult, HealthStatus, Severity, judge};
use crate::error::catalogue::health as errors;
use plan::HealthPlan;
use probe::StagedAddress;
use template::Values;

/// Where the checks are, below the root of the repository.
pub const HEALTH_FILE: &str = "infrastructure/health.toml";
/// The largest file that is read.
const FILE_LIMIT_BYTES: usize = 1 << 20;
/// The header that lets requests past the protection of staged deployments.
const BYPASS_HEADER: &str = "x-vercel-protection-bypass";

/// What is checked.
#[derive(Debug, Clone, Default)]
pub struct HealthOptions {
    /// Only this group, and what it depends on.
    pub only: Option<CheckGroup>,
    /// What both sides must be.
    pub release: Option<ExpectedRelease>,
    /// A staged frontend, in place of what users see: only its page is looked at.
    pub staged: Option<StagedFrontend>,
    /// Whether frontends are not promoted yet: what is asked of them would be what served before.
    pub before_promotion: bool,
    /// The longest that all checks may take, where less than the file says.
    pub deadline: Option<Duration>,
    /// Whether each check is made once, however often the file repeats it.
    pub once: bool,
}

/// A frontend that is built and that users do not see yet.
#[derive(Debug, Clone)]
pub struct StagedFrontend {
    /// The name of the frontend.
    pub part: String,
    /// The address of the deployment.
    pub url: String,
}

/// Reads the file and checks that a deploy can use it: each staged page and the new backends are checked before the next part
/// goes live.
///
/// # Errors
/// Exit 2 where the file has a mistake, or no critical check for one of them.
pub fn check_for_release(ctx: &Context) -> Result<()> {
    let is_critical = |plan: &HealthPlan| {
        plan.checks
            .iter()
            .any(|check| check.severity == Severity::Critical)
    };
    let mut features = read_plan(&ctx.root)?;
    features.only(|check| check.group == CheckGroup::Features);
    // A worker has no address, and so no feature that could be asked for: the platform's word that it runs is what there is.
    let mut addresses = ctx
        .env()
        .backends
        .iter()
        .filter_map(|backend| backend.url.as_ref());
    if addresses.next().is_some() && !is_critical(&features) {
        let group = format!("in the group `{}`", CheckGroup::Features.word());
        return Err(errors::release_unchecked(HEALTH_FILE, group).into());
    }
    if !is_critical(&read_plan(&ctx.root)?) {
        return Err(errors::release_unchecked(HEALTH_FILE, "at all").into());
    }
    for frontend in &ctx.env().frontends {
        let mut of_frontend = read_plan(&ctx.root)?;
        of_frontend.only(|check| is_page_of(&check.probe, &frontend.name, ctx));
        if !is_critical(&of_frontend) {
            let kind = about("of the kind `frontend`", &frontend.name);
            return Err(errors::release_unchecked(HEALTH_FILE, kind).into());
        }
    }
    Ok(())
}

/// Whether a critical check asks for a feature before frontends are promoted.
pub fn has_features(ctx: &Context) -> Result<bool> {
    let plan = read_plan(&ctx.root)?;
    let mut features = plan
        .checks
        .iter()
        .filter(|check| check.group == CheckGroup::Features && !check.probe.asks_frontend());
    Ok(features.any(|check| check.severity == Severity::Critical))
}

/// Whether a check loads a page of this frontend.
fn is_page_of(probe: &probe::Probe, part: &str, ctx: &Context) -> bool {
    let probe::Probe::Frontend(probe) = probe else {
        return false;
    };
    let first = ctx.env().frontends.first().map(|frontend| frontend.name.as_str());
    let mut pages = probe.url.frontends().map(|name| name.or(first)).peekable();
    // An address without a variable is no staged one: it says nothing about a part, and is asked for each.
    pages.peek().is_none() || pages.any(|name| name == Some(part))
}

/// Checks the text of such a file.
pub fn check_text(path: &std::path::Path, text: &str) -> Result<()> {
    compile::parse(path, text).map(drop)
}

/// Environment variables with the secrets that the checks use.
pub fn secret_names(root: &Path) -> Result<BTreeSet<String>> {
    Ok(read_plan(root)?.secrets)
}

/// Reads the file again and runs the checks once. An error means a mistake in configuration; whatever the checks see is
/// in the report.
pub fn run(ctx: &Context, request: &HealthOptions) -> Result<HealthReport> {
    run_plan(ctx, read_plan(&ctx.root)?, request)
}

/// Runs the checks of one group once, from a text that is in no file yet: what they get now.
pub fn try_once(
    ctx: &Context,
    text: &str,
    group: CheckGroup,
    deadline: Duration,
) -> Result<Vec<CheckReport>> {
    let plan = compile::parse(Path::new(HEALTH_FILE), text)?;
    let request = HealthOptions {
        only: Some(group),
        deadline: Some(deadline),
        once: true,
        ..HealthOptions::default()
    };
    Ok(run_plan(ctx, plan, &request)?.checks)
}

fn run_plan(ctx: &Context, mut plan: HealthPlan, request: &HealthOptions) -> Result<HealthReport> {
    if request.once {
        for check in &mut plan.checks {
            check.retry = file::Retry::default();
        }
    }
    if let Some(group) = request.only {
        plan.only(|check| check.group == group);
        if plan.checks.is_empty() {
            return Err(errors::group_empty(HEALTH_FILE, group.word()).into());
        }
    }
    if request.before_promotion {
        plan.only(|check| !check.probe.asks_frontend());
    }
    if let Some(staged) = &request.staged {
        // The backends that belong to a staged page are not up yet.
        plan.only(|check| is_page_of(&check.probe, &staged.part, ctx));
    }
    let secrets: BTreeMap<_, _> = plan
        .secrets
        .iter()
        .filter_map(|name| Some((name.clone(), ctx.secret_if_set(name)?)))
        .collect();
    let values = Values::new(
        backends(ctx),
        frontends(ctx, request.staged.as_ref()),
        request.release.clone(),
        secrets,
    );
    let staged = request.staged.as_ref().map(|staged| staged_address(ctx, staged));
    let client = http::Client::new()?;
    let started_at = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let started = Instant::now();
    let deadline = request
        .deadline
        .map_or(plan.deadline, |given| given.min(plan.deadline));
    let run = probe::RunContext {
        ctx,
        client: &client,
        values: &values,
        deadline: started + deadline,
        staged: staged.as_ref(),
    };
    let checks = runner::run(&plan, &run, started);
    let verdict = judge(checks.iter().map(|check| (check.severity, check.outcome)));
    Ok(HealthReport {
        environment: ctx.env_name.clone(),
        release: request.release.clone(),
        started_at,
        duration_ms: report::ms(started.elapsed()),
        slowest_chain_ms: slowest_chain_ms(&plan, &checks),
        verdict,
        summary: summary(verdict, &checks),
        checks,
        backend: addresses(&values.backends),
        frontend: addresses(&values.frontends),
    })
}

/// The addresses that are looked at, for people.
fn addresses(parts: &[(String, String)]) -> String {
    let addresses: Vec<&str> = parts.iter().map(|(_, address)| address.as_str()).collect();
    addresses.join(" ")
}

fn backends(ctx: &Context) -> Vec<(String, String)> {
    let backends = ctx.env().backends.iter();
    backends
        .filter_map(|backend| Some((backend.name.clone(), plain(backend.url.as_deref()?))))
        .collect()
}

fn frontends(ctx: &Context, staged: Option<&StagedFrontend>) -> Vec<(String, String)> {
    let url = |frontend: &FrontendConfig| match staged {
        Some(staged) if staged.part == frontend.name => plain(&staged.url),
        _ => plain(&frontend.public_url()),
    };
    let frontends = ctx.env().frontends.iter();
    frontends
        .map(|frontend| (frontend.name.clone(), url(frontend)))
        .collect()
}

fn plain(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

fn staged_address(ctx: &Context, staged: &StagedFrontend) -> StagedAddress {
    let frontend = ctx
        .env()
        .frontends
        .iter()
        .find(|frontend| frontend.name == staged.part);
    let secret = frontend
        .and_then(|frontend| frontend.vercel()?.protection_bypass.as_ref())
        .and_then(|name| ctx.secret_if_set(name));
    StagedAddress {
        url: plain(&staged.url),
        headers: secret
            .map(|secret| (BYPASS_HEADER.to_owned(), secret.expose().to_owned()))
            .into_iter()
            .collect(),
    }
}

fn read_plan(root: &Path) -> Result<HealthPlan> {
    let path = root.join(HEALTH_FILE);
    let file = std::fs::File::open(&path).map_err(|error| errors::health_file_missing(HEALTH_FILE, error))?;
    let bytes = crate::exec::read_bounded(file, FILE_LIMIT_BYTES)
        .with_context(|| format!("cannot read {HEALTH_FILE}"))?;
    let text = String::from_utf8(bytes).map_err(|_| errors::health_file_not_utf8(HEALTH_FILE))?;
    compile::parse(Path::new(HEALTH_FILE), &text)
}

/// The longest sum of durations along the dependencies.
fn slowest_chain_ms(plan: &HealthPlan, checks: &[CheckReport]) -> f64 {
    fn chain(plan: &HealthPlan, checks: &[CheckReport], index: usize, known: &mut [Option<f64>]) -> f64 {
        if let Some(known) = known[index] {
            return known;
        }
        let before = plan.checks[index]
            .depends_on
            .iter()
            .map(|&needed| chain(plan, checks, needed, known))
            .fold(0.0, f64::max);
        let total = before + checks[index].duration_ms;
        known[index] = Some(total);
        total
    }
    let mut known = vec![None; checks.len()];
    (0..checks.len())
        .map(|index| chain(plan, checks, index, &mut known))
        .fold(0.0, f64::max)
}

/// Why the verdict is what it is, in one sentence.
fn summary(verdict: HealthStatus, checks: &[CheckReport]) -> String {
    let counted = |wanted: &[CheckResult], severity| {
        let is = |check: &&CheckReport| check.severity == severity && wanted.contains(&check.outcome);
        checks.iter().filter(is).collect::<Vec<_>>()
    };
    let bad = [CheckResult::Failed, CheckResult::Unknown, CheckResult::Skipped];
    let warnings = counted(&bad, Severity::Warning).len();
    let also = match warnings {
        0 => String::new(),
        1 => ", with 1 warning".to_owned(),
        count => format!(", with {count} warnings"),
    };
    let first = |outcome: CheckResult| {
        let found = counted(&[outcome], Severity::Critical);
        let more = match found.len() {
            0 | 1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        found
            .first()
            .map(|check| format!("`{}`: {}{more}", check.name, check.message))
    };
    match verdict {
        HealthStatus::Healthy => {
            let passed = counted(&[CheckResult::Passed], Severity::Critical).len();
            format!("healthy: {passed} critical checks passed{also}")
        }
        HealthStatus::Unhealthy => format!("unhealthy: {}", first(CheckResult::Failed).unwrap_or_default()),
        HealthStatus::Unknown => {
            let why = first(CheckResult::Unknown).or_else(|| first(CheckResult::Skipped));
            let why = why.unwrap_or_else(|| "no critical check ran".to_owned());
            format!("unknown: check could not run: {why}")
        }
    }
}
