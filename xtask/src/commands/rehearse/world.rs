//! The world of a rehearsal: a database server, the simulated platforms, a git remote with a clone, and the
//! environment in which our own program runs as it would for a team. Only PATH, configuration and URLs differ.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use xshell::{Shell, cmd};

use crate::exec::{Background, Exec, Finished, shell_in};
use crate::report;
use crate::tools::resolve::{Tool, path_with, resolve};

/// The database that the sample application keeps its data in.
pub const DATABASE: &str = "sample";
const START_DEADLINE: Duration = Duration::from_secs(60);
/// One command of the rehearsal; the mission gives a whole rollback 15 minutes.
const COMMAND_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Tools that a rehearsal runs.
const TOOLS: &[&str] = &["mongodump", "mongorestore", "mongodb-server", "git"];
/// Who logs in to the sample application.
const TEST_USER: &str = "tester@rehearsal.example";

/// Where everything of the simulator answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Addresses {
    pub railway_proxy: String,
    pub vercel_api: String,
    pub github_socket: PathBuf,
    pub services: String,
    pub backend: String,
    pub frontend: String,
    pub control: String,
    /// Certificate of the authority that the real `railway` must trust.
    pub railway_ca: PathBuf,
}

/// Everything that runs; dropping it ends it, the platforms first.
#[derive(Debug)]
pub struct World {
    pub folder: PathBuf,
    program: PathBuf,
    pub addresses: Addresses,
    pub uri: String,
    programs: PathBuf,
    samples: PathBuf,
    env: BTreeMap<String, OsString>,
    secrets: BTreeMap<String, String>,
    _platform: Background,
    _server: Background,
}

impl World {
    /// Sets everything up below `folder`, which must be new. `program` is the one that is rehearsed: this one.
    pub fn start(root: &Path, folder: &Path, program: &Path) -> Result<Self> {
        let names: Vec<String> = TOOLS.iter().map(ToString::to_string).collect();
        let tools = resolve(root, &names)?;
        let programs = build_programs(root, program)?;
        std::fs::create_dir_all(folder.join("logs")).context("cannot make the folder of the rehearsal")?;
        let (server, uri) = start_server(&tools, &programs, folder)?;
        let secrets = secrets(&uri);
        let (platform, addresses) = start_platform(&programs, folder, &uri, &secrets)?;
        let env = environment(&tools, &programs, folder, &addresses, &secrets)?;
        let samples = root.join("infrastructure/rehearsal");
        let world = Self {
            folder: folder.into(),
            program: program.into(),
            addresses,
            uri,
            programs,
            samples,
            env,
            secrets: guarded(secrets),
            _platform: platform,
            _server: server,
        };
        world.make_repository()?;
        Ok(world)
    }

    /// The secrets of this world by variable: nothing of what is run may ever show one.
    pub fn secrets(&self) -> &BTreeMap<String, String> {
        &self.secrets
    }

    /// The team's clone.
    pub fn clone_dir(&self) -> PathBuf {
        self.folder.join("shop")
    }

    /// Runs our own program as the team would, in its clone; progress goes to `logs/<name>.log`.
    pub fn xtask(&self, name: &str, args: &[&str]) -> Result<Finished> {
        let (sh, program) = (shell_in(&self.clone_dir())?, &self.program);
        let log = self.log(name)?;
        let finished = self
            .in_world(cmd!(sh, "{program} {args...}"))
            .on_stderr(move |line| log(line))
            .output()?;
        std::fs::write(
            self.folder.join("logs").join(format!("{name}.out")),
            &finished.stdout,
        )
        .context("cannot keep the output")?;
        Ok(finished)
    }

    /// The same, with the result as JSON; only exit code 0 is accepted.
    pub fn xtask_json(&self, name: &str, args: &[&str]) -> Result<Value> {
        let finished = self
            .xtask(name, &[args, &["--format", "json"]].concat())?
            .checked()?;
        serde_json::from_str(&finished.stdout)
            .with_context(|| format!("`{}` printed no JSON", finished.command))
    }

    /// Commits a release of the sample application, pushes it, and gives its commit.
    pub fn commit_release(&self, sample: &str) -> Result<String> {
        copy_tree(&self.samples.join("sample").join(sample), &self.clone_dir())?;
        let sh = shell_in(&self.clone_dir())?;
        let message = format!("Release {sample}");
        self.in_world(cmd!(sh, "git add --all")).run()?;
        self.in_world(cmd!(sh, "git commit --quiet --allow-empty --message {message}"))
            .run()?;
        self.in_world(cmd!(sh, "git push --quiet origin HEAD:refs/heads/main"))
            .run()?;
        self.in_world(cmd!(sh, "git rev-parse HEAD")).read()
    }

    /// Fills the database.
    pub fn seed(&self, documents: u32, seed: u64) -> Result<()> {
        let (sh, program) = (shell_in(&self.folder)?, self.programs.join("rehearsal"));
        let (documents, seed) = (documents.to_string(), seed.to_string());
        self.in_world(cmd!(
            sh,
            "{program} seed --uri-env PROD_MONGODB_URI --database {DATABASE} --documents {documents} --seed {seed}"
        ))
        .run()
    }

