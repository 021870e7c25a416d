//! Which deployment each production domain serves, asked of the platforms: the applications' own word is one proof,
//! this is the other.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{ProbeResult, RunContext};
use crate::config::{BackendConfig, FrontendConfig};
use crate::context::Context;
use crate::domain::parts::about;
use crate::domain::verdict::CheckResult;
use crate::health::expect;
use crate::health::problem::Problem;
use crate::health::report::ExpectedRelease;
use crate::health::template::Missing;
use crate::tools::backend::BackendService;
use crate::tools::frontend::FrontendService;

#[derive(Debug)]
pub(in crate::health) struct ServingProbe {
    pub timeout: Duration,
    /// Whether no check asks the applications which release they are: a weaker proof, which the report shows.
    pub is_alone: bool,
}

impl ServingProbe {
    /// Without deployments to compare with there is nothing to ask: a run by hand then needs no platform's token.
    pub(super) fn probe(&self, run: &RunContext<'_>) -> Result<ProbeResult, Missing> {
        let asked: Vec<Asked> = run
            .values
            .release
            .as_ref()
            .map_or_else(Vec::new, |release| ask_all(run.ctx, release));
        if asked.is_empty() {
            return Err(Missing::Release("deployment"));
        }
        let timeout = run.timeout(self.timeout);
        let until = Instant::now() + timeout;
        let answer = |receiver: &Receiver<Result<Option<String>>>| {
            let left = until.saturating_duration_since(Instant::now());
            receiver.recv_timeout(left).unwrap_or_else(|_| {
                bail!(
                    "the platform did not answer within {:.0} s",
                    timeout.as_secs_f64()
                )
            })
        };
        let message = if asked.len() == 2 {
            "both domains serve the release's deployments"
        } else {
            "every part serves the release's deployment"
        };
        let message = if self.is_alone {
            format!("{message}, as the platforms report it alone: no check `release` asks the applications")
        } else {
            message.to_owned()
        };
        let mut result = ProbeResult::new(CheckResult::Passed, message);
        let mut faults = Vec::new();
        for Asked {
            what,
            wanted,
            answers,
        } in &asked
        {
            match answer(answers) {
                Ok(served) => {
                    result.fact(what, served.clone());
                    if served.as_deref() != Some(wanted) {
                        let served = served.unwrap_or_else(|| "none".into());
                        faults.push(format!("{what} serves deployment {served} instead of {wanted}"));
                    }
                }
                Err(error) => {
                    return Ok(ProbeResult::of(&Problem::Unknown(expect::cut(&format!(
                        "{error:#}"
                    )))));
                }
            }
        }
        if !faults.is_empty() {
            result.outcome = CheckResult::Failed;
            result.message = faults.join("; ");
        }
        Ok(result)
    }
}

/// What a part is to serve, and where the platform's answer arrives.
struct Asked {
    /// The platform, with the name of the part where there may be several.
    what: String,
    wanted: String,
    answers: Receiver<Result<Option<String>>>,
}

/// Asks for every part that the release names a deployment of.
fn ask_all(ctx: &Context, release: &ExpectedRelease) -> Vec<Asked> {
    let mut asked = Vec::new();
    for backend in ctx.env().backends.clone() {
        if let Some(wanted) = release.backend(&backend.name) {
            asked.push(Asked {
                what: about("railway", &backend.name),
                wanted: wanted.to_owned(),
                answers: ask(ctx, move |ctx| on_railway(ctx, &backend)),
            });
        }
    }
    for frontend in ctx.env().frontends.clone() {
        if let Some(wanted) = release.frontend(&frontend.name) {
            asked.push(Asked {
                what: about("vercel", &frontend.name),
                wanted: wanted.to_owned(),
                answers: ask(ctx, move |ctx| on_vercel(ctx, &frontend)),
            });
        }
    }
    asked
}

/// Asks on a thread of its own: the programs have longer deadlines than the run may have left.
fn ask(
    ctx: &Context,
    question: impl FnOnce(&Context) -> Result<Option<String>> + Send + 'static,
) -> Receiver<Result<Option<String>>> {
    let (sender, receiver) = mpsc::channel();
    let ctx = ctx.clone();
    std::thread::spawn(move || sender.send(question(&ctx)).ok());
    receiver
}

fn on_railway(ctx: &Context, backend: &BackendConfig) -> Result<Option<String>> {
    let active = BackendService::open(ctx, backend)?.active()?;
    Ok(active.map(|deployment| deployment.id))
}

fn on_vercel(ctx: &Context, frontend: &FrontendConfig) -> Result<Option<String>> {
    let serving = FrontendService::open(ctx, frontend)?.serving()?;
    Ok(serving.map(|deployment| deployment.id))
}
