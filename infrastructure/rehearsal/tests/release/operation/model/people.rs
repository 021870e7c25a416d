//! People, each with a clone.

use std::path::PathBuf;

use xshell::{Shell, cmd};
use xtask::exec::Finished;

use super::super::case::Case;

/// Somebody who runs commands in a clone.
#[derive(Debug)]
pub(super) struct Person {
    clone: PathBuf,
}

impl Person {
    pub(super) fn at(clone: PathBuf) -> Self {
        Self { clone }
    }

    /// Takes the newest commit of the branch.
    pub(super) fn pull(&self, case: &Case) {
        let sh = Shell::new().unwrap();
        sh.change_dir(&self.clone);
        let git = |command| case.env.in_env(command).run().unwrap();
        git(cmd!(sh, "git fetch --quiet origin main"));
        git(cmd!(sh, "git reset --quiet --hard FETCH_HEAD"));
    }

    pub(super) fn run(&self, case: &Case, args: &[String], env: &[(&str, String)]) -> Finished {
        let sh = Shell::new().unwrap();
        sh.change_dir(&self.clone);
        let program = case.env.program();
        let exec = case.env.in_env(cmd!(sh, "{program} {args...} --yes"));
        let exec = env.iter().fold(exec, |exec, (name, value)| exec.env(name, value));
        exec.output().unwrap()
    }
}
