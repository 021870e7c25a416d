//! What `vercel deploy` tells the platform of the git checkout that it stands in.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// The last commit with its author, the branch, and whether anything was changed; `None` outside of a repository.
pub(super) fn metadata() -> Option<Value> {
    let commit = git(&["log", "-1", "--format=%H%x00%s%x00%an%x00%ae"])?;
    let mut parts = commit.split('\0');
    let [sha, subject, name, email] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let place = git(&["rev-parse", "--show-toplevel", "--abbrev-ref", "HEAD"])?;
    let (root, branch) = place.split_once('\n')?;
    let changes = git(&["--no-optional-locks", "status", "-s"])?;
    let mut metadata = json!({
        "commitAuthorName": name, "commitAuthorEmail": email, "commitMessage": subject, "commitRef": branch,
        "commitSha": sha, "dirty": !changes.is_empty(), "rootDirectory": below(Path::new(root))?,
    });
    if let Some(url) = origin(Path::new(root)) {
        metadata["remoteUrl"] = Value::from(url);
    }
    Some(metadata)
}

/// The working folder, as seen from the root of the repository.
fn below(root: &Path) -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?.canonicalize().ok()?;
    here.strip_prefix(root.canonicalize().ok()?)
        .ok()
        .map(Path::to_owned)
}

/// Looked up in the file itself: a linked worktree has none.
fn origin(root: &Path) -> Option<String> {
    let config = root.join(".git/config");
    config
        .is_file()
        .then(|| git(&["config", "--file", config.to_str()?, "remote.origin.url"]))
        .flatten()
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
