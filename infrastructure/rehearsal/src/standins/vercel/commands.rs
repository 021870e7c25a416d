//! `whoami`, `inspect`, `promote`, `rollback`, `env`.

use std::io::Read as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::api::{Api, Refusal};
use super::{AliasOptions, EnvCommand, Global};

/// Between two looks.
const POLL: Duration = Duration::from_millis(100);
/// Finished requests that are older are not looked at.
const RECENT_MS: i64 = 180_000;

pub(super) fn whoami(global: &Global) -> Result<u8> {
    println!("{}", Api::new(global)?.introduce()?.user);
    Ok(0)
}

/// `10m`, `30s`, `500ms`, or milliseconds.
fn parse_timeout(text: &str) -> Result<Duration> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    let number = digits
        .parse::<u64>()
        .with_context(|| format!("Invalid timeout \"{text}\""))?;
    match &text[digits.len()..] {
        "" | "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => bail!("Invalid timeout \"{text}\""),
    }
}

pub(super) fn inspect(global: &Global, name: &str, wait: bool, timeout: &str, as_json: bool) -> Result<u8> {
    let timeout = parse_timeout(timeout)?;
    let api = Api::new(global)?;
    let context = api.introduce()?.context;
    let host = name
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let ask = || -> Result<Value> {
        api.json("GET", &format!("/v13/deployments/{host}"), None)
            .map_err(|error| match error.downcast::<Refusal>() {
                Ok(refusal) if refusal.status == 404 => {
                    anyhow::anyhow!("Can't find the deployment \"{host}\" under the context \"{context}\"")
                }
                Ok(refusal) => refusal.into(),
                Err(error) => error,
            })
    };
    let deadline = Instant::now() + timeout;
    let mut found = ask()?;
    while wait
        && matches!(
            found["readyState"].as_str(),
            Some("QUEUED" | "INITIALIZING" | "BUILDING" | "DEPLOYING")
        )
    {
        if Instant::now() > deadline {
            eprintln!("WARN! stopped waiting after {} seconds", timeout.as_secs());
            break;
        }
        thread::sleep(POLL);
        found = ask()?;
    }
    let id = found["id"].as_str().context("an unexpected answer")?;
    let builds = api.json("GET", &format!("/v11/deployments/{id}/builds"), None)?;
    if as_json {
        let mut shown = json!({});
        for name in ["id", "name", "url", "target", "readyState", "createdAt"] {
            shown[name] = found[name].clone();
        }
        // Only what is there is shown.
        let shown_lists = [("aliases", &found["alias"]), ("builds", &builds["builds"])];
        for (name, list) in shown_lists
            .into_iter()
            .filter(|(_, list)| list.as_array().is_some_and(|list| !list.is_empty()))
        {
            shown[name] = list.clone();
        }
        shown["contextName"] = Value::from(context);
        println!("{}", serde_json::to_string_pretty(&shown)?);
    } else {
        eprintln!(
            "  General\n\n    id\t\t{id}\n    status\t{}",
            found["readyState"].as_str().unwrap_or_default()
        );
    }
    Ok(u8::from(matches!(
        found["readyState"].as_str(),
        Some("ERROR" | "CANCELED")
    )))
}

/// Promotes or rolls back, then waits for what the project says about its last request. Exit code 0 proves nothing.
pub(super) fn alias(global: &Global, options: &AliasOptions, kind: &str) -> Result<u8> {
    let timeout = parse_timeout(&options.timeout)?;
    let api = Api::new(global)?;
    api.introduce()?;
    let host = options
        .deployment
        .trim_start_matches("https://")
        .trim_end_matches('/');
    let deployment = api.json("GET", &format!("/v13/deployments/{host}"), None)?;
    let (id, project) = (
        deployment["id"].as_str().context("an unexpected answer")?,
        deployment["projectId"].as_str().context("an unexpected answer")?,
    );
    let settings = api.json("GET", &format!("/v9/projects/{project}"), None)?;
    let name = settings["name"].as_str().unwrap_or_default();
    if kind == "promote" && deployment["target"] != "production" {
        if !options.yes {
            bail!("This deployment is not a production deployment and cannot be directly promoted.");
        }
        let body =
            json!({"deploymentId": id, "name": name, "target": "production", "meta": {"action": "promote"}});
        let made = api.json("POST", "/v13/deployments", Some(&body))?;
        let url = made["inspectorUrl"].as_str().unwrap_or_default();
        eprintln!("> Successfully created new deployment of {name} at {url}");
        return Ok(0);
    }
    let version = if kind == "promote" { "v10" } else { "v9" };
    let response = api.send(
        "POST",
        &format!("/{version}/projects/{project}/{kind}/{id}"),
        &[("content-type", "application/json; charset=utf-8")],
        b"{}",
    )?;
    if !(200..300).contains(&response.status) {
        super::api::accept(&response)?;
    }
    if timeout.is_zero() {
        eprintln!(
            "> Successfully requested {kind} of {name} to {} ({id})",
            deployment["url"].as_str().unwrap_or_default()
        );
        return Ok(0);
    }
    wait_for_alias(&api, project, name, kind, Instant::now() + timeout)
}

