//! What every command needs: the repository, its configuration, the environment asked for, the output format.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::config::{Config, EnvironmentConfig, MongodbConfig, version};
use crate::error::catalogue::configuration as errors;
use crate::exec::Exec;
use crate::report::Format;
use crate::secret::Secret;

/// Where the configuration lies below the root of the repository.
pub const PIPELINE_FILE: &str = "infrastructure/pipeline.toml";

/// Where the name of the person is, the best source first: GitHub sets the first two (docs.github.com, "Variables
/// reference"), the shell the others.
const ACTOR_VARIABLES: &[&str] = &["GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR", "USER", "LOGNAME"];

/// Asking the system for a name.
const NAME_DEADLINE: Duration = Duration::from_secs(5);

/// One invocation's surroundings. Cheap to clone: threads get their own.
#[derive(Debug, Clone)]
pub struct Context {
    /// Root of the repository: the folder that holds [`PIPELINE_FILE`].
    pub root: PathBuf,
    pub config: Config,
    /// Name of the environment that the command works on.
    pub env_name: String,
    pub format: Format,
    /// `--yes`: confirmations are given.
    pub yes: bool,
    /// When the command began: the clock of a recovery runs from here.
    pub started: Instant,
}

impl Context {
    /// Finds the repository above the current folder and reads its configuration.
    pub fn load(env_name: Option<&str>, format: Format, yes: bool) -> Result<Self> {
        let root = repository_root()?;
        let config = Config::read(&root.join(PIPELINE_FILE))?;
        let env_name = env_name.unwrap_or(&config.default_environment).to_owned();
        let context = Self {
            root,
            config,
            env_name,
            format,
            yes,
            started: Instant::now(),
        };
        context.env_checked()?;
        if let Err(error) = context.require_version() {
            crate::report::progress(&format!("warning: {error:#}"));
        }
        let unknown = &context.config.unknown_keys;
        if !unknown.is_empty() {
            let keys = unknown.join(", ");
            crate::report::progress(&format!("warning: unknown keys of {PIPELINE_FILE}: {keys}"));
        }
        Ok(context)
    }

    /// An error where pipeline.toml is meant for another version of this program. Rollback and restore never ask.
    pub fn require_version(&self) -> Result<()> {
        match &self.config.version {
            Some(wanted) if !version::is_meant_for(wanted, version::PROGRAM) => {
                Err(errors::version_other(PIPELINE_FILE, wanted, version::PROGRAM).into())
            }
            _ => Ok(()),
        }
    }

    /// The environment's configuration.
    ///
    /// # Panics
    /// Never: [`Context::load`] refuses a name that the configuration lacks.
    pub fn env(&self) -> &EnvironmentConfig {
        self.env_checked().expect("checked when the context was loaded")
    }

    fn env_checked(&self) -> Result<&EnvironmentConfig> {
        self.config.environments.get(&self.env_name).ok_or_else(|| {
            let known: Vec<&str> = self.config.environments.keys().map(String::as_str).collect();
            errors::environment_unknown(PIPELINE_FILE, &self.env_name, known.join(", ")).into()
        })
    }

    /// The environment's database.
    ///
    /// # Errors
    /// Usage (exit 2) where it has none.
    pub fn mongodb(&self) -> Result<&MongodbConfig> {
        let mongodb = self.env().mongodb.as_ref();
        mongodb.ok_or_else(|| errors::no_database(&self.env_name, PIPELINE_FILE).into())
    }

    /// The secret that the configuration names; a usage error where the variable is not set or empty.
    pub fn secret(&self, variable: &str) -> Result<Secret> {
        self.secret_if_set(variable)
            .ok_or_else(|| errors::secret_not_set(variable, PIPELINE_FILE).into())
    }

    /// The secret, where the variable is set and not empty.
    pub fn secret_if_set(&self, variable: &str) -> Option<Secret> {
        env_nonempty(variable).map(Secret::new)
    }

