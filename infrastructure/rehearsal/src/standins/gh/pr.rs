//! `gh pr create`. The real one asks in GraphQL; what it refuses, and how it words that, is the same.

use std::io::Read as _;
use std::process::Command as Process;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde_json::json;

use super::Repository;
use super::client::GitHub;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a pull request
    Create {
        #[command(flatten)]
        repository: Repository,
        #[arg(short = 'H', long)]
        head: Option<String>,
        #[arg(short = 'B', long)]
        base: Option<String>,
        #[arg(short, long)]
        title: Option<String>,
        #[arg(short, long)]
        body: Option<String>,
        #[arg(short = 'F', long)]
        body_file: Option<String>,
    },
}

pub(super) fn run(command: &Command) -> Result<u8> {
    let Command::Create {
        repository,
        head,
        base,
        title,
        body,
        body_file,
    } = command;
    let body = match (body, body_file.as_deref()) {
        (Some(body), _) => Some(body.clone()),
        (None, Some("-")) => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            Some(text)
        }
        (None, Some(file)) => Some(std::fs::read_to_string(file)?),
        (None, None) => None,
    };
    let (Some(title), Some(body)) = (title, body) else {
        bail!(
            "must provide `--title` and `--body` (or `--fill` or `fill-first` or `--fillverbose`) when not running interactively"
        );
    };
    let Some(head) = head else {
        bail!("stand-in: without --head the real program asks where to push");
    };
    let github = GitHub::from_environment(repository.repo.as_deref())?;
    let page = github.json("GET", &github.repo_path(""), None)?;
    let main = page["default_branch"].as_str().context("an unexpected answer")?;
    let base = base.as_deref().unwrap_or(main);
    let open = github.json(
        "GET",
        &github.repo_path(&format!("/pulls?state=open&head={head}")),
        None,
    )?;
    if let Some(address) = open[0]["html_url"].as_str() {
        bail!("a pull request for branch {head:?} into branch {base:?} already exists:\n{address}");
    }
    if !is_pushed(head)? {
        bail!(
            "pull request create failed: GraphQL: Head sha can't be blank, Base sha can't be blank, No commits between \
             {base} and {head}, Head ref must be a branch (createPullRequest)"
        );
    }
    let request = json!({"title": title, "body": body, "head": head, "base": base});
    let made = github.json("POST", &github.repo_path("/pulls"), Some(&request))?;
    println!("{}", made["html_url"].as_str().context("an unexpected answer")?);
    Ok(0)
}

/// The simulated GitHub has no branches: the remote of this clone has them.
fn is_pushed(branch: &str) -> Result<bool> {
    let listed = Process::new("git")
        .args([
            "ls-remote",
            "--exit-code",
            "origin",
            &format!("refs/heads/{branch}"),
        ])
        .output()
        .context("cannot run git")?;
    Ok(listed.status.success())
}
