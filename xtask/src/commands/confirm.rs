//! Confirmations: `--yes`, or the name typed on a terminal. Without either the command is refused.

use std::io::{IsTerminal as _, Write as _};

use anyhow::{Context as _, Result};

use crate::config::ExternalConfig;
use crate::context::Context;
use crate::error::catalogue::operation as errors;
use crate::release::external::{TickedExternal, TickedHow};
use crate::report;

/// Asks the operator to type `name` before a protected environment is changed.
pub fn confirm(ctx: &Context, what: &str, name: &str) -> Result<()> {
    if !ctx.env().protected {
        return Ok(());
    }
    confirm_always(ctx, what, name)
}

/// Asks the operator to type the name of each system outside: what a rollback leaves as it is there, they see to themselves.
pub fn tick(ctx: &Context, systems: &[ExternalConfig]) -> Result<Vec<TickedExternal>> {
    let how = match (ctx.env().protected, ctx.yes) {
        (false, _) => TickedHow::NotAsked,
        (true, true) => TickedHow::Yes,
        (true, false) => TickedHow::Typed,
    };
    for system in systems {
        let what = format!("{} is not rolled back ({})", system.name, system.on_rollback);
        confirm(ctx, &what, system.name.trim())?;
    }
    Ok(TickedExternal::all(ctx, systems, how))
}

/// Asks the operator to type `name`, whatever is changed.
pub fn confirm_always(ctx: &Context, what: &str, name: &str) -> Result<()> {
    if ctx.yes {
        return Ok(());
    }
    let refused = |why: &str| errors::not_confirmed(what, why);
    if !std::io::stdin().is_terminal() {
        return Err(refused("there is no terminal to ask on").into());
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "{what}: type {name} to confirm: ")
        .and_then(|()| stderr.flush())
        .context("cannot ask on the terminal")?;
    let _question = report::question();
    let mut typed = String::new();
    std::io::stdin()
        .read_line(&mut typed)
        .context("cannot read the answer")?;
    if typed.trim() == name {
        Ok(())
    } else {
        Err(refused("something else was typed").into())
    }
}