    /// The connection string in this variable, without the white space around it that files and copies add. A usage error
    /// where the variable is not set, or holds quotes too: a server would take them for a part of a name or password.
    pub fn connection_string(&self, variable: &str) -> Result<Secret> {
        let secret = self.secret(variable)?;
        let text = secret.expose().trim();
        let quote = |c: char| matches!(c, '"' | '\'' | '`');
        if text.starts_with(quote) || text.ends_with(quote) {
            return Err(errors::connection_string_quoted(variable).into());
        }
        Ok(Secret::new(text))
    }

    /// Who runs this: the person behind a workflow run (also of a re-run), or the user here.
    pub fn actor(&self) -> String {
        actor()
    }

    /// Folder for local state (journals, downloaded backups, reports): made when missing, and never committed, by a `.gitignore`
    /// in it that is not committed either.
    pub fn state_dir(&self, part: &str) -> Result<PathBuf> {
        let state = self.root.join(&self.config.state_dir);
        let dir = state.join(part);
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
        ignores_itself(&state)?;
        Ok(dir)
    }

    /// A shell whose commands run in the root of the repository.
    pub fn shell(&self) -> Result<xshell::Shell> {
        crate::exec::shell_in(&self.root)
    }
}

/// Keeps git from taking anything of a folder for local state, and from listing the file that does so.
pub fn ignores_itself(folder: &Path) -> Result<()> {
    let file = folder.join(".gitignore");
    if file.symlink_metadata().is_err() {
        std::fs::write(&file, "*\n").with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// The value of an environment variable that is set and not empty.
pub fn env_nonempty(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Who runs this program: the person behind a workflow run (also of a re-run), or the user of this machine.
pub fn actor() -> String {
    static ACTOR: OnceLock<String> = OnceLock::new();
    ACTOR.get_or_init(|| actor_of(env_nonempty)).clone()
}

/// Containers and timers set no variable: the system knows the user's name, or git that of the person.
fn actor_of(variable: impl Fn(&str) -> Option<String>) -> String {
    let named = ACTOR_VARIABLES.iter().find_map(|name| variable(name));
    let uid = rustix::process::getuid();
    named
        .or_else(|| line_of(&["id", "-u", "-n"]))
        .or_else(|| line_of(&["git", "config", "user.name"]))
        .or_else(|| line_of(&["git", "config", "user.email"]))
        .unwrap_or_else(|| format!("user {}", uid.as_raw()))
}

/// What a program prints, where it succeeds.
fn line_of(command: &[&str]) -> Option<String> {
    let sh = xshell::Shell::new().ok()?;
    let (program, arguments) = command.split_first()?;
    let printed = Exec::new(sh.cmd(program).args(arguments))
        .deadline(NAME_DEADLINE)
        .read()
        .ok()?;
    Some(printed.trim().to_owned()).filter(|name| !name.is_empty())
}

/// The folder that holds [`PIPELINE_FILE`]: the current one, or the nearest above it.
pub fn repository_root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("cannot determine the current folder")?;
    here.ancestors()
        .find(|dir| dir.join(PIPELINE_FILE).is_file())
        .map(Path::to_path_buf)
        .ok_or_else(|| errors::pipeline_file_missing(PIPELINE_FILE).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_without_variables_has_the_name_that_the_system_gives() {
        let uid = rustix::process::getuid().as_raw().to_string();
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
        let known = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.get(2) == Some(&uid.as_str()))
            .map(|fields| fields[0].to_owned());
        let name = actor_of(|_| None);
        assert!(!name.is_empty() && name != "unknown");
        assert!(known.is_none() || known == Some(name));
        let of_run = actor_of(|name| (name == "GITHUB_ACTOR").then(|| "ann".to_owned()));
        assert_eq!(of_run, "ann");
        assert_eq!(line_of(&["false"]), None);
    }
}
