//! `gh`, as of 2.74.0.

mod api;
mod client;
mod pr;
mod release;
mod run;

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::finish;
use client::GitHub;

#[derive(Debug, Parser)]
#[command(name = "gh", disable_version_flag = true)]
struct Arguments {
    /// Show gh version
    #[arg(long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an API request
    Api(api::Options),
    /// Pull requests
    Pr {
        #[command(subcommand)]
        command: pr::Command,
    },
    /// Workflow runs
    Run {
        #[command(subcommand)]
        command: run::Command,
    },
    /// Releases
    Release {
        #[command(subcommand)]
        command: release::Command,
    },
    /// Secrets of the repository
    Secret {
        #[command(subcommand)]
        command: SecretCommand,
    },
    /// Authentication
    Auth {
        #[command(subcommand)]
        command: AuthCommand,
    },
}

#[derive(Debug, Subcommand)]
enum AuthCommand {
    /// Show who is logged in
    Status,
}

#[derive(Debug, Args)]
struct Repository {
    /// OWNER/REPO
    #[arg(short = 'R', long)]
    repo: Option<String>,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// List names
    #[command(alias = "ls")]
    List {
        #[command(flatten)]
        repository: Repository,
        #[arg(short, long)]
        env: Option<String>,
        #[arg(long)]
        json: Option<String>,
    },
    /// Set one; its value comes from stdin
    Set {
        name: String,
        #[command(flatten)]
        repository: Repository,
        /// Of this environment
        #[arg(short, long)]
        env: Option<String>,
    },
}

/// Parses, acts, and ends with 0, 1 or (wrong arguments) 2.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.version {
        println!("gh version 2.74.0 (2025-05-29)\nhttps://github.com/cli/cli/releases/tag/v2.74.0");
        return ExitCode::SUCCESS;
    }
    finish(execute(arguments.command), "")
}

fn execute(command: Option<Command>) -> Result<u8> {
    match command {
        None => {
            eprintln!("gh (stand-in): a command is needed");
            Ok(2)
        }
        Some(Command::Api(options)) => api::run(&options),
        Some(Command::Pr { command }) => pr::run(&command),
        Some(Command::Run { command }) => run::run(&command),
        Some(Command::Release { command }) => release::run(&command),
        Some(Command::Secret { command }) => secret(&command),
        Some(Command::Auth {
            command: AuthCommand::Status,
        }) => auth_status(),
    }
}

fn auth_status() -> Result<u8> {
    let github = GitHub::from_environment(None)?;
    let response = github.send("GET", "/user", &[], &[])?;
    println!("github.com");
    if response.status != 200 {
        println!("  X Failed to log in to github.com using token (GH_TOKEN)");
        println!("  - Active account: true");
        println!("  - The token in GH_TOKEN is invalid.");
        return Ok(1);
    }
    let login = response.parse()?["login"].as_str().unwrap_or_default().to_owned();
    println!("  ✓ Logged in to github.com account {login} (GH_TOKEN)");
    println!("  - Active account: true");
    Ok(0)
}

fn secret(command: &SecretCommand) -> Result<u8> {
    match command {
        SecretCommand::List {
            repository,
            env,
            json,
        } => {
            let github = GitHub::from_environment(repository.repo.as_deref())?;
            let path = match env {
                Some(name) => github.repo_path(&format!("/environments/{name}/secrets?per_page=100")),
                None => github.repo_path("/actions/secrets?per_page=100"),
            };
            let answer = github.json("GET", &path, None)?;
            let secrets = answer["secrets"].as_array().context("an unexpected answer")?;
            if let Some(fields) = json {
                let shown: Vec<Value> = secrets
                    .iter()
                    .map(|one| pick(one, fields))
                    .collect::<Result<_>>()?;
                println!("{}", Value::Array(shown));
            } else {
                for one in secrets {
                    let text = |name: &str| one[name].as_str().unwrap_or_default();
                    println!("{}\t{}", text("name"), text("updated_at"));
                }
            }
        }
        SecretCommand::Set {
            name,
            repository,
            env,
        } => {
            let mut value = String::new();
            std::io::stdin()
                .read_to_string(&mut value)
                .context("failed to read from standard input")?;
            let github = GitHub::from_environment(repository.repo.as_deref())?;
            let below = env.as_ref().map_or_else(
                || "/actions/secrets".to_owned(),
                |name| format!("/environments/{name}/secrets"),
            );
            let key = github.json("GET", &github.repo_path(&format!("{below}/public-key")), None)?;
            // The real program seals the value; nobody here opens it, so a digest says as much.
            let sealed = BASE64.encode(Sha256::digest(value.trim_end_matches(['\r', '\n'])));
            let body = json!({"encrypted_value": sealed, "key_id": key["key_id"]});
            github.json("PUT", &github.repo_path(&format!("{below}/{name}")), Some(&body))?;
        }
    }
    Ok(0)
}

/// Fields that `--json a,b` asks for, by gh's own names.
fn pick(value: &Value, fields: &str) -> Result<Value> {
    let mut out = serde_json::Map::new();
    for field in fields.split(',') {
        let api_name = match field {
            "databaseId" => "id".to_owned(),
            "workflowName" => "name".to_owned(),
            "url" => "html_url".to_owned(),
            "isDraft" => "draft".to_owned(),
            "isPrerelease" => "prerelease".to_owned(),
            other => snake_case(other),
        };
        let Some(found) = value.get(&api_name) else {
            bail!("Unknown JSON field: {field:?}")
        };
        let shown = match found.as_array() {
            Some(assets) if field == "assets" => assets.iter().map(asset).collect(),
            _ => found.clone(),
        };
        out.insert(field.to_owned(), shown);
    }
    Ok(Value::Object(out))
}

/// A release's file, by gh's own names.
fn asset(value: &Value) -> Value {
    json!({"apiUrl": value["url"], "contentType": value["content_type"], "createdAt": value["created_at"],
           "name": value["name"], "size": value["size"], "state": value["state"], "updatedAt": value["updated_at"],
           "url": value["browser_download_url"]})
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_defined() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }

    #[test]
    fn json_fields_have_the_names_of_gh() {
        let value = json!({"id": 7, "head_sha": "abc", "draft": true});
        let picked = pick(&value, "databaseId,headSha,isDraft").unwrap();
        assert_eq!(
            picked,
            json!({"databaseId": 7, "headSha": "abc", "isDraft": true})
        );
        assert!(pick(&value, "nothing").is_err());
    }
}
