//! `vercel`, as of 60.1.3.

mod api;
mod build;
mod commands;
mod deploy;
mod git;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use super::finish;

#[derive(Debug, Parser)]
#[command(name = "vercel", version = "60.1.3", disable_version_flag = true)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    /// Print the version
    #[arg(short, long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Options of every command. `--token` is left out on purpose: it shows in the list of processes.
#[derive(Debug, Args)]
struct Global {
    /// Team to work in
    #[arg(short = 'S', long, global = true)]
    scope: Option<String>,
    /// Folder of the global configuration
    #[arg(short = 'Q', long, global = true)]
    #[expect(clippy::struct_field_names, reason = "the name of the option")]
    global_config: Option<PathBuf>,
    /// Working folder
    #[arg(long, global = true)]
    cwd: Option<PathBuf>,
    /// Never ask
    #[arg(long, global = true)]
    non_interactive: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show who is logged in
    Whoami,
    /// Fetch the project's settings and variables
    Pull {
        #[arg(short, long)]
        yes: bool,
        #[arg(long, default_value = "development")]
        environment: String,
    },
    /// Build into .vercel/output
    Build {
        #[arg(short, long)]
        yes: bool,
        #[arg(long)]
        prod: bool,
    },
    /// Deploy what was built
    Deploy(DeployOptions),
    /// Show a deployment
    Inspect {
        deployment: String,
        #[arg(long)]
        wait: bool,
        #[arg(long, default_value = "3m")]
        timeout: String,
        #[arg(long)]
        json: bool,
    },
    /// Give the production domains to a deployment
    Promote(AliasOptions),
    /// Give the production domains back to an earlier deployment
    Rollback(AliasOptions),
    /// Ask the API
    Api {
        endpoint: String,
        #[arg(short = 'X', long, default_value = "GET")]
        method: String,
        /// A value that is parsed: a number, a boolean, or text
        #[arg(short = 'F', long, value_name = "KEY=VALUE")]
        field: Vec<String>,
        #[arg(long)]
        raw: bool,
    },
    /// Variables of the project
    Env {
        #[command(subcommand)]
        command: EnvCommand,
    },
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct DeployOptions {
    #[arg(long)]
    prebuilt: bool,
    #[arg(long)]
    prod: bool,
    #[arg(long)]
    skip_domain: bool,
    #[arg(long)]
    archive: Option<String>,
    #[arg(long)]
    no_wait: bool,
    #[arg(long)]
    json: bool,
    #[arg(short, long)]
    yes: bool,
    #[arg(short, long, value_name = "KEY=VALUE")]
    meta: Vec<String>,
}

#[derive(Debug, Args)]
struct AliasOptions {
    deployment: String,
    #[arg(short, long)]
    yes: bool,
    #[arg(long, default_value = "3m")]
    timeout: String,
}

#[derive(Debug, Subcommand)]
enum EnvCommand {
    /// List variables
    #[command(alias = "list")]
    Ls {
        environment: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Add a variable; its value comes from stdin
    Add {
        name: String,
        environment: String,
        #[arg(long)]
        force: bool,
        #[arg(long = "type", value_parser = ["secret", "config"])]
        kind: Option<String>,
        #[arg(short, long)]
        yes: bool,
    },
}

/// Parses, acts, and ends with 0, 1 or (wrong arguments) 2.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.version {
        println!("60.1.3");
        return ExitCode::SUCCESS;
    }
    finish(run(&arguments), "Error: ")
}

fn run(arguments: &Arguments) -> Result<u8> {
    let global = &arguments.global;
    if let Some(folder) = &global.cwd {
        std::env::set_current_dir(folder)?;
    }
    let Some(command) = &arguments.command else {
        eprintln!("vercel (stand-in): a command is needed");
        return Ok(2);
    };
    eprintln!("Vercel CLI 60.1.3");
    match command {
        Command::Whoami => commands::whoami(global),
        Command::Pull { yes, environment } => build::pull(global, *yes, environment),
        Command::Build { yes: _, prod } => build::build(global, *prod),
        Command::Deploy(options) => deploy::run(global, options),
        Command::Inspect {
            deployment,
            wait,
            timeout,
            json,
        } => commands::inspect(global, deployment, *wait, timeout, *json),
        Command::Promote(options) => commands::alias(global, options, "promote"),
        Command::Rollback(options) => commands::alias(global, options, "rollback"),
        Command::Api {
            endpoint,
            method,
            field,
            raw: _,
        } => commands::api(global, endpoint, method, field),
        Command::Env { command } => commands::env(global, command),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_defined() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
