//! `gh release`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde_json::{Value, json};

use super::client::{GitHub, refuse};
use super::{Repository, pick};
use crate::http::message::encode;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a release of a tag
    Create {
        tag: String,
        files: Vec<PathBuf>,
        #[command(flatten)]
        repository: Repository,
        #[arg(short, long)]
        title: Option<String>,
        #[arg(short, long)]
        notes: Option<String>,
        #[arg(short = 'F', long)]
        notes_file: Option<PathBuf>,
        #[arg(short, long)]
        draft: bool,
        #[arg(short, long)]
        prerelease: bool,
        #[arg(long)]
        verify_tag: bool,
        #[arg(long)]
        latest: Option<String>,
    },
    /// Add files to a release
    Upload {
        tag: String,
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        repository: Repository,
    },
    /// Download the files of a release
    Download {
        tag: String,
        #[command(flatten)]
        repository: Repository,
        #[arg(short, long)]
        pattern: Vec<String>,
        #[arg(short = 'D', long, default_value = ".")]
        dir: PathBuf,
        #[arg(long)]
        clobber: bool,
    },
    /// Show a release
    View {
        tag: String,
        #[command(flatten)]
        repository: Repository,
        #[arg(long)]
        json: String,
    },
    /// Delete a release
    Delete {
        tag: String,
        #[command(flatten)]
        repository: Repository,
        #[arg(short, long)]
        yes: bool,
    },
}

pub(super) fn run(command: &Command) -> Result<u8> {
    match command {
        Command::Create {
            tag,
            files,
            repository,
            title,
            notes,
            notes_file,
            draft,
            prerelease,
            verify_tag: _,
            latest,
        } => {
            let github = GitHub::from_environment(repository.repo.as_deref())?;
            let notes = match notes_file {
                Some(path) => {
                    std::fs::read_to_string(path).with_context(|| format!("open {}", path.display()))?
                }
                None => notes.clone().unwrap_or_default(),
            };
            let mut body = json!({"tag_name": tag, "name": title, "body": notes, "prerelease": prerelease});
            if let Some(latest) = latest {
                body["make_latest"] = Value::from(latest.as_str());
            }
            create(&github, body, files, *draft)?;
        }
        Command::Upload {
            tag,
            files,
            repository,
        } => {
            let github = GitHub::from_environment(repository.repo.as_deref())?;
            let release = by_tag(&github, tag)?;
            upload(&github, &release, files)?;
        }
        Command::Download {
            tag,
            repository,
            pattern,
            dir,
            clobber,
        } => {
            let github = GitHub::from_environment(repository.repo.as_deref())?;
            download(&github, &by_tag(&github, tag)?, pattern, dir, *clobber)?;
        }
        Command::View {
            tag,
            repository,
            json,
        } => {
            let github = GitHub::from_environment(repository.repo.as_deref())?;
            println!("{}", pick(&by_tag(&github, tag)?, json)?);
        }
        Command::Delete { tag, repository, yes } => {
            if !yes {
                bail!("--yes required when not running interactively");
            }
            let github = GitHub::from_environment(repository.repo.as_deref())?;
            let release = by_tag(&github, tag)?;
            github.json(
                "DELETE",
                &github.repo_path(&format!("/releases/{}", release["id"])),
                None,
            )?;
        }
    }
    Ok(0)
}

/// With files: a draft first, published once all of them are there.
fn create(github: &GitHub, mut body: Value, files: &[PathBuf], draft: bool) -> Result<()> {
    let tag = body["tag_name"].as_str().unwrap_or_default().to_owned();
    if !files.is_empty()
        && github
            .send(
                "HEAD",
                &github.repo_path(&format!("/releases/tags/{tag}")),
                &[],
                &[],
            )?
            .status
            == 200
    {
        bail!("a release with the same tag name already exists: {tag}");
    }
    body["draft"] = Value::from(draft || !files.is_empty());
    let release = github.json("POST", &github.repo_path("/releases"), Some(&body))?;
    if !files.is_empty() {
        upload(github, &release, files)?;
        if !draft {
            let path = github.repo_path(&format!("/releases/{}", release["id"]));
            github.json("PATCH", &path, Some(&json!({"draft": false})))?;
        }
    }
    println!("{}", release["html_url"].as_str().unwrap_or_default());
    Ok(())
}

fn by_tag(github: &GitHub, tag: &str) -> Result<Value> {
    let path = github.repo_path(&format!("/releases/tags/{tag}"));
    let response = github.send("GET", &path, &[], &[])?;
    if response.status == 404 {
        bail!("release not found");
    }
    refuse(&response, &path)?;
    response.parse()
}

fn upload(github: &GitHub, release: &Value, files: &[PathBuf]) -> Result<()> {
    let url = release["upload_url"].as_str().context("an unexpected answer")?;
    let base = url.split('{').next().unwrap_or(url);
    for file in files {
        let name = file.file_name().context("not a file")?.to_string_lossy();
        let bytes = std::fs::read(file).with_context(|| format!("open {}", file.display()))?;
        let path = format!("{base}?name={}", encode(&name));
        let response = github.send(
            "POST",
            &path,
            &[("content-type", "application/octet-stream")],
            &bytes,
        )?;
        refuse(&response, &path)?;
    }
    Ok(())
}

fn download(
    github: &GitHub,
    release: &Value,
    patterns: &[String],
    folder: &Path,
    clobber: bool,
) -> Result<()> {
    let assets = release["assets"].as_array().context("an unexpected answer")?;
    let wanted: Vec<&Value> = assets
        .iter()
        .filter(|asset| {
            patterns.is_empty() || patterns.iter().any(|pattern| asset["name"] == pattern.as_str())
        })
        .collect();
    if wanted.is_empty() {
        bail!("no assets match the file pattern");
    }
    std::fs::create_dir_all(folder)?;
    for asset in wanted {
        let target = folder.join(asset["name"].as_str().context("an unexpected answer")?);
        if target.exists() && !clobber {
            bail!(
                "{} already exists (use `--clobber` to overwrite file or `--skip-existing` to skip file)",
                target.display()
            );
        }
        let url = asset["url"].as_str().context("an unexpected answer")?;
        let response = github.send("GET", url, &[("accept", "application/octet-stream")], &[])?;
        refuse(&response, url)?;
        std::fs::write(&target, &response.body)
            .with_context(|| format!("cannot write {}", target.display()))?;
    }
    Ok(())
}
