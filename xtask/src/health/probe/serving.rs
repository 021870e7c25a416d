//! Which deployment each production domain serves, asked of the platforms: the applications' own word is one proof,
//! this is the other.

use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::{ProbeResult, RunContext};
use crate::context::Context;
use crate::domain::verdict::CheckResult;
use crate::health::expect;
use crate::health::problem::Problem;
use crate::health::template::Missing;
use crate::tools::railway::Railway;
use crate::tools::vercel::Vercel;

#[derive(Debug)]
pub(in crate::health) struct ServingProbe {
    pub timeout: Duration,
}

impl ServingProbe {
    /// Without deployments to compare with there is nothing to ask: a run by hand then needs no platform's token.
    pub(super) fn probe(&self, run: &RunContext<'_>) -> Result<ProbeResult, Missing> {
        let release = run.values.release.as_ref();
        let wanted_railway = release.and_then(|release| release.railway_deployment.as_deref());
        let wanted_vercel = release.and_then(|release| release.vercel_deployment.as_deref());
        if wanted_railway.is_none() && wanted_vercel.is_none() {
            return Err(Missing::Release("deployment"));
        }
        let timeout = run.timeout(self.timeout);
        let railway = wanted_railway.map(|_| ask(run.ctx, on_railway));
        let vercel = wanted_vercel.map(|_| ask(run.ctx, on_vercel));
        let until = Instant::now() + timeout;
        let answer = |receiver: Receiver<Result<Option<String>>>| {
            let left = until.saturating_duration_since(Instant::now());
            receiver.recv_timeout(left).unwrap_or_else(|_| {
                bail!(
                    "the platform did not answer within {:.0} s",
                    timeout.as_secs_f64()
                )
            })
        };
        let (railway, vercel) = (railway.map(answer), vercel.map(answer));
        let mut result = ProbeResult::new(
            CheckResult::Passed,
            "both domains serve the release's deployments",
        );
        let mut faults = Vec::new();
        for (platform, wanted, served) in [
            ("railway", wanted_railway, railway),
            ("vercel", wanted_vercel, vercel),
        ] {
            let (Some(wanted), Some(served)) = (wanted, served) else {
                continue;
            };
            match served {
                Ok(served) => {
                    result.fact(platform, served.clone());
                    if served.as_deref() != Some(wanted) {
                        let served = served.unwrap_or_else(|| "none".into());
                        faults.push(format!(
                            "{platform} serves deployment {served} instead of {wanted}"
                        ));
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

/// Asks on a thread of its own: the programs have longer deadlines than the run may have left.
fn ask(ctx: &Context, question: fn(&Context) -> Result<Option<String>>) -> Receiver<Result<Option<String>>> {
    let (sender, receiver) = mpsc::channel();
    let ctx = ctx.clone();
    std::thread::spawn(move || sender.send(question(&ctx)).ok());
    receiver
}

fn on_railway(ctx: &Context) -> Result<Option<String>> {
    let active = Railway::open(ctx)?.active()?;
    Ok(active.map(|deployment| deployment.id))
}

fn on_vercel(ctx: &Context) -> Result<Option<String>> {
    let serving = Vercel::open(ctx)?.serving()?;
    Ok(serving.map(|deployment| deployment.id))
}
