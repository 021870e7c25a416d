//! What a git remote refuses.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::TestEnv;

/// A reference to a commit whose workflow files differ from those of the branch needs the permission `workflows`, which
/// no job's token has. A commit without files is not affected.
const JOB_TOKEN: &str = r#"#!/bin/sh
while read -r old new name; do
  case "$name" in refs/tags/prod-*)
    commit=$(git rev-parse --verify --quiet "$new^{commit}") || continue
    if ! git diff --quiet "$commit" refs/heads/main -- .github/workflows; then
      echo "refusing to allow a GitHub App to create or update workflow .github/workflows/ci.yml without \`workflows\` permission" >&2
      exit 1
    fi
  esac
done
"#;

/// The remote takes every event but the end of an operation.
const REFUSES_THE_END: &str = "#!/bin/sh
while read -r old new reference; do
  case $reference in
    refs/xtask/ledger/*) git log -1 --format=%B \"$new\" | grep -q '\"event\": *\"finished\"' && exit 1 ;;
  esac
done
exit 0
";

/// From now on the ledger of the bare repository takes no end of an operation. Without the file that it gives, it takes them again.
pub fn refuse_the_end(repository: &Path) -> Result<PathBuf> {
    hook(repository, "pre-receive", REFUSES_THE_END)
}

/// Gives a bare repository a hook: its file.
pub fn hook(repository: &Path, name: &str, script: &str) -> Result<PathBuf> {
    let folder = repository.join("hooks");
    std::fs::create_dir_all(&folder).context("cannot make the folder of hooks")?;
    let hook = folder.join(name);
    std::fs::write(&hook, script).context("cannot write the hook")?;
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755))
        .context("cannot make the hook executable")?;
    Ok(hook)
}

impl TestEnv {
    /// From now on the remote refuses tags as GitHub does to the token of a workflow's job. Without the file that it gives, it
    /// takes them again.
    pub fn refuse_tags_of_other_workflows(&self) -> Result<PathBuf> {
        hook(&self.folder.join("origin.git"), "pre-receive", JOB_TOKEN)
    }

    /// The tags that the remote has, one a line.
    pub fn tags_of_remote(&self) -> Result<String> {
        let sh = xtask::exec::shell_in(&self.folder)?;
        self.in_env(xshell::cmd!(sh, "git --git-dir origin.git tag --list"))
            .read()
    }
}
