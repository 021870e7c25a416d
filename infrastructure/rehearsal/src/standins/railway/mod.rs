//! `railway`, as of 5.71.0.

mod api;
mod connect;
mod upload;

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};

use super::finish;
use api::Api;

#[derive(Debug, Parser)]
#[command(name = "railway", version = "5.71.0")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Get the current logged in user
    Whoami,
    /// List all projects in your Railway account
    List {
        #[arg(long)]
        json: bool,
    },
    /// Show information about a Railway project
    Status {
        #[arg(long)]
        json: bool,
    },
    /// Connect to a database's shell
    Connect(connect::Connect),
    /// Upload and deploy a folder
    Up(Up),
    /// Query the GraphQL API
    Api(Query),
    /// Manage deployments
    Deployment {
        #[command(subcommand)]
        command: DeploymentCommand,
    },
    /// Manage variables of a service
    Variable {
        #[command(subcommand)]
        command: VariableCommand,
    },
}

/// What a command works on; `--project` needs `--environment`.
#[derive(Debug, Args)]
struct Place {
    #[arg(short, long)]
    project: Option<String>,
    #[arg(short, long)]
    environment: Option<String>,
    #[arg(short, long)]
    service: Option<String>,
}

#[derive(Debug, Args)]
struct Up {
    path: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    #[arg(short, long)]
    detach: bool,
    #[arg(long)]
    json: bool,
    #[arg(long)]
    path_as_root: bool,
    #[arg(short, long)]
    message: Option<String>,
}

#[derive(Debug, Args)]
struct Query {
    /// The document; read from stdin when it is not given
    document: Option<String>,
    /// The variables as JSON; `@-` reads them from stdin
    #[arg(long, value_name = "JSON|@-")]
    variables: Option<String>,
    #[arg(long = "var", value_name = "KEY=VALUE")]
    typed: Vec<String>,
    #[arg(long = "raw-var", value_name = "KEY=VALUE")]
    raw: Vec<String>,
    #[arg(long)]
    compact: bool,
    #[arg(long)]
    allow_errors: bool,
}

#[derive(Debug, Subcommand)]
enum DeploymentCommand {
    /// List deployments of a service
    #[command(alias = "ls")]
    List {
        #[command(flatten)]
        place: Place,
        #[arg(long, default_value_t = 20)]
        limit: i64,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum VariableCommand {
    /// List variables
    #[command(alias = "ls")]
    List {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        json: bool,
    },
    /// Set a variable
    Set {
        key: String,
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        stdin: bool,
        #[arg(long)]
        skip_deploys: bool,
        #[arg(long)]
        json: bool,
    },
}

/// Parses, acts, and ends with 0, 1 or (wrong arguments) 2.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Whoami => whoami(),
        Command::List { json } => list_projects(json),
        Command::Status { json } => status(json),
        Command::Up(up) => {
            let json = up.json;
            match run_up(&up) {
                // With --json the error is an object on stdout.
                Err(error) if json => {
                    println!(
                        "{}",
                        json!({"error": format!("{error:#}"), "code": "ERROR", "hint": null})
                    );
                    Ok(1)
                }
                other => other,
            }
        }
        Command::Api(query) => run_api(&query),
        Command::Connect(connect) => connect::run(&connect),
        Command::Deployment {
            command: DeploymentCommand::List { place, limit, json },
        } => list_deployments(&place, limit, json),
        Command::Variable {
            command: VariableCommand::List { place, json },
        } => list_variables(&place, json),
        Command::Variable {
            command:
                VariableCommand::Set {
                    key,
                    place,
                    stdin,
                    skip_deploys,
                    json,
                },
        } => set_variable(&key, &place, stdin, skip_deploys, json),
    };
    finish(outcome, "")
}

/// Identifiers of what a command works on.
struct Target {
    project: String,
    environment: String,
    service: String,
}

impl Place {
    /// As every command but `up` does it: first it asks whether the project's name is an identifier.
    fn resolve_name(&self, api: &Api) -> Result<Target> {
        if let (Some(project), Some(_)) = (&self.project, &self.environment) {
            api.project(project)?;
        }
        self.resolve(api)
    }

