//! Commands that a team has run after a restore or a rollback: flush a cache, purge a CDN, restart a worker. Each is a step: a
//! resume runs those that are missing. One that fails undoes nothing, and keeps no other from running.

use std::time::Duration;

use anyhow::{Result, ensure};
use xshell::cmd;

use super::run::{Operation, is_taken_over};
use crate::config::AfterConfig;
use crate::context::Context;
use crate::domain::step::Step;
use crate::error::catalogue::operation as errors;
use crate::exec::{Exec, OF_TEAM};

/// The names of the commands that failed, with why.
#[derive(Debug, Default)]
#[must_use]
pub struct AfterFailures(Vec<String>);

impl AfterFailures {
    /// Runs the commands in their order, those that are not recorded yet.
    ///
    /// # Errors
    /// Where another process holds the operation now.
    pub fn of(ctx: &Context, operation: &Operation, step: Step, commands: &[AfterConfig]) -> Result<Self> {
        let mut failed = Vec::new();
        for command in commands {
            match operation.step(step.of(&command.name), || run(ctx, command)) {
                Ok(()) => {}
                Err(error) if is_taken_over(&error) => return Err(error),
                Err(error) => failed.push(format!("{}: {error:#}", command.name)),
            }
        }
        Ok(Self(failed))
    }

    /// Runs each of these lists as its step: what fails in one keeps no other from running.
    ///
    /// # Errors
    /// Where another process holds the operation now.
    pub fn of_all(ctx: &Context, operation: &Operation, lists: &[(Step, &[AfterConfig])]) -> Result<Self> {
        let mut failed = Vec::new();
        for (step, commands) in lists {
            failed.extend(Self::of(ctx, operation, *step, commands)?.0);
        }
        Ok(Self(failed))
    }

    /// # Errors
    /// Midway (exit 4) where a command failed: the operation can be resumed, and what is live stays.
    pub fn require_none(&self, operation: &Operation) -> Result<()> {
        ensure!(
            self.0.is_empty(),
            errors::after_failed(self.0.join("; "), operation.again())
        );
        Ok(())
    }
}

fn run(ctx: &Context, command: &AfterConfig) -> Result<()> {
    let Some((program, arguments)) = command.command.split_first() else {
        return Ok(());
    };
    let sh = ctx.shell()?;
    let run = Exec::new(cmd!(sh, "{program} {arguments...}"))
        .inherit(OF_TEAM)
        .deadline(Duration::from_secs(command.deadline_s));
    let mut secrets = command.env.iter();
    let run = secrets.try_fold(run, |run, name| {
        anyhow::Ok(run.secret_env(name, &ctx.secret(name)?))
    });
    run?.run()
}
