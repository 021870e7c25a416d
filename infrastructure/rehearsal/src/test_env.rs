//! Test environments: a database server, the simulated platforms, a git remote with a clone, and the environment in which
//! the product runs as it would for a team. Only PATH, configuration and URLs differ.
//!
//! [`TestEnv`] has all of it, for releases; [`restore`], [`backup`], [`github`] and [`history`] have what tests of one part of
//! the product need.

pub mod adopted;
pub mod backup;
pub mod git;
pub mod github;
pub mod history;
pub mod layouts;
mod midway;
mod parts;
pub mod platform;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod remote;
pub mod restore;
pub mod sample;
pub mod server;
mod shell;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use xshell::cmd;
use xtask::exec::{Exec, Finished, shell_in};
use xtask::report;
use xtask::tools::toolchain::resolve;

use adopted::Adopted;
use parts::{environment, guarded, platforms, secrets};
use platform::{Addresses, Platform};
use programs::{PRODUCT, REHEARSAL};
use server::Server;

use crate::ssh_key;

/// The database that the sample application keeps its data in.
pub const DATABASE: &str = "sample";
/// One command of the rehearsal: a whole rollback has 15 minutes.
const COMMAND_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// The variable with the address of the server itself, whatever way the product has to it.
const SEEDED: &str = "SEEDED_MONGODB_URI";
/// Tools that a rehearsal runs.
const TOOLS: &[&str] = &["mongodump", "mongorestore", "mongodb-server", "git"];

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
pub struct TestEnv {
    pub folder: PathBuf,
    /// The product's program.
    program: PathBuf,
    pub addresses: Addresses,
    pub uri: String,
    /// The database of the application.
    pub database: String,
    /// Where the backups are.
    pub backups: PathBuf,
    adopted: Option<Adopted>,
    programs: PathBuf,
    samples: PathBuf,
    env: BTreeMap<String, OsString>,
    secrets: BTreeMap<String, String>,
    platform: Platform,
    _server: Server,
}

impl TestEnv {
    /// Builds the programs of the repository `root`, and sets everything up below `folder`, which must be new.
    pub fn start(root: &Path, folder: &Path) -> Result<Self> {
        Self::start_with(root, folder, None)
    }

    /// The same with a team's repository in the place of the sample application.
    pub fn start_adopted(root: &Path, folder: &Path, adopted: Adopted) -> Result<Self> {
        Self::start_with(root, folder, Some(adopted))
    }