    fn resolve(&self, api: &Api) -> Result<Target> {
        if self.project.is_some() && self.environment.is_none() {
            bail!("--environment is required when using --project");
        }
        let project = match &self.project {
            Some(project) => project.clone(),
            None => api.token_project()?,
        };
        let found = api.project(&project)?;
        // The name of a service is found in either case, that of an environment is not.
        let node = |list: &str, wanted: &str, what: &str| -> Result<String> {
            let edges = found[list]["edges"].as_array().context("an unexpected answer")?;
            let same = |node: &Value| {
                let name = node["name"].as_str().unwrap_or_default();
                let named = if list == "services" {
                    name.eq_ignore_ascii_case(wanted)
                } else {
                    name == wanted
                };
                node["id"] == wanted || named
            };
            let node = edges.iter().map(|edge| &edge["node"]).find(|node| same(node));
            let id = node.and_then(|node| node["id"].as_str());
            id.map(str::to_owned)
                .ok_or_else(|| anyhow!("{what} '{wanted}' not found"))
        };
        let environment = match &self.environment {
            Some(environment) => environment.clone(),
            None => api.token_environment()?,
        };
        let service = self.service.as_deref().context(
            "No service specified and no service linked. Use 'railway link' to link a service or specify one with the \
             service argument.",
        )?;
        Ok(Target {
            environment: node("environments", &environment, "Environment")?,
            service: node("services", service, "Service")?,
            project,
        })
    }
}

fn whoami() -> Result<u8> {
    let me = Api::from_environment()?.me()?;
    println!(
        "Logged in as {} ({})",
        me["name"].as_str().unwrap_or_default(),
        me["email"].as_str().unwrap_or_default()
    );
    Ok(0)
}

fn list_projects(json: bool) -> Result<u8> {
    let projects = Api::from_environment()?.user_projects()?;
    if json {
        println!("{}", serde_json::to_string_pretty(&projects)?);
    } else {
        for project in &projects {
            println!("  {}", project["name"].as_str().unwrap_or_default());
        }
    }
    Ok(0)
}

/// Links are kept by folder in `~/.railway/config.json`; a project's token is one by itself.
fn status(json: bool) -> Result<u8> {
    let api = Api::from_environment()?;
    let project = match linked_project()? {
        Some(project) => project,
        None => api
            .token_project()
            .context("No linked project found. Run railway link to connect to a project")?,
    };
    let project = api.project(&project)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&project)?);
    } else {
        println!("Project: {}", project["name"].as_str().unwrap_or_default());
    }
    Ok(0)
}

fn linked_project() -> Result<Option<String>> {
    let home = crate::standins::variable("HOME").context("HOME is not set")?;
    let Ok(text) = std::fs::read_to_string(PathBuf::from(home).join(".railway/config.json")) else {
        return Ok(None);
    };
    let config: Value = serde_json::from_str(&text).context("config.json is not JSON")?;
    let here = std::env::current_dir()?;
    let linked = &config["projects"][here.to_string_lossy().as_ref()]["project"];
    Ok(linked.as_str().map(str::to_owned))
}

fn run_up(up: &Up) -> Result<u8> {
    if !up.detach {
        // Without --detach the real program needs a WebSocket, never prints the id and may exit 0 without a verdict.
        eprintln!("railway (stand-in): only `up --detach` is supported");
        return Ok(2);
    }
    let folder = match (&up.path, up.path_as_root) {
        (Some(path), true) => path.clone(),
        (None, true) => bail!("--path-as-root requires a path to be specified"),
        (_, false) => {
            eprintln!("railway (stand-in): only `up PATH --path-as-root` is supported");
            return Ok(2);
        }
    };
    let api = Api::from_environment()?;
    let target = up.place.resolve(&api)?;
    let archive = upload::pack(&folder)?;
    let answer = api.upload(&target, up.message.as_deref(), &archive)?;
    if up.json {
        println!(
            "{}",
            json!({"deploymentId": answer["deploymentId"], "logsUrl": answer["logsUrl"]})
        );
    } else {
        println!("Indexing...\nUploading...");
        println!("  Build Logs: {}", answer["logsUrl"].as_str().unwrap_or_default());
    }
    Ok(0)
}

