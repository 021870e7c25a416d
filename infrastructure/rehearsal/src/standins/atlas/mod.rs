//! `atlas`, as of 1.58.1: the commands for snapshots and restores. `watch` is not among them: the real one ends well where it
//! could not ask.

mod api;
mod client;

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{finish, variable};
use client::Client;

const VERSION: &str = "1.58.1";

#[derive(Debug, Parser)]
#[command(name = "atlas", disable_version_flag = true, arg_required_else_help = true)]
struct Arguments {
    #[arg(long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Backups {
        #[command(subcommand)]
        command: Backups,
    },
    Clusters {
        #[command(subcommand)]
        command: Clusters,
    },
    Api {
        #[command(subcommand)]
        group: api::Group,
    },
}

#[derive(Debug, Subcommand)]
enum Backups {
    Snapshots {
        #[command(subcommand)]
        command: Snapshots,
    },
    Restores {
        #[command(subcommand)]
        command: Restores,
    },
}

#[derive(Debug, Clone, Copy, Args)]
struct Output {
    #[arg(long, short, value_enum)]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
}

#[derive(Debug, Subcommand)]
#[command(rename_all = "lowercase")]
enum Snapshots {
    Create {
        cluster: String,
        #[arg(long)]
        desc: String,
        /// Kept for a day unless it is given.
        #[arg(long, default_value_t = 1)]
        retention: i64,
        #[command(flatten)]
        output: Output,
    },
    Describe {
        id: String,
        #[arg(long = "clusterName")]
        cluster: String,
        #[command(flatten)]
        output: Output,
    },
    List {
        cluster: String,
        #[arg(long, default_value_t = 100)]
        limit: u32,
        #[arg(long, default_value_t = 1)]
        page: u32,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
enum Restores {
    Start {
        #[arg(value_enum)]
        method: Method,
        #[arg(long = "clusterName")]
        cluster: String,
        #[arg(long = "snapshotId")]
        snapshot: String,
        #[arg(long = "targetClusterName")]
        target: String,
        #[arg(long = "targetProjectId")]
        target_project: String,
        #[command(flatten)]
        output: Output,
    },
    Describe {
        id: String,
        #[arg(long = "clusterName")]
        cluster: String,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Method {
    Automated,
}

#[derive(Debug, Subcommand)]
enum Clusters {
    Describe {
        name: String,
        #[command(flatten)]
        output: Output,
    },
}

/// Parses and acts. Every failure is exit code 1, wrong arguments too.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return finish(Err(error.into()), "Error: "),
    };
    if arguments.version {
        println!(
            "atlascli version: {VERSION}\ngit version: 0\nGo version: go1.26.8\n   os: linux\n   arch: amd64\n   compiler: gc"
        );
        return ExitCode::SUCCESS;
    }
    finish(arguments.command.map_or(Ok(0), execute), "Error: ")
}

fn execute(command: Command) -> Result<u8> {
    make_plugins_folder()?;
    let project = variable("MONGODB_ATLAS_PROJECT_ID");
    let client = Client::from_environment(project.as_deref())?;
    match command {
        Command::Api { group } => return api::run(group, &client),
        Command::Clusters {
            command: Clusters::Describe { name, output },
        } => print(output, &client.get("2024-08-05", &format!("/clusters/{name}"))?),
        Command::Backups {
            command: Backups::Snapshots { command },
        } => snapshots(command, &client)?,
        Command::Backups {
            command: Backups::Restores { command },
        } => restores(command, &client)?,
    }
    Ok(0)
}

/// As the real program does wherever it runs.
fn make_plugins_folder() -> Result<()> {
    let config = variable("XDG_CONFIG_HOME").or_else(|| Some(format!("{}/.config", variable("HOME")?)));
    let Some(config) = config else {
        bail!("neither XDG_CONFIG_HOME nor HOME are defined")
    };
    Ok(std::fs::create_dir_all(format!("{config}/atlascli/plugins"))?)
}

fn snapshots(command: Snapshots, client: &Client) -> Result<()> {
    match command {
        Snapshots::Create {
            cluster,
            desc,
            retention,
            output,
        } => {
            let body = json!({"description": desc, "retentionInDays": retention});
            let path = format!("/clusters/{cluster}/backup/snapshots");
            print(output, &client.post("2024-08-05", &path, &body)?);
        }
        Snapshots::Describe { id, cluster, output } => {
            client.is_not_flex(&cluster, &format!("/backup/snapshots/{id}"))?;
            let path = format!("/clusters/{cluster}/backup/snapshots/{id}");
            print(output, &client.get("2023-01-01", &path)?);
        }
        Snapshots::List {
            cluster,
            limit,
            page,
            output,
        } => {
            let query = format!("/backup/snapshots?includeCount=true&itemsPerPage={limit}&pageNum={page}");
            client.is_not_flex(&cluster, &query)?;
            print(
                output,
                &client.get("2023-01-01", &format!("/clusters/{cluster}{query}"))?,
            );
        }
    }
    Ok(())
}

fn restores(command: Restores, client: &Client) -> Result<()> {
    match command {
        Restores::Start {
            method: Method::Automated,
            cluster,
            snapshot,
            target,
            target_project,
            output,
        } => {
            // Nobody is asked, whatever the target is.
            client.get("2024-08-05", &format!("/clusters/{cluster}"))?;
            let body = json!({"deliveryType": "automated", "snapshotId": snapshot, "targetClusterName": target,
                              "targetGroupId": target_project});
            let path = format!("/clusters/{cluster}/backup/restoreJobs");
            print(output, &client.post("2023-01-01", &path, &body)?);
        }
        Restores::Describe { id, cluster, output } => {
            client.is_not_flex(&cluster, &format!("/backup/restoreJobs/{id}"))?;
            let path = format!("/clusters/{cluster}/backup/restoreJobs/{id}");
            print(output, &client.get("2023-01-01", &path)?);
        }
    }
    Ok(())
}

/// Without `--output json` people get a table, which no program can read.
fn print(output: Output, value: &Value) {
    match output.output {
        Some(Format::Json) => println!("{value:#}"),
        None => println!("ID\tTYPE\tSTATUS\n{}", value["id"]),
    }
}

/// The body of `atlas api`: from a file, or from standard input where that is none of a terminal or nothing.
fn body_of(file: Option<&str>) -> Result<Value> {
    let is_nothing = std::fs::read_link("/proc/self/fd/0").is_ok_and(|path| path.ends_with("null"));
    let is_piped = !std::io::stdin().is_terminal() && !is_nothing;
    let text = match (is_piped, file) {
        (true, Some(_)) => bail!("cannot use --file flag and also input from standard input"),
        (false, None) => bail!("--file flag is required when not using piped input"),
        (false, Some(file)) => std::fs::read_to_string(file)?,
        (true, None) => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
    };
    Ok(serde_json::from_str(&text)?)
}
