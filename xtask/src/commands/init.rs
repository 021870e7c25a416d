//! `cargo xtask init`: inspects a repository and writes its pipeline.toml, health.toml and workflows; writes nothing over
//! what exists.

mod pull_request;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::Common;
use crate::config::{BLANK, Config, is_action};
use crate::context::{PIPELINE_FILE, ignores_itself};
use crate::error::catalogue::setup as errors;
use crate::health::HEALTH_FILE;
use crate::init::files::{self, Draft};
use crate::init::findings::{Finding, FindingGrade};
use crate::init::{self, Known, ProposedKey, RepositoryFacts, from_source};
use crate::report;
use crate::tools::git::Git;
use crate::workflows;
use pull_request::PullRequest;

/// The end of `--help`.
const AFTER_HELP: &str = "\
Exit codes:
  0  the files are written, or shown with --plan
  1  failed
  2  wrong usage
  3  the repository has what would hurt a release; nothing was written

Example:
  cargo xtask init --plan";

/// Options of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The repository; the one of the current folder unless given
    dir: Option<PathBuf>,
    /// Read files only: ask neither railway, vercel, gh nor the health route
    #[arg(long)]
    offline: bool,
    /// Also write a thin crate `xtask/` that builds the program from its sources: URL#REVISION of a git repository, or a folder
    #[arg(long, value_name = "SOURCE", conflicts_with_all = ["pull_request", "setup"])]
    from_source: Option<String>,
    /// Propose the files as a pull request, from a branch that is made for it: the work tree stays as it is
    #[arg(long, conflicts_with = "offline")]
    pull_request: bool,
    /// Show the files and write nothing
    #[arg(long)]
    plan: bool,
    /// The action that puts this program on PATH in workflows: owner/repository/setup-action@commit
    #[arg(long, value_name = "ACTION")]
    setup: Option<String>,
    /// Write the files in spite of this finding
    #[arg(long, value_name = "FINDING")]
    accept: Vec<String>,
}