    /// Lets users write through the backend; gives how many writes were acknowledged.
    pub fn users_write(&self, count: u32, seed: u64) -> Result<u64> {
        let (sh, program, base) = (
            shell_in(&self.folder)?,
            self.programs.join("rehearsal"),
            &self.addresses.backend,
        );
        let (count, seed) = (count.to_string(), seed.to_string());
        let answer: Value = self
            .in_world(cmd!(
                sh,
                "{program} write --base {base} --count {count} --seed {seed}"
            ))
            .json()?;
        answer["written"]
            .as_u64()
            .context("the writers did not say how much they wrote")
    }

    /// What the simulator saw.
    pub fn platform_report(&self) -> Result<Value> {
        let url = format!("{}/report", self.addresses.control.trim_end_matches('/'));
        Ok(ureq::get(&url)
            .call()
            .context("the simulator does not answer")?
            .body_mut()
            .read_json()?)
    }

    /// Changes the simulated world from outside.
    pub fn control(&self, path: &str, body: &Value) -> Result<()> {
        let url = format!("{}{path}", self.addresses.control.trim_end_matches('/'));
        ureq::post(&url)
            .send_json(body)
            .with_context(|| format!("the simulator refused {path}"))?;
        Ok(())
    }

    /// A command with the world's environment in place of ours.
    pub fn in_world(&self, command: xshell::Cmd<'_>) -> Exec {
        self.env
            .iter()
            .fold(Exec::new(command), |exec, (name, value)| exec.env(name, value))
            .deadline(COMMAND_DEADLINE)
    }

    fn log(&self, name: &str) -> Result<impl Fn(&str) + Send + Sync + 'static> {
        let path = self.folder.join("logs").join(format!("{name}.log"));
        let file = std::fs::File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(move |line: &str| {
            use std::io::Write as _;
            writeln!(&file, "{line}").ok();
            report::trace(&format!("    {line}"));
        })
    }

    /// A bare remote and a clone with the configuration.
    fn make_repository(&self) -> Result<()> {
        let sh = shell_in(&self.folder)?;
        self.in_world(cmd!(
            sh,
            "git init --quiet --bare --initial-branch=main origin.git"
        ))
        .run()?;
        self.in_world(cmd!(sh, "git clone --quiet origin.git shop"))
            .run()?;
        let infrastructure = self.clone_dir().join("infrastructure");
        std::fs::create_dir_all(&infrastructure).context("cannot make the clone's folders")?;
        for name in ["pipeline.toml", "health.toml"] {
            let template = std::fs::read_to_string(self.samples.join(name))
                .with_context(|| format!("cannot read the rehearsal's {name}"))?;
            std::fs::write(infrastructure.join(name), self.filled_in(&template)?)?;
        }
        std::fs::write(self.clone_dir().join(".gitignore"), "/.xtask\n")?;
        copy_tree(&self.samples.join("sample/v1"), &self.clone_dir())
    }

    fn filled_in(&self, template: &str) -> Result<String> {
        let backups = self.folder.join("backups");
        let recipient = self.env["REHEARSAL_RECIPIENT"].to_string_lossy().into_owned();
        let values = [
            ("{{backend}}", self.addresses.backend.as_str()),
            ("{{frontend}}", &self.addresses.frontend),
            ("{{services}}", &self.addresses.services),
            ("{{backups}}", &backups.to_string_lossy()),
            ("{{recipient}}", &recipient),
        ];
        let text = values.iter().fold(template.to_owned(), |text, (name, value)| {
            text.replace(name, value)
        });
        if let Some(left) = text
            .find("{{")
            .map(|at| text[at..].lines().next().unwrap_or_default())
        {
            bail!("nobody fills in {left:?}");
        }
        Ok(text)
    }
}

/// The simulator, the sample application and the stand-ins are built beside our own program; in one command with it,
/// because cargo would else choose other features for the dependencies of both and build them twice.
fn build_programs(root: &Path, program: &Path) -> Result<PathBuf> {
    let sh = Shell::new().context("cannot start a shell")?;
    sh.change_dir(root);
    let beside = program
        .parent()
        .context("our own path has no folder")?
        .to_path_buf();
    let _ticker = report::Ticker::start("building the simulator and the sample application");
    let mut build = cmd!(
        sh,
        "cargo build --quiet --package xtask --package rehearsal --bins"
    );
    if beside.ends_with("release") {
        build = build.arg("--release");
    }
    Exec::new(build)
        .inherit(&["CARGO_HOME", "RUSTUP_HOME", "CARGO_TARGET_DIR", "RUSTFLAGS"])
        .deadline(Duration::from_secs(30 * 60))
        .run()?;
    Ok(beside)
}

fn start_server(tools: &[Tool], programs: &Path, folder: &Path) -> Result<(Background, String)> {
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
fn guarded(mut secrets: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for public in ["HEALTH_EMAIL", "REHEARSAL_RECIPIENT"] {
        secrets.remove(public);
    }
    secrets
}

/// Secrets of this rehearsal only, made anew each time.
fn secrets(uri: &str) -> BTreeMap<String, String> {
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

fn start_platform(
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
fn environment(
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

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy_tree(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)
                .with_context(|| format!("cannot copy to {}", target.display()))?;
        }
    }
    Ok(())
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