    fn start_with(root: &Path, folder: &Path, adopted: Option<Adopted>) -> Result<Self> {
        let names: Vec<String> = TOOLS.iter().map(ToString::to_string).collect();
        let tools = resolve(root, &names)?;
        let programs = programs::build(root)?;
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).context("cannot make the folder of the rehearsal")?;
        let tool = tools.iter().find(|tool| tool.name == "mongodb-server");
        let server = Server::start_leashed(
            &programs.join(REHEARSAL),
            &tool.context("no MongoDB server")?.path,
            &folder.join("database"),
            &logs.join("database.log"),
        )?;
        // The application name marks the address as one that must not be shown, as a password would.
        let mark = rand::random::<u64>();
        let uri = format!("{}?directConnection=true&appName=a{mark:x}", server.uri());
        let mut secrets = secrets(&uri);
        let key = ssh_key::random();
        let mut contained = platforms(&uri, &secrets, &key);
        if let Some(adopted) = &adopted {
            adopted.add_secrets(&mut secrets)?;
            let own = adopted.platforms(&secrets)?;
            for platform in ["railway", "vercel"] {
                adopted::merge(&mut contained[platform], &own[platform]);
            }
        }
        let platform = Platform::start(
            &programs.join(REHEARSAL),
            folder,
            &logs.join("platform.log"),
            &contained,
        )?;
        let addresses = platform.addresses.clone();
        let env = environment(&tools, &programs, folder, &addresses, &secrets, &key)?;
        let test_env = Self {
            folder: folder.into(),
            program: programs.join(PRODUCT),
            addresses,
            uri,
            database: adopted
                .as_ref()
                .map_or_else(|| DATABASE.to_owned(), Adopted::database),
            backups: match &adopted {
                Some(_) => folder.join("shop").join(adopted::BACKUPS),
                None => folder.join("backups"),
            },
            adopted,
            programs,
            samples: root.join("infrastructure/rehearsal"),
            env,
            secrets: guarded(secrets),
            platform,
            _server: server,
        };
        test_env.make_repository()?;
        Ok(test_env)
    }

    /// The product's program.
    pub fn program(&self) -> &Path {
        &self.program
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

    /// The secrets of this environment by variable: nothing of what is run may ever show one.
    pub fn secrets(&self) -> &BTreeMap<String, String> {
        &self.secrets
    }

    /// All that the product sees, secrets included.
    pub fn environment(&self) -> &BTreeMap<String, OsString> {
        &self.env
    }

    /// The team's clone.
    pub fn clone_dir(&self) -> PathBuf {
        self.folder.join("shop")
    }

    /// A clone of somebody else.
    pub fn clone_of(&self, person: &str) -> Result<PathBuf> {
        self.clone_at(person, Path::new("origin.git"))
    }

    /// The same where the remote is elsewhere now; the clone has it at its own place.
    pub fn clone_at(&self, person: &str, remote: &Path) -> Result<PathBuf> {
        let (sh, folder) = (shell_in(&self.folder)?, self.folder.join(person));
        self.in_env(cmd!(sh, "git clone --quiet {remote} {folder}"))
            .run()?;
        let (sh, origin) = (shell_in(&folder)?, self.folder.join("origin.git"));
        self.in_env(cmd!(sh, "git remote set-url origin {origin}"))
            .run()?;
        Ok(folder)
    }

    /// Runs the product as the team would, in its clone; progress goes to `logs/<name>.log`.
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
            .in_env(cmd!(sh, "{program} {args...}"))
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
        self.commit(&format!("Release {sample}"), "main")
    }

    /// Lays a folder of the sample application over one of the clone.
    pub fn lay_sample(&self, sample: &str, folder: &str) -> Result<()> {
        let to = self.clone_dir().join(folder);
        std::fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
        copy_tree(&self.samples.join("sample").join(sample), &to)
    }

    /// Commits whatever is in the clone, pushes it, and gives the commit.
    pub fn commit(&self, message: &str, branch: &str) -> Result<String> {
        let sh = shell_in(&self.clone_dir())?;
        self.in_env(cmd!(sh, "git add --all")).run()?;
        self.in_env(cmd!(sh, "git commit --quiet --allow-empty --message {message}"))
            .run()?;
        self.in_env(cmd!(sh, "git push --quiet origin HEAD:refs/heads/{branch}"))
            .run()?;
        self.in_env(cmd!(sh, "git rev-parse HEAD")).read()
    }

    /// Fills the database.
    pub fn seed(&self, documents: u32, seed: u64) -> Result<()> {
        let (sh, program) = (shell_in(&self.folder)?, self.programs.join(REHEARSAL));
        let (documents, seed, database) = (documents.to_string(), seed.to_string(), &self.database);
        self.in_env(cmd!(
            sh,
            "{program} seed --uri-env {SEEDED} --database {database} --documents {documents} --seed {seed}"
        ))
        .env(SEEDED, &self.uri)
        .run()
    }

    /// Lets users write through the backend; gives how many writes were acknowledged.
    pub fn users_write(&self, count: u32, seed: u64) -> Result<u64> {
        let (sh, program, base) = (
            shell_in(&self.folder)?,
            self.programs.join(REHEARSAL),
            &self.addresses.backend,
        );
        let (count, seed) = (count.to_string(), seed.to_string());
        let answer: Value = self
            .in_env(cmd!(
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
        self.platform.report()
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

    /// Changes the simulated platforms from outside.
    pub fn control(&self, path: &str, body: &Value) -> Result<()> {
        self.platform.control(path, body)
    }

    /// A command with this environment in place of ours.
    pub fn in_env(&self, command: xshell::Cmd<'_>) -> Exec {
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

    /// The team's repository, where one was adopted.
    pub const fn adopted(&self) -> Option<&Adopted> {
        self.adopted.as_ref()
    }

    /// What is not the team's own in this environment, and why.
    pub fn replaced(&self) -> Vec<String> {
        self.adopted.as_ref().map(Adopted::replaced).unwrap_or_default()
    }

    /// Commits a release of the team's repository, pushes it, and gives its commit.
    pub fn commit_adopted(&self, release: u32) -> Result<String> {
        let adopted = self.adopted.as_ref().context("no repository was adopted")?;
        adopted.mark(&self.clone_dir(), release)?;
        self.commit(&format!("Release {release}"), &adopted.branch())
    }

    /// A bare remote and a clone with the configuration.
    fn make_repository(&self) -> Result<()> {
        let sh = shell_in(&self.folder)?;
        let branch = self
            .adopted
            .as_ref()
            .map_or_else(|| "main".to_owned(), Adopted::branch);
        self.in_env(cmd!(
            sh,
            "git init --quiet --bare --initial-branch={branch} origin.git"
        ))
        .run()?;
        self.in_env(cmd!(sh, "git clone --quiet origin.git shop")).run()?;
        if let Some(adopted) = &self.adopted {
            let recipient = self.env["REHEARSAL_RECIPIENT"].to_string_lossy().into_owned();
            return adopted.write(&self.clone_dir(), &self.addresses, &recipient);
        }
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

/// The files of a folder, without those of folders below, as the upload step of a workflow packs them; in base64.
pub fn zipped(folder: &Path) -> String {
    use base64::Engine as _;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        archive
            .start_file(name, zip::write::SimpleFileOptions::default())
            .expect("in memory");
        let bytes = std::fs::read(&path).expect("readable");
        std::io::Write::write_all(&mut archive, &bytes).expect("in memory");
    }
    let bytes = archive.finish().expect("in memory").into_inner();
    base64::prelude::BASE64_STANDARD.encode(bytes)
}