#[derive(Serialize)]
struct ProposedFile {
    path: String,
    state: FileState,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum FileState {
    /// With `--plan`, or where a finding stopped it.
    Proposed,
    Written,
    /// In the branch of the pull request.
    Committed,
    /// It is there already, and was left alone.
    Exists,
}

#[derive(Serialize)]
struct InitResult {
    root: PathBuf,
    files: Vec<ProposedFile>,
    keys: Vec<ProposedKey>,
    found: usize,
    /// One line for each program that was asked.
    asked: Vec<String>,
    findings: Vec<Finding>,
    /// Its address.
    pull_request: Option<String>,
    next: Vec<String>,
}

/// Inspects, shows, writes.
pub fn run(args: &Args, common: &Common) -> Result<()> {
    let root = root(args)?;
    let mut facts = init::inspect(&root, !args.offline)?;
    if let Some(action) = &args.setup {
        if !is_action(action) {
            return Err(errors::setup_action_unusable(action).into());
        }
        facts.setup = Known::found(action, "--setup");
    }
    if args.from_source.is_some() {
        facts.setup = Known::found(from_source::ACTION, "--from-source");
    }
    let pipeline = files::pipeline(&facts);
    let health = files::health(&facts);
    let config = config(&root, &pipeline.text);
    let guide = config.as_ref().map(workflows::guide).transpose()?;
    let guide = guide.map(|text| (workflows::GUIDE_FILE.to_owned(), text));
    let workflows = workflows(&root, config)?;
    let has_workflows = workflows.is_some();
    let drafts = [(PIPELINE_FILE, pipeline), (HEALTH_FILE, health)];
    let is_accepted = |finding: &Finding| args.accept.iter().any(|name| name == finding.name);
    let stops: Vec<&str> = facts
        .findings
        .iter()
        .filter(|finding| finding.grade == FindingGrade::Stop && !is_accepted(finding))
        .map(|finding| finding.name)
        .collect();
    let goes_on = !args.plan && stops.is_empty();
    let writes = goes_on && !args.pull_request;
    let thin = match &args.from_source {
        Some(source) => thin_crate(&root, source, writes)?,
        None => Vec::new(),
    };
    let mut keys = Vec::new();
    let mut proposed = Vec::new();
    for (path, Draft { text, keys: own, .. }) in drafts {
        keys.extend(own);
        let state = write(&root, path, &text, writes)?;
        let path = path.to_owned();
        proposed.push(ProposedFile { path, state, text });
    }
    proposed.extend(thin);
    for (path, text) in workflows.into_iter().flatten().chain(guide).chain(ignored(&root)) {
        let state = write(&root, &path, &text, writes)?;
        proposed.push(ProposedFile { path, state, text });
    }
    let found = keys.iter().filter(|key| key.value.is_some()).count();
    let next = next(&root, args, goes_on, &keys, &facts.asked, has_workflows);
    let pull_request = if args.pull_request && stops.is_empty() {
        propose(&root, &facts, &mut proposed, &next, goes_on)?
    } else {
        None
    };
    let outcome = InitResult {
        root,
        pull_request,
        files: proposed,
        found,
        keys,
        next,
        findings: facts.findings.clone(),
        asked: facts.asked.clone(),
    };
    if goes_on {
        report::emit_done(common.format, "init/1", &outcome, || text(&outcome));
    } else {
        report::emit(common.format, "init/1", &outcome, || text(&outcome))?;
    }
    if args.plan || stops.is_empty() {
        return Ok(());
    }
    let mut names = stops;
    names.dedup();
    Err(errors::init_blocked(names.join(", "), names.join(" --accept ")).into())
}

/// The crate that builds the program, with a lock file of what it needs; nothing of it is left where cargo fails.
fn thin_crate(root: &Path, source: &str, writes: bool) -> Result<Vec<ProposedFile>> {
    let folder = root.join(from_source::FOLDER);
    let is_new = folder.symlink_metadata().is_err();
    let mut files = Vec::new();
    for (path, text) in from_source::files(source) {
        let state = if path.starts_with(from_source::FOLDER) && !is_new {
            FileState::Exists
        } else {
            write(
                root,
                &path,
                &text,
                writes && path.starts_with(from_source::FOLDER),
            )?
        };
        files.push(ProposedFile { path, state, text });
    }
    if writes && is_new {
        from_source::lock(root).inspect_err(|_| drop(std::fs::remove_dir_all(&folder)))?;
    }
    for file in files.iter_mut().filter(|file| file.state == FileState::Proposed) {
        file.state = write(root, &file.path, &file.text, writes)?;
    }
    Ok(files)
}

/// Checks that a pull request can be made, and makes it where it `goes_on`.
fn propose(
    root: &Path,
    facts: &RepositoryFacts,
    proposed: &mut [ProposedFile],
    next: &[String],
    goes_on: bool,
) -> Result<Option<String>> {
    let mut new: Vec<&mut ProposedFile> = proposed
        .iter_mut()
        .filter(|file| file.state == FileState::Proposed)
        .collect();
    let paths: Vec<&str> = new.iter().map(|file| file.path.as_str()).collect();
    let request = PullRequest::prepare(root, facts, &paths)?;
    if !goes_on {
        return Ok(None);
    }
    let files: Vec<(&str, &str)> = new
        .iter()
        .map(|file| (file.path.as_str(), file.text.as_str()))
        .collect();
    let address = request.make(&files, &numbered(next))?;
    for file in &mut new {
        file.state = FileState::Committed;
    }
    Ok(Some(address))
}

/// The folder that is given, or the top of the clone that we are in.
fn root(args: &Args) -> Result<PathBuf> {
    let here = std::env::current_dir().context("cannot determine the current folder")?;
    let Some(dir) = &args.dir else {
        return Ok(Git::at(&here, "origin").top().unwrap_or(here));
    };
    let root = here.join(dir);
    if root.is_dir() {
        Ok(root)
    } else {
        Err(errors::init_no_folder(root.display()).into())
    }
}

/// Writes the file where there is none; a file that is there is never opened for writing.
fn write(root: &Path, path: &str, text: &str, writes: bool) -> Result<FileState> {
    let file = root.join(path);
    if file.symlink_metadata().is_ok() {
        return Ok(FileState::Exists);
    }
    if !writes {
        return Ok(FileState::Proposed);
    }
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let mut created =
        std::fs::File::create_new(&file).with_context(|| format!("cannot create {}", file.display()))?;
    created
        .write_all(text.as_bytes())
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(FileState::Written)
}

/// What pipeline.toml has, or the one that is proposed; `None` where it has mistakes.
fn config(root: &Path, draft: &str) -> Option<Config> {
    let file = root.join(PIPELINE_FILE);
    if file.is_file() {
        Config::read(&file).ok()
    } else {
        Config::draft(draft)
    }
}

/// The workflows: path and text. `None` where marks or mistakes of pipeline.toml leave open what they are.
fn workflows(root: &Path, config: Option<Config>) -> Result<Option<Vec<(String, String)>>> {
    let health = if root.join(HEALTH_FILE).is_file() {
        crate::health::secret_names(root)?.into_iter().collect()
    } else {
        Vec::new()
    };
    let Some(config) = config.filter(workflows::is_decided) else {
        return Ok(None);
    };
    let files = workflows::generate(&config, &health)?.into_iter();
    Ok(Some(
        files.map(|workflow| (workflow.path, workflow.text)).collect(),
    ))
}

/// What keeps git from taking backups, where no .gitignore of the root has it: a file in the folder, so that none of the
/// team's is changed. The folder for local state has such a file by itself.
fn ignored(root: &Path) -> Option<(String, String)> {
    let rules = std::fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let is_ignored = rules
        .lines()
        .any(|line| line.trim().trim_matches('/') == "backups");
    let text = "# Written by `cargo xtask init`: nothing of this folder is committed but this file.\n*\n!.gitignore\n";
    (!is_ignored).then(|| ("backups/.gitignore".to_owned(), text.to_owned()))
}

/// Writes what keeps git from taking state and backups.
pub(super) fn write_ignored(root: &Path) -> Result<()> {
    let state = root.join(".xtask");
    std::fs::create_dir_all(&state).with_context(|| format!("cannot make the folder {}", state.display()))?;
    ignores_itself(&state)?;
    if let Some((path, text)) = ignored(root) {
        write(root, &path, &text, true)?;
    }
    Ok(())
}

/// What a person does after it, in order.
fn next(
    root: &Path,
    args: &Args,
    goes_on: bool,
    keys: &[ProposedKey],
    asked: &[String],
    has_workflows: bool,
) -> Vec<String> {
    let mut next = Vec::new();
    if args.pull_request && goes_on {
        next.push(format!("git switch {}", pull_request::BRANCH));
    }
    let missing = keys.iter().filter(|key| key.value.is_none()).count();
    let is_of_platform = |key: &&ProposedKey| {
        key.value.is_none()
            && [".railway.", ".vercel."]
                .iter()
                .any(|part| key.key.contains(part))
    };
    let is_left_out = asked.iter().any(|line| line.ends_with("files only"));
    if is_left_out && keys.iter().any(|key| is_of_platform(&key)) {
        let remove = if goes_on {
            format!("; remove {PIPELINE_FILE} and {HEALTH_FILE}")
        } else {
            String::new()
        };
        next.push(format!(
            "railway login, vercel login, gh auth login{remove}, and run init again: it asks the platforms for ids and addresses   (or \
             leave this out)"
        ));
    }
    if !goes_on {
        next.push("cargo xtask init   (writes the files, and prints what follows)".to_owned());
        return next;
    }
    next.push(format!(
        "cargo xtask rehearse --repository {}   (in a clone of the program's repository; marks may be left)",
        root.display()
    ));
    if missing > 0 {
        next.push(format!(
            "fill in the {missing} marks `{BLANK} …>` of {PIPELINE_FILE} and {HEALTH_FILE}"
        ));
    }
    next.push("check the other values: each has its origin as a comment".to_owned());
    next.push("cargo xtask doctor --config-only   (refuses marks that are left)".to_owned());
    if !has_workflows {
        next.push("cargo xtask generate   (writes the workflows: a mark above belongs to them)".to_owned());
    }
    next.push("commit the files".to_owned());
    next.push("cargo xtask setup --plan   (GitHub's environments, reviewers and secrets)".to_owned());
    next.push("cargo xtask doctor".to_owned());
    next.push("cargo xtask deploy --plan".to_owned());
    next
}

fn text(outcome: &InitResult) -> String {
    let mut text = String::new();
    for file in &outcome.files {
        match file.state {
            FileState::Proposed if ![PIPELINE_FILE, HEALTH_FILE].contains(&file.path.as_str()) => {
                text.push_str(&format!("not written: {}\n", file.path));
            }
            FileState::Proposed => {
                text.push_str(&format!("--- {} (not written)\n{}\n", file.path, file.text));
            }
            FileState::Committed => text.push_str(&format!("in the pull request: {}\n", file.path)),
            FileState::Written => text.push_str(&format!("written: {}\n", file.path)),
            FileState::Exists => text.push_str(&format!("exists, left alone: {}\n", file.path)),
        }
    }
    text.push_str(&format!(
        "keys found: {} of {}\n",
        outcome.found,
        outcome.keys.len()
    ));
    for line in &outcome.asked {
        text.push_str(&format!("  asked {line}\n"));
    }
    for key in outcome.keys.iter().filter(|key| key.value.is_none()) {
        text.push_str(&format!("  to fill in: {}: {}\n", key.key, key.origin));
    }
    for finding in &outcome.findings {
        let mark = if finding.grade == FindingGrade::Stop {
            "STOP   "
        } else {
            "warning"
        };
        text.push_str(&format!(
            "{mark}  {}: {}\n         fix: {}\n",
            finding.name, finding.found, finding.fix
        ));
    }
    if let Some(address) = &outcome.pull_request {
        text.push_str(&format!("pull request: {address}\n"));
    }
    text.push_str(&format!("next:\n{}", numbered(&outcome.next)));
    text
}

fn numbered(steps: &[String]) -> String {
    let lines = steps.iter().enumerate();
    lines
        .map(|(index, step)| format!("  {}. {step}\n", index + 1))
        .collect()
}
