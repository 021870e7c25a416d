//! Hooks around the swap that keep writers away, for example a maintenance switch.

use std::time::Duration;

use anyhow::{Context as _, Result};
use xshell::cmd;

use crate::config::QuiesceConfig;
use crate::context::Context;
use crate::error::catalogue::restore as errors;
use crate::exec::{Exec, OF_TEAM};
use crate::report;

/// Runs `swap`, where asked for between the two hooks of pipeline.toml. The second runs also where the swap failed: an error
/// must not leave an application in maintenance.
pub(super) fn quiesced<T>(ctx: &Context, asked: bool, swap: impl FnOnce() -> Result<T>) -> Result<T> {
    if !asked {
        return swap();
    }
    let Some(hooks) = &ctx.config.restore.quiesce else {
        return Err(errors::no_quiesce_hooks().into());
    };
    let began = hook(ctx, hooks, &hooks.before).context("cannot stop the writers");
    let swapped = began.and_then(|()| swap());
    let ended = hook(ctx, hooks, &hooks.after);
    match (swapped, ended) {
        (swapped, Ok(())) => swapped,
        (swapped, Err(error)) => {
            let outcome = match &swapped {
                Ok(_) => "the restore is done".to_owned(),
                Err(why) => format!("the restore failed too ({why:#})"),
            };
            Err(errors::writers_kept_away(format!("{error:#}"), outcome, hooks.after.join(" ")).into())
        }
    }
}

fn hook(ctx: &Context, hooks: &QuiesceConfig, command: &[String]) -> Result<()> {
    let Some((program, args)) = command.split_first() else {
        return Ok(());
    };
    report::progress(&format!("running {}", command.join(" ")));
    let sh = ctx.shell()?;
    Exec::new(cmd!(sh, "{program} {args...}"))
        .inherit(OF_TEAM)
        .deadline(Duration::from_secs(hooks.deadline_s))
        .run()
}