fn wait_for_alias(api: &Api, project: &str, name: &str, kind: &str, deadline: Instant) -> Result<u8> {
    let noun = if kind == "promote" {
        "promotion"
    } else {
        "rollback"
    };
    loop {
        let settings = api.json("GET", &format!("/v9/projects/{project}?rollbackInfo=true"), None)?;
        let last = &settings["lastAliasRequest"];
        let recent = chrono::Utc::now().timestamp_millis() - RECENT_MS;
        let (Some(status), Some(to)) = (last["jobStatus"].as_str(), last["toDeploymentId"].as_str()) else {
            eprintln!("> No deployment {noun} in progress");
            return Ok(0);
        };
        if last["requestedAt"].as_i64().unwrap_or(0) < recent {
            eprintln!("> No deployment {noun} in progress");
            return Ok(0);
        }
        match status {
            "succeeded" => {
                let to = api.json("GET", &format!("/v13/deployments/{to}"), None)?["url"]
                    .as_str()
                    .map_or_else(|| to.to_owned(), |url| format!("{url} ({to})"));
                let done = if kind == "promote" {
                    "promoted"
                } else {
                    "rolled back"
                };
                eprintln!("> Success! {name} was {done} to {to}");
                return Ok(0);
            }
            "failed" => {
                eprintln!("Error: Failed to remap all aliases to the requested deployment {to}");
                return Ok(1);
            }
            "pending" | "in-progress" => {}
            other => {
                eprintln!("> Unknown {noun} status \"{other}\"");
                return Ok(1);
            }
        }
        if Instant::now() >= deadline {
            eprintln!("> The {noun} exceeded its deadline - rerun vercel {kind} {to} to try again");
            return Ok(1);
        }
        thread::sleep(POLL);
    }
}

/// The link to a project is ignored: only `--scope` names the team.
pub(super) fn api(global: &Global, endpoint: &str, method: &str, fields: &[String]) -> Result<u8> {
    let api = Api::new(global)?;
    api.introduce()?;
    let mut body = json!({});
    for pair in fields {
        let (name, value) = pair
            .split_once('=')
            .with_context(|| format!("Invalid field \"{pair}\""))?;
        body[name] = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    }
    let answer = api.json(method, endpoint, (!fields.is_empty()).then_some(&body))?;
    println!("{answer}");
    Ok(0)
}

pub(super) fn env(global: &Global, command: &EnvCommand) -> Result<u8> {
    let (api, project) = Api::linked(global)?;
    api.introduce()?;
    api.json("GET", &format!("/v9/projects/{project}"), None)?;
    let list = |query: &str| -> Result<Value> {
        let list = api.json("GET", &format!("/v10/projects/{project}/env?{query}"), None)?;
        api.json("GET", &format!("/projects/{project}/custom-environments"), None)?;
        Ok(list)
    };
    match command {
        EnvCommand::Ls { environment, json } => {
            let target = environment
                .as_ref()
                .map(|target| format!("target={target}&"))
                .unwrap_or_default();
            let list = list(&format!("{target}source=vercel-cli%3Aenv%3Als"))?;
            print_variables(list["envs"].as_array().context("an unexpected answer")?, *json)?;
        }
        EnvCommand::Add {
            name,
            environment,
            force,
            kind,
            yes: _,
        } => {
            list("source=vercel-cli%3Aenv%3Aadd")?;
            add_variable(&api, &project, name, environment, *force, kind.as_deref())?;
        }
    }
    Ok(0)
}

/// Values of secrets are not in the list at all.
fn print_variables(list: &[Value], as_json: bool) -> Result<()> {
    if !as_json {
        for one in list {
            let kind = if one["type"] == "sensitive" {
                "Secret"
            } else {
                "Config"
            };
            println!(
                " {}     {kind}    {}",
                one["key"].as_str().unwrap_or_default(),
                one["target"]
            );
        }
        return Ok(());
    }
    let shown: Vec<Value> = list
        .iter()
        .map(|one| {
            let mut shown = json!({"key": one["key"]});
            if one["type"] != "sensitive" {
                shown["value"] = one["value"].clone();
            }
            for name in ["type", "target", "createdAt", "updatedAt"] {
                shown[name] = one[name].clone();
            }
            shown
        })
        .collect();
    println!("{}", serde_json::to_string_pretty(&json!({"envs": shown}))?);
    Ok(())
}

fn add_variable(
    api: &Api,
    project: &str,
    name: &str,
    target: &str,
    force: bool,
    kind: Option<&str>,
) -> Result<()> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .context("cannot read the value from stdin")?;
    let value = text.strip_suffix('\n').unwrap_or(&text);
    if value.is_empty() {
        bail!("No value provided for the environment variable");
    }
    let kind = if kind == Some("config") {
        "encrypted"
    } else {
        "sensitive"
    };
    let body = json!({"type": kind, "key": name, "value": value, "target": [target], "visibility": "secret"});
    let upsert = if force { "?upsert=true" } else { "" };
    api.json(
        "POST",
        &format!("/v10/projects/{project}/env{upsert}"),
        Some(&body),
    )?;
    let done = if force { "Overrode" } else { "Added" };
    eprintln!("✅  {done} Environment Variable {name} to Project");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_with_their_unit() {
        let cases = [("5m", 300_000), ("30s", 30_000), ("0", 0), ("250ms", 250)];
        for (text, ms) in cases {
            assert_eq!(parse_timeout(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
        for wrong in ["", "m", "5h", "-1s"] {
            assert!(parse_timeout(wrong).is_err(), "{wrong}");
        }
    }
}
