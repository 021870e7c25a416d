//! What a world is made of: the database server, the simulated platforms, secrets, and the environment of a team's shell.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use super::{Addresses, DATABASE};
use crate::exec::{Background, Exec};
use crate::tools::resolve::{Tool, path_with};

const START_DEADLINE: Duration = Duration::from_secs(60);
/// Who logs in to the sample application.
const TEST_USER: &str = "tester@rehearsal.example";

pub(super) fn start_server(tools: &[Tool], programs: &Path, folder: &Path) -> Result<(Background, String)> {
    let tool = tools
        .iter()
        .find(|tool| tool.name == "mongodb-server")
        .context("no MongoDB server")?;
    let data = folder.join("database");
    std::fs::create_dir_all(&data).context("cannot make the database's folder")?;
    let sh = Shell::new().context("cannot start a shell")?;
    let (leash, program) = (programs.join("rehearsal"), &tool.path);
    let is_mongod = program.file_name().is_some_and(|name| name == "mongod");
    let command = if is_mongod {
        let port = free_port()?.to_string();
        cmd!(
            sh,
            "{leash} leash -- {program} --bind_ip 127.0.0.1 --port {port} --dbpath {data}"
        )
    } else {
        cmd!(
            sh,
            "{leash} leash -- {program} --host 127.0.0.1 --port 0 --storage-path {data}"
        )
    };
    let (server, address) = Exec::new(command)
        .deadline(START_DEADLINE)
        .background(&folder.join("logs/database.log"), server_address)?;
    // The application name marks the address as one that must not be shown, as a password would.
    let mark = rand::random::<u64>();
    Ok((
        server,
        format!("mongodb://{address}/?directConnection=true&appName=a{mark:x}"),
    ))
}

/// The line that says where the server listens: `secantusd-rs` in words, `mongod` as JSON.
fn server_address(line: &str) -> Option<String> {
    if let Some((_, address)) = line.split_once(" listening on ") {
        return Some(address.trim().to_owned());
    }
    let event: Value = serde_json::from_str(line).ok()?;
    (event["msg"] == "Waiting for connections").then(|| format!("127.0.0.1:{}", event["attr"]["port"]))
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr().context("no free port")?.port())
}

/// What is in the environment beside the secrets is no secret.
pub(super) fn guarded(mut secrets: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for public in ["HEALTH_EMAIL", "REHEARSAL_RECIPIENT"] {
        secrets.remove(public);
    }
    secrets
}

/// Secrets of this rehearsal only, made anew each time.
pub(super) fn secrets(uri: &str) -> BTreeMap<String, String> {
    use age::secrecy::ExposeSecret as _;
    let random = || format!("{:032x}", rand::random::<u128>());
    let identity = age::x25519::Identity::generate();
    let made = [
        ("PROD_RAILWAY_TOKEN", random()),
        ("PROD_VERCEL_TOKEN", random()),
        ("GH_TOKEN", random()),
        ("PROD_MONGODB_URI", uri.to_owned()),
        ("PROD_JWT_SECRET", random()),
        ("HEALTH_PASSWORD", random()),
        ("HEALTH_EMAIL", TEST_USER.to_owned()),
        ("REHEARSAL_RECIPIENT", identity.to_public().to_string()),
        (
            "BACKUP_AGE_IDENTITY",
            identity.to_string().expose_secret().to_owned(),
        ),
    ];
    made.into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

pub(super) fn start_platform(
    programs: &Path,
    folder: &Path,
    uri: &str,
    secrets: &BTreeMap<String, String>,
) -> Result<(Background, Addresses)> {
    let world = json!({
        "railway": {
            "project": "prj", "environment": "env", "environment_name": "production", "service": "svc",
            "token": secrets["PROD_RAILWAY_TOKEN"],
            "variables": {"MONGODB_URI": uri, "MONGODB_DATABASE": DATABASE, "JWT_SECRET": secrets["PROD_JWT_SECRET"]},
        },
        "vercel": {
            "org": "team_x", "project": "prj_x", "token": secrets["PROD_VERCEL_TOKEN"], "domain": "www.rehearsal.example",
        },
        "github": {
            "owner": "rehearsal", "repo": "sample", "token": secrets["GH_TOKEN"], "collaborators": ["ann", "bob"],
        },
    });
    let config = folder.join("world.json");
    std::fs::write(&config, world.to_string()).context("cannot write the simulator's configuration")?;
    let sh = Shell::new().context("cannot start a shell")?;
    let (program, state) = (programs.join("rehearsal"), folder.join("platform"));
    Exec::new(cmd!(sh, "{program} platform --state {state} --config {config}"))
        .deadline(START_DEADLINE)
        .background(&folder.join("logs/platform.log"), |line| {
            serde_json::from_str(line).ok()
        })
}

/// What a team's shell would hold: the tools, a home, the secrets; and where the simulated platforms are.
pub(super) fn environment(
    tools: &[Tool],
    programs: &Path,
    folder: &Path,
    addresses: &Addresses,
    secrets: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, OsString>> {
    let (bin, home) = (folder.join("bin"), folder.join("home"));
    let vercel = home.join("data/com.vercel.cli");
    let gh = home.join("gh");
    for dir in [&bin, &vercel, &gh] {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    for name in ["railway", "vercel", "gh"] {
        std::os::unix::fs::symlink(programs.join(format!("standin-{name}")), bin.join(name))
            .with_context(|| format!("cannot link the stand-in {name}"))?;
    }
    std::fs::write(
        vercel.join("config.json"),
        json!({"api": addresses.vercel_api}).to_string(),
    )?;
    std::fs::write(
        gh.join("config.yml"),
        format!(
            "version: 1\nhttp_unix_socket: {}\n",
            addresses.github_socket.display()
        ),
    )?;
    std::fs::write(
        home.join(".gitconfig"),
        "[user]\n\tname = Rehearsal\n\temail = rehearsal@example.invalid\n",
    )?;
    let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path_with(tools)?)))
        .context("a folder of PATH has a colon in its name")?;
    let mut env: BTreeMap<String, OsString> = secrets
        .iter()
        .map(|(name, value)| (name.clone(), value.into()))
        .collect();
    env.extend([
        ("PATH".to_owned(), path),
        ("HOME".to_owned(), home.clone().into()),
        ("XDG_DATA_HOME".to_owned(), home.join("data").into()),
        ("XDG_CONFIG_HOME".to_owned(), home.join("config").into()),
        ("GH_CONFIG_DIR".to_owned(), gh.into()),
        ("GH_REPO".to_owned(), "rehearsal/sample".into()),
        ("HTTPS_PROXY".to_owned(), addresses.railway_proxy.clone().into()),
        ("NO_PROXY".to_owned(), "127.0.0.1,localhost".into()),
        (
            "REHEARSAL_TEST_PASSWORD".to_owned(),
            secrets["HEALTH_PASSWORD"].clone().into(),
        ),
    ]);
    Ok(env)
}

#[cfg(test)]
mod tests {
    use super::server_address;

    #[test]
    fn both_servers_say_where_they_listen() {
        let cases = [
            ("secantusd-rs listening on 127.0.0.1:4711", Some("127.0.0.1:4711")),
            (
                r#"{"s":"I","msg":"Waiting for connections","attr":{"port":4712,"ssl":"off"}}"#,
                Some("127.0.0.1:4712"),
            ),
            (
                r#"{"s":"I","msg":"Listening on","attr":{"address":"127.0.0.1"}}"#,
                None,
            ),
            ("starting", None),
        ];
        for (line, address) in cases {
            assert_eq!(server_address(line).as_deref(), address, "{line}");
        }
    }
}
