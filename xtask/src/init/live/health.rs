//! The health checks that are proposed, tried: what is written passes now, or a warning names what it gets.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::context::Context;
use crate::domain::verdict::CheckResult;
use crate::health::{self, CheckGroup, CheckReport};
use crate::init::findings::Finding;
use crate::init::{Known, RepositoryFacts, files};
use crate::report::Format;

/// Routes that backends often have, where no file shows one, or the one it shows does not answer.
const USUAL: [&str; 7] = [
    "/health",
    "/healthz",
    "/api/health",
    "/api/healthz",
    "/api/v1/health",
    "/health-check",
    "/api/ping",
];
/// One attempt, and all of them.
const ATTEMPT: Duration = Duration::from_secs(8);
const ALL: Duration = Duration::from_secs(30);

/// Asks the health route and the page of the frontend, and notes what they answer.
pub(in crate::init) fn try_out(root: &Path, facts: &mut RepositoryFacts) {
    let Some(config) = Config::draft(&files::pipeline(facts).text) else {
        return;
    };
    let ctx = Context {
        root: root.to_owned(),
        env_name: config.default_environment.clone(),
        config,
        format: Format::Text,
        yes: false,
        started: Instant::now(),
    };
    if facts.platforms.backend_url.value.is_some() {
        route(&ctx, facts);
    }
    if facts.platforms.domain.value.is_some()
        && let Some(failed) = failure(&ctx, facts, CheckGroup::Performance)
    {
        facts.findings.push(warning("frontend", &failed));
    }
}

/// The first route that answers that all is well: the one of the files before the usual ones.
fn route(ctx: &Context, facts: &mut RepositoryFacts) {
    let found = facts.health_route.clone();
    let own = found.value.iter().map(String::as_str);
    let routes: Vec<&str> = own.chain(USUAL).collect();
    let (began, mut first) = (Instant::now(), None);
    for route in &routes {
        if began.elapsed() > ALL {
            break;
        }
        let is_own = found.value.as_deref() == Some(route);
        let origin = if is_own {
            format!("{}: answers well now", found.origin)
        } else {
            "answers well now".to_owned()
        };
        facts.health_route = Known::found(route, origin);
        let Some(failed) = failure(ctx, facts, CheckGroup::Features) else {
            return;
        };
        if is_own && !failed.contains("HTML") {
            // A body of its own: then the status alone decides.
            facts.reads_health = false;
            if failure(ctx, facts, CheckGroup::Features).is_none() {
                return;
            }
            facts.reads_health = true;
        }
        first.get_or_insert(failed);
    }
    facts.health_route = found;
    let failed = first.unwrap_or_default();
    facts.findings.push(warning("api-health", &failed));
}

/// What the checks of a group get now, where it is not what they expect.
fn failure(ctx: &Context, facts: &RepositoryFacts, group: CheckGroup) -> Option<String> {
    let checks = health::try_once(ctx, &files::health(facts).text, group, ATTEMPT);
    let failed = |check: &CheckReport| check.outcome != CheckResult::Passed;
    match checks {
        Ok(checks) => checks.into_iter().find(failed).map(|check| check.message),
        Err(error) => Some(format!("{error:#}")),
    }
}

fn warning(check: &str, failed: &str) -> Finding {
    Finding::warning(
        "health-now",
        format!("the check `{check}` would not pass now: {failed}"),
        "correct it in infrastructure/health.toml, or repair what it asks: no deploy passes before",
    )
}
