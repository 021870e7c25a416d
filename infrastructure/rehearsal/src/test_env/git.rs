//! Repositories of a test environment, made by git alone.

use std::path::Path;
use std::process::Command;

/// Name of the branch that is released.
const BRANCH: &str = "main";

/// Runs git in a folder, with an identity and no configuration but the repository's.
pub fn git(dir: &Path, args: &[&str]) {
    let output = command(dir).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("git {args:?}: {error}"));
    assert!(output.status.success(), "git {args:?}: {output:?}");
}

/// git in a folder, with an identity and no configuration but the repository's.
pub fn command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .args(["-c", "user.name=Dev", "-c", "user.email=dev@example.com"])
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", dir);
    command
}

/// Writes files below a folder, with the folders that they are in.
pub fn write_files<'a>(dir: &Path, files: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (path, text) in files {
        let file = dir.join(path);
        let folder = file.parent().expect("a file below a folder");
        std::fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        std::fs::write(&file, text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

/// Makes a folder a repository with all of its files in one commit.
pub fn commit_first(dir: &Path, branch: &str) {
    git(dir, &["init", "--quiet", &format!("--initial-branch={branch}")]);
    git(dir, &["add", "--all"]);
    git(dir, &["commit", "--quiet", "--message=all"]);
}

/// Makes an empty remote and a clone of it, both below `dir`.
pub fn remote_and_clone(dir: &Path, remote: &str, clone: &str) {
    let branch = format!("--initial-branch={BRANCH}");
    git(dir, &["init", "--quiet", "--bare", &branch, remote]);
    clone_empty(dir, remote, clone);
}

/// Makes a clone that has fetched nothing.
pub fn clone_empty(dir: &Path, remote: &str, clone: impl AsRef<Path>) {
    let clone = dir.join(clone);
    let branch = format!("--initial-branch={BRANCH}");
    git(dir, &["init", "--quiet", &branch, clone.to_str().expect("UTF-8")]);
    git(&clone, &["remote", "add", "origin", &format!("../{remote}")]);
}