fn run_api(query: &Query) -> Result<u8> {
    let document = match &query.document {
        Some(document) => document.clone(),
        None => read_stdin()?,
    };
    let mut variables = match query.variables.as_deref() {
        None => json!({}),
        Some("@-") if query.document.is_none() => {
            bail!("Cannot read both GraphQL document and variables from stdin")
        }
        Some(given) => {
            let text = if given == "@-" {
                read_stdin()?
            } else {
                given.to_owned()
            };
            serde_json::from_str(&text).context("Failed to parse GraphQL variables as JSON")?
        }
    };
    if !variables.is_object() {
        bail!("GraphQL variables must be a JSON object");
    }
    let split = |item: &str| -> Result<(String, String)> {
        let (key, value) = item
            .split_once('=')
            .with_context(|| format!("Expected KEY=VALUE, got {item:?}"))?;
        Ok((key.trim().to_owned(), value.to_owned()))
    };
    for item in &query.typed {
        let (key, value) = split(item)?;
        variables[key] = serde_json::from_str(&value).unwrap_or(Value::String(value));
    }
    for item in &query.raw {
        let (key, value) = split(item)?;
        variables[key] = Value::String(value);
    }
    let response = Api::from_environment()?.post(&json!({"query": document, "variables": variables}))?;
    let body = String::from_utf8_lossy(&response.body).into_owned();
    let parsed = serde_json::from_str::<Value>(&body);
    match &parsed {
        Ok(value) if query.compact => println!("{value}"),
        Ok(value) => println!("{}", serde_json::to_string_pretty(value)?),
        Err(_) => print!("{body}"),
    }
    if !(200..300).contains(&response.status) {
        bail!("Railway API request failed with HTTP {}", response.status);
    }
    let errors = parsed
        .ok()
        .and_then(|value| value["errors"].as_array().map(Vec::len))
        .unwrap_or(0);
    if errors > 0 && !query.allow_errors {
        bail!("Railway API returned {errors} GraphQL error(s)");
    }
    Ok(0)
}

fn list_deployments(place: &Place, limit: i64, json: bool) -> Result<u8> {
    let api = Api::from_environment()?;
    let target = place.resolve_name(&api)?;
    let deployments = api.deployments(&target, limit.clamp(1, 1000))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&deployments)?);
    } else if deployments.is_empty() {
        println!("No deployments found");
    } else {
        println!("Recent Deployments");
        for one in &deployments {
            let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            println!("  {} | {} | {}", text("id"), text("status"), text("createdAt"));
        }
    }
    Ok(0)
}

fn list_variables(place: &Place, json: bool) -> Result<u8> {
    if !json {
        eprintln!("railway (stand-in): only `variable list --json` is supported");
        return Ok(2);
    }
    let api = Api::from_environment()?;
    let target = place.resolve_name(&api)?;
    println!("{}", serde_json::to_string_pretty(&api.variables(&target)?)?);
    Ok(0)
}

fn set_variable(key: &str, place: &Place, stdin: bool, skip_deploys: bool, json: bool) -> Result<u8> {
    if !stdin {
        eprintln!(
            "railway (stand-in): only `variable set KEY --stdin` is supported: a value in argv is no secret"
        );
        return Ok(2);
    }
    if key.contains('=') {
        bail!("Cannot use --stdin with KEY=VALUE format. Use: railway variable set KEY --stdin");
    }
    let text = read_stdin()?;
    let value = text.trim_end_matches('\n').trim_end_matches('\r');
    if value.is_empty() {
        bail!("Empty value provided via stdin");
    }
    let api = Api::from_environment()?;
    let target = place.resolve_name(&api)?;
    api.set_variable(&target, key, value, skip_deploys)?;
    if json {
        println!("{}", json!({"keys": [key], "set": true}));
    } else {
        println!("Set variables {key}");
    }
    Ok(0)
}

fn read_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("Failed to read stdin")?;
    Ok(text)
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
