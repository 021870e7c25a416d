//! The world of a rehearsal: a database server, the simulated platforms, a git remote with a clone, and the
//! environment in which our own program runs as it would for a team. Only PATH, configuration and URLs differ.

mod parts;
mod shell;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::exec::{Background, Exec, Finished, shell_in};
use crate::report;
use parts::{environment, guarded, secrets, start_platform, start_server};

use crate::tools::resolve::resolve;

/// The database that the sample application keeps its data in.
pub const DATABASE: &str = "sample";
/// One command of the rehearsal; the mission gives a whole rollback 15 minutes.
const COMMAND_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Tools that a rehearsal runs.
const TOOLS: &[&str] = &["mongodump", "mongorestore", "mongodb-server", "git"];

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
    /// Ports of the mail server, and the certificate of its authority.
    pub mail_starttls: u16,
    pub mail_tls: u16,
    pub mail_clear: u16,
    pub mail_ca: PathBuf,
}

/// What users see.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Served {
    pub backend: String,
    pub frontend: String,
}

impl Served {
    /// Both sides of one release.
    pub fn both(version: &str) -> Self {
        Self {
            backend: version.to_owned(),
            frontend: version.to_owned(),
        }
    }
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

    /// Lets the real program take the place of its stand-in.
    pub fn use_program(&mut self, name: &str, path: &Path) -> Result<()> {
        let link = self.folder.join("bin").join(name);
        std::fs::remove_file(&link).with_context(|| format!("there is no stand-in {name}"))?;
        std::os::unix::fs::symlink(path, &link).with_context(|| format!("cannot link {name}"))?;
        // `railway` speaks TLS to a host whose certificate the simulator makes.
        self.env
            .insert("SSL_CERT_FILE".into(), self.addresses.railway_ca.clone().into());
        Ok(())
    }

    /// The secrets of this world by variable: nothing of what is run may ever show one.
    pub fn secrets(&self) -> &BTreeMap<String, String> {
        &self.secrets
    }

    /// All that our own program sees of this world, secrets included.
    pub fn environment(&self) -> &BTreeMap<String, OsString> {
        &self.env
    }

    /// The team's clone.
    pub fn clone_dir(&self) -> PathBuf {
        self.folder.join("shop")
    }

    /// A clone of somebody else.
    pub fn clone_of(&self, person: &str) -> Result<PathBuf> {
        let (sh, folder) = (shell_in(&self.folder)?, self.folder.join(person));
        self.in_world(cmd!(sh, "git clone --quiet origin.git {folder}"))
            .run()?;
        Ok(folder)
    }

    /// Runs our own program as the team would, in its clone; progress goes to `logs/<name>.log`.
    pub fn xtask(&self, name: &str, args: &[&str]) -> Result<Finished> {
        self.xtask_in(&self.clone_dir(), name, args, &[])
    }

    /// The same in any clone, with more in its environment.
    pub fn xtask_in(
        &self,
        clone: &Path,
        name: &str,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Finished> {
        let (sh, program) = (shell_in(clone)?, &self.program);
        let log = self.log(name)?;
        let exec = self
            .in_world(cmd!(sh, "{program} {args...}"))
            .on_stderr(move |line| log(line));
        let finished = env
            .iter()
            .fold(exec, |exec, (name, value)| exec.env(name, value))
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

    /// What the backend and the frontend that users see say of their versions.
    pub fn served(&self) -> Result<Served> {
        let health: Value = get(&format!("{}/api/health", self.addresses.backend))?
            .body_mut()
            .read_json()?;
        let page = get(&self.addresses.frontend)?.body_mut().read_to_string()?;
        let marker = page.split_once("name=\"release\" content=\"");
        let (_, rest) = marker.context("the page does not say its release")?;
        Ok(Served {
            backend: health["version"]
                .as_str()
                .context("the backend does not say its version")?
                .to_owned(),
            frontend: rest.split('"').next().unwrap_or_default().to_owned(),
        })
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

fn get(url: &str) -> Result<ureq::http::Response<ureq::Body>> {
    ureq::get(url)
        .call()
        .with_context(|| format!("{url} does not answer"))
}
