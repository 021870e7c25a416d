//! `cargo xtask test NAME`: the test suites that pipeline.toml names.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use xshell::cmd;

use super::Common;
use crate::config::TestSuiteConfig;
use crate::context::Context;
use crate::error::catalogue::configuration as errors;
use crate::exec::{Exec, OF_TEAM};
use crate::report;
use crate::wait;

/// The end of `--help`.
const AFTER_HELP: &str = "\
Exit codes:
  0  all suites passed
  1  a suite failed
  2  wrong usage or configuration

Example:
  cargo xtask test backend";

/// Options of `test`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// Only these suites
    suites: Vec<String>,
    /// Print the names as an output of a workflow step
    #[arg(long, conflicts_with = "suites")]
    list_github_matrix: bool,
}

#[derive(Serialize)]
struct Passed {
    suite: String,
    duration_ms: u64,
}

#[derive(Serialize)]
struct Tested {
    passed: Vec<Passed>,
}

/// Runs the suites one after the other to the first that fails.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let ctx = common.context()?;
    if args.list_github_matrix {
        let names: Vec<&String> = ctx.config.tests.keys().collect();
        return report::print(&format!("suites={}\n", serde_json::to_string(&names)?));
    }
    let mut tested = Tested { passed: Vec::new() };
    for name in chosen(&ctx, &args.suites)? {
        tested.passed.push(run_suite(&ctx, &name)?);
    }
    report::emit(common.format, "test/1", &tested, || {
        let rows = tested.passed.iter();
        let rows: Vec<String> = rows
            .map(|one| format!("{} passed in {}", one.suite, report::duration_ms(one.duration_ms)))
            .collect();
        report::lines(&rows)
    })
}

fn chosen(ctx: &Context, asked: &[String]) -> Result<Vec<String>> {
    let known: Vec<String> = ctx.config.tests.keys().cloned().collect();
    if let Some(wrong) = asked.iter().find(|name| !known.contains(name)) {
        return Err(errors::suite_unknown(wrong, known.join(", ")).into());
    }
    Ok(if asked.is_empty() { known } else { asked.to_vec() })
}

fn run_suite(ctx: &Context, name: &str) -> Result<Passed> {
    let suite: &TestSuiteConfig = &ctx.config.tests[name];
    let (program, arguments) = suite
        .command
        .split_first()
        .with_context(|| format!("the test suite {name} has an empty command"))?;
    let sh = ctx.shell()?;
    sh.change_dir(&suite.dir);
    let _ticker = report::Ticker::start(format!("{name}…"));
    let command = Exec::new(cmd!(sh, "{program} {arguments...}")).inherit(OF_TEAM);
    let command = suite.env.iter().try_fold(command, |command, variable| {
        Ok::<_, anyhow::Error>(command.secret_env(variable, &ctx.secret(variable)?))
    })?;
    let finished = command
        .deadline(Duration::from_secs(suite.deadline_s))
        .on_stderr(report::trace)
        .output()?;
    let duration_ms = wait::millis(finished.duration);
    if finished.code != Some(0) {
        return Err(errors::suite_failed(name, format!("{:#}", finished.error())).into());
    }
    Ok(Passed {
        suite: name.to_owned(),
        duration_ms,
    })
}
