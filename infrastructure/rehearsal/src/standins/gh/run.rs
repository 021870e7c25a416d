//! `gh run`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde_json::Value;

use super::client::{GitHub, refuse};
use super::{Repository, pick};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List runs
    #[command(alias = "ls")]
    List {
        #[command(flatten)]
        repository: Repository,
        #[arg(short, long)]
        status: Option<String>,
        #[arg(short, long)]
        branch: Option<String>,
        #[arg(short, long)]
        commit: Option<String>,
        #[arg(short = 'L', long, default_value_t = 20)]
        limit: usize,
        #[arg(long)]
        json: String,
    },
    /// Show a run
    View {
        run: String,
        #[command(flatten)]
        repository: Repository,
        #[arg(long)]
        json: String,
    },
    /// Cancel a run
    Cancel {
        run: String,
        #[command(flatten)]
        repository: Repository,
    },
    /// Download the artifacts of a run
    Download {
        run: String,
        #[command(flatten)]
        repository: Repository,
        #[arg(short, long)]
        name: Vec<String>,
        #[arg(short = 'D', long, default_value = ".")]
        dir: PathBuf,
    },
}

pub(super) fn run(command: &Command) -> Result<u8> {
    match command {
        Command::List {
            repository,
            status,
            branch,
            commit,
            limit,
            json,
        } => {
            let github = GitHub::from_environment(repository.repo.as_deref())?;
            let mut path = format!("/actions/runs?per_page={limit}&exclude_pull_requests=true");
            for (name, value) in [("status", status), ("branch", branch), ("head_sha", commit)] {
                if let Some(value) = value {
                    path.extend(["&", name, "=", &crate::http::message::encode(value)]);
                }
            }
            let answer = github.json("GET", &github.repo_path(&path), None)?;
            let runs = answer["workflow_runs"]
                .as_array()
                .context("an unexpected answer")?;
            let shown: Vec<Value> = runs.iter().map(|run| pick(run, json)).collect::<Result<_>>()?;
            println!("{}", Value::Array(shown));
        }
        Command::View {
            run,
            repository,
            json,
        } => {
            let github = GitHub::from_environment(repository.repo.as_deref())?;
            let answer = github.json(
                "GET",
                &github.repo_path(&format!("/actions/runs/{run}?exclude_pull_requests=true")),
                None,
            )?;
            println!("{}", pick(&answer, json)?);
        }
        Command::Cancel { run, repository } => {
            let github = GitHub::from_environment(repository.repo.as_deref())?;
            let found = github.json(
                "GET",
                &github.repo_path(&format!("/actions/runs/{run}?exclude_pull_requests=true")),
                None,
            )?;
            let workflow = github.repo_path(&format!("/actions/workflows/{}", found["workflow_id"]));
            github.json("GET", &workflow, None)?;
            let path = github.repo_path(&format!("/actions/runs/{run}/cancel"));
            let response = github.send("POST", &path, &[], &[])?;
            if response.status == 409 {
                bail!("Cannot cancel a workflow run that is completed");
            }
            refuse(&response, &path)?;
            println!("✓ Request to cancel workflow {run} submitted.");
        }
        Command::Download {
            run,
            repository,
            name,
            dir,
        } => {
            let github = GitHub::from_environment(repository.repo.as_deref())?;
            download(&github, run, name, dir)?;
        }
    }
    Ok(0)
}

fn download(github: &GitHub, run: &str, names: &[String], folder: &std::path::Path) -> Result<()> {
    let path = github.repo_path(&format!("/actions/runs/{run}/artifacts?per_page=100"));
    let answer = github.json("GET", &path, None)?;
    let artifacts = answer["artifacts"].as_array().context("an unexpected answer")?;
    let live: Vec<&Value> = artifacts.iter().filter(|one| one["expired"] == false).collect();
    if live.is_empty() {
        bail!("no valid artifacts found to download");
    }
    let wanted: Vec<&Value> = live
        .into_iter()
        .filter(|one| names.is_empty() || names.iter().any(|name| one["name"] == name.as_str()))
        .collect();
    if wanted.is_empty() {
        bail!("no artifact matches any of the names or patterns provided");
    }
    for one in &wanted {
        let url = one["archive_download_url"]
            .as_str()
            .context("an unexpected answer")?;
        let response = github.send("GET", url, &[], &[])?;
        refuse(&response, url)?;
        // One named artifact is unpacked in place, several each in a folder.
        let target = if names.len() == 1 {
            folder.to_owned()
        } else {
            folder.join(one["name"].as_str().unwrap_or("artifact"))
        };
        std::fs::create_dir_all(&target)?;
        zip::ZipArchive::new(std::io::Cursor::new(response.body))
            .and_then(|mut archive| archive.extract(&target))
            .context("error extracting zip archive")?;
    }
    Ok(())
}
