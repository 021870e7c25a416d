//! What a test environment is made of: the simulated platforms, secrets, and the environment of a team's shell.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use xtask::tools::toolchain::Tool;

use super::DATABASE;
use super::platform::Addresses;
use super::programs::path_with;

/// The variable with the token of the account on Railway.
pub(super) const ACCOUNT_TOKEN: &str = "ACCOUNT_RAILWAY_TOKEN";
/// The variables with the key of the project on Atlas, and the project.
const ATLAS_PUBLIC_KEY: &str = "ATLAS_PUBLIC_KEY";
const ATLAS_PRIVATE_KEY: &str = "ATLAS_PRIVATE_KEY";
const ATLAS_PROJECT: &str = "6a793f6b2c88faeba59bae37";
/// Who logs in to the sample application.
const TEST_USER: &str = "tester@rehearsal.example";

/// A person; and nothing that only a machine needs which lives on: half of the time of a push is the flushing of files and the
/// question whether the remote needs to be cleared up.
const GIT_SETTINGS: &str = "[user]
	name = Rehearsal
	email = rehearsal@example.invalid
[core]
	fsync = none
[receive]
	autoGC = false
";

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
        (ACCOUNT_TOKEN, random()),
        ("PROD_VERCEL_TOKEN", random()),
        ("GH_TOKEN", random()),
        ("PROD_MONGODB_URI", uri.to_owned()),
        (ATLAS_PUBLIC_KEY, random()),
        (ATLAS_PRIVATE_KEY, random()),
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

/// What the simulated platforms contain.
pub(super) fn platforms(uri: &str, secrets: &BTreeMap<String, String>, ssh_key: &str) -> Value {
    json!({
        "railway": {
            "project": "prj", "environment": "env", "environment_name": "production", "service": "svc",
            "more_services": [{"service": "svc-worker"}, {"service": "svc-mailer"}],
            "token": secrets["PROD_RAILWAY_TOKEN"], "account_token": secrets[ACCOUNT_TOKEN], "ssh_keys": [ssh_key],
            "variables": {"MONGODB_URI": uri, "MONGODB_DATABASE": DATABASE, "JWT_SECRET": secrets["PROD_JWT_SECRET"]},
        },
        "vercel": {
            "org": "team_x", "project": "prj_x", "token": secrets["PROD_VERCEL_TOKEN"], "domain": "www.rehearsal.example",
            "more_projects": [{"project": "prj_admin", "domain": "admin.rehearsal.example"}],
        },
        "github": {
            "owner": "rehearsal", "repo": "sample", "token": secrets["GH_TOKEN"], "collaborators": ["ann", "bob"],
        },
        "atlas": {
            "project": ATLAS_PROJECT, "public_key": secrets[ATLAS_PUBLIC_KEY], "private_key": secrets[ATLAS_PRIVATE_KEY],
            "clusters": [{"id": "6a793f762c88faeba59bba72", "name": "shop", "uri": uri}],
        },
    })
}

/// What a team's shell would hold: the tools, a home, the secrets; and where the simulated platforms are.
pub(super) fn environment(
    tools: &[Tool],
    programs: &Path,
    folder: &Path,
    addresses: &Addresses,
    secrets: &BTreeMap<String, String>,
    ssh_key: &str,
) -> Result<BTreeMap<String, OsString>> {
    let (bin, home) = (folder.join("bin"), folder.join("home"));
    let vercel = home.join("data/com.vercel.cli");
    let gh = home.join("gh");
    for dir in [&bin, &vercel, &gh] {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    for name in ["railway", "vercel", "gh", "ssh", "atlas"] {
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
    std::fs::write(home.join(".gitconfig"), GIT_SETTINGS)?;
    std::fs::create_dir_all(home.join(".ssh"))?;
    std::fs::write(home.join(".ssh/id_ed25519.pub"), ssh_key)?;
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
        (
            "MONGODB_ATLAS_OPS_MANAGER_URL".to_owned(),
            addresses.atlas.clone().into(),
        ),
        ("HTTPS_PROXY".to_owned(), addresses.railway_proxy.clone().into()),
        ("NO_PROXY".to_owned(), "127.0.0.1,localhost".into()),
        (
            "REHEARSAL_TEST_PASSWORD".to_owned(),
            secrets["HEALTH_PASSWORD"].clone().into(),
        ),
    ]);
    Ok(env)
}
