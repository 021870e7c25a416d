use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::*;
use crate::error::{ExitKind, render, unchanged};
use crate::tools::git::Git;

fn code(error: &anyhow::Error) -> Option<&'static str> {
    explained(error).and_then(|stop| stop.code)
}

#[test]
fn what_programs_write_is_explained_with_what_to_do() {
    let table = [
        (
            "`git ls-remote --refs origin refs/x` ended with exit code 128\n    | fatal: unable to access 'https://h/': Could not resolve host: h",
            "git_remote_unreachable",
        ),
        (
            "`git fetch --quiet origin +a:b` did not end within 20 s and was stopped",
            "git_remote_unreachable",
        ),
        (
            "`git fetch origin a` ended with exit code 128\n    | git@h: Permission denied (publickey).\n    | fatal: Could not read from remote repository.",
            "git_remote_denied",
        ),
        (
            "`git push origin a:b` ended with exit code 128\n    | fatal: could not read Username for 'https://h': terminal prompts disabled",
            "git_remote_denied",
        ),
        (
            "`git push origin a:b` ended with exit code 1\n    | ! [remote rejected] a -> b (pre-receive hook declined)",
            "git_push_refused",
        ),
        (
            "`git push origin a:b` ended with exit code 1\n    | remote: error: GH013: Repository rule violations found",
            "git_push_refused",
        ),
        (
            "cannot ask: `git ls-remote gone x` ended with exit code 128\n    | fatal: 'gone' does not appear to be a git repository\n    | fatal: Could not read from remote repository.",
            "git_remote_unknown",
        ),
        (
            "`gh api repos/o/n` ended with exit code 4\n    | To get started with GitHub CLI, please run:  gh auth login",
            "platform_denied",
        ),
        (
            "cannot ask GitHub: `gh api x` ended with exit code 1\n    | gh: Bad credentials (HTTP 401)",
            "platform_denied",
        ),
        (
            "`gh api x` ended with exit code 1\n    | error connecting to api.github.com",
            "platform_unreachable",
        ),
        (
            "`az storage blob list` ended with exit code 1\n    | ErrorCode:AuthenticationFailed",
            "platform_denied",
        ),
        (
            "`az storage blob list` ended with exit code 1\n    | Connection timed out",
            "platform_unreachable",
        ),
        (
            "`railway up` ended with exit code 1\n    | Unauthorized. Please check that your RAILWAY_TOKEN is valid",
            "platform_denied",
        ),
        (
            "`railway api q` ended with exit code 1\n    | error sending request: dial tcp",
            "platform_unreachable",
        ),
        (
            "`vercel inspect d` ended with exit code 1\n    | Error: The token provided via VERCEL_TOKEN is not valid",
            "platform_denied",
        ),
        (
            "`vercel inspect d` ended with exit code 1\n    | Error: request failed: ETIMEDOUT, timeout",
            "platform_unreachable",
        ),
        (
            "cannot start `az storage blob list`: No such file or directory (os error 2)",
            "program_missing",
        ),
    ];
    for (text, expected) in table {
        let error = anyhow::anyhow!(text.to_owned()).context("cannot read the releases");
        assert_eq!(code(&error), Some(expected), "{text}");
        let stop = explained(&error).unwrap();
        assert!(stop.live.is_some() && stop.next.is_some(), "{text}");
        assert!(stop.what.contains("cannot read the releases: "), "{}", stop.what);
        assert_eq!(stop.exit, ExitKind::Failed);
    }
    for own in [
        "the clone is shallow",
        "`git merge-base a b` ended with exit code 128\n    | fatal: not valid",
        "`mongodump` ended with exit code 1\n    | connection refused",
    ] {
        assert_eq!(code(&anyhow::anyhow!(own.to_owned())), None, "{own}");
    }
    let own = CliError::failed("`git push origin a` ended with exit code 1: GH013").next("do that");
    assert!(explained(&own.into()).is_none());
}

/// A clone of a bare repository, both real.
struct Cloned(tempfile::TempDir);

impl Cloned {
    fn new() -> Self {
        let cloned = Self(tempfile::tempdir().unwrap());
        cloned.git(".", &["init", "--quiet", "--bare", "remote.git"]);
        cloned.git(".", &["clone", "--quiet", "remote.git", "clone"]);
        cloned
    }

    fn git(&self, folder: &str, args: &[&str]) {
        let ran = Command::new("git")
            .args(args)
            .current_dir(self.0.path().join(folder))
            .output()
            .unwrap();
        assert!(ran.status.success(), "git {args:?}: {ran:?}");
    }

    /// The error of pushing a record to the ledger.
    fn push(&self) -> anyhow::Result<()> {
        let git =
            Git::at(&self.0.path().join("clone"), "origin").with_remote_deadline(Duration::from_secs(20));
        let commit = git.commit_message(None, "started")?;
        git.push_commit(&commit, "refs/xtask/ledger/production")
            .context("cannot record the step in the ledger")
    }
}

#[cfg(unix)]
#[test]
fn a_real_remote_that_refuses_a_push_or_is_gone_is_told_with_the_reference_and_the_next_command() {
    use std::os::unix::fs::PermissionsExt as _;

    let cloned = Cloned::new();
    // Whoever signs all pushes cannot push to a remote that takes no signed ones: ours are not signed.
    cloned.git("clone", &["config", "push.gpgSign", "true"]);
    cloned.push().unwrap();

    let hook = cloned.0.path().join("remote.git/hooks/pre-receive");
    std::fs::write(&hook, "#!/bin/sh\necho no ledger here >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    cloned.git(
        "remote.git",
        &["update-ref", "-d", "refs/xtask/ledger/production"],
    );
    let refused = cloned.push().unwrap_err();
    let told = render(&explained(&refused).unwrap().into());
    assert!(
        told.starts_with("error[git-push-refused]: origin did not take refs/xtask/ledger/production"),
        "{told}"
    );
    for part in [
        "no ledger here",
        "\n  live: nothing live was changed",
        "\n  next: ",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }

    std::fs::rename(
        cloned.0.path().join("remote.git"),
        cloned.0.path().join("away.git"),
    )
    .unwrap();
    let gone = cloned.push().unwrap_err();
    assert_eq!(code(&gone), Some("git_remote_unknown"), "{gone:#}");

    cloned.git(
        "clone",
        &["remote", "set-url", "origin", "http://127.0.0.1:9/x.git"],
    );
    let away = cloned.push().unwrap_err();
    let told = render(&explained(&away).unwrap().into());
    assert!(told.contains("[git-remote-unreachable]"), "{told}");
    assert!(told.contains("git ls-remote origin"), "{told}");
}

#[test]
fn an_error_of_nothing_that_is_known_has_state_and_next_command_too() {
    let told = render(&unchanged(&anyhow::anyhow!("something that nobody foresaw")));
    assert!(
        told.contains("\n  live: ") && told.contains("\n  next: "),
        "{told}"
    );
}
