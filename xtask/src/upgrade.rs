//! What an earlier version left in a repository, brought to today's form: pipeline.toml by steps, workflows by a merge of
//! three versions. Edits of the team survive; where both sides changed the same lines, nothing is written but a proposal.

pub mod steps;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::config::{BLANK, Config, version};
use crate::context::PIPELINE_FILE;
use crate::tools::git::merge_texts;
use crate::workflows::{self, WorkflowVersions};

/// Where proposals are, below the root of the repository.
const PROPOSALS_DIR: &str = ".xtask/upgrade";
/// The first line of a proposal, before the identity of what was merged.
const PROPOSAL_MARK: &str = "# Proposal of `cargo xtask upgrade`, of ";
/// Characters of a SHA-256 that identify what was merged.
const IDENTITY_CHARS: usize = 16;
/// Proposals that are kept under other names.
const MOST_ASIDE: u32 = 1_000;
/// How lines of a conflict begin (git-scm.com/docs/git-merge).
const MARKERS: [&str; 4] = ["<<<<<<< ", "||||||| ", "=======", ">>>>>>> "];

/// What becomes of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpgradeState {
    /// It is what it should be.
    Same,
    /// It becomes today's form, with the edits of the team.
    Changed,
    /// There was none in the version before.
    New,
    /// The team removed it, and it stays away.
    Removed,
    /// Both sides changed the same lines; a proposal has both.
    Conflict,
    /// This configuration needs no such file any more.
    NotNeeded,
}

/// One file of the repository, and what becomes of it.
#[derive(Debug, Clone, Serialize)]
pub struct UpgradedFile {
    pub path: String,
    /// The version that it has the form of.
    pub from: String,
    pub state: UpgradeState,
    /// Where its meaning is another than that of the generated one: the edits of the team.
    pub edits: Vec<String>,
    /// The file as it becomes; of a conflict, the proposal.
    pub text: String,
}

/// Everything that an upgrade does.
#[derive(Debug, Serialize)]
pub struct Upgrade {
    pub from: String,
    pub to: String,
    /// What was changed in pipeline.toml, a line for each change.
    pub steps: Vec<String>,
    pub files: Vec<UpgradedFile>,
    /// What a person has to do.
    pub by_hand: Vec<String>,
}

impl Upgrade {
    /// Paths of the proposals that have conflicts.
    pub fn conflicts(&self) -> Vec<String> {
        let conflicts = self
            .files
            .iter()
            .filter(|file| file.state == UpgradeState::Conflict);
        conflicts.map(|file| proposal_path(&file.path)).collect()
    }
}

/// Reads the repository in this folder. `setup` is the action that workflows get the program by from now on.
pub fn plan(root: &Path, setup: Option<&str>) -> Result<Upgrade> {
    let path = root.join(PIPELINE_FILE);
    let text = read(&path)?;
    let mut stepped = steps::apply(&text, root, setup)?;
    // Marks are still to be filled in; mistakes are refused with line and column.
    let after = if stepped.text.contains(BLANK) {
        Config::draft(&stepped.text)
    } else {
        None
    };
    let after = match after {
        Some(draft) => draft,
        None => Config::parse(&path, &stepped.text)?,
    };
    let before = Config::draft(&text).unwrap_or_else(|| after.clone());
    let health: Vec<String> = crate::health::secret_names(root)?.into_iter().collect();
    let mut files = vec![UpgradedFile {
        path: PIPELINE_FILE.to_owned(),
        from: stepped.from.clone(),
        state: if stepped.text == text {
            UpgradeState::Same
        } else {
            UpgradeState::Changed
        },
        edits: Vec::new(),
        text: stepped.text,
    }];
    if workflows::is_decided(&after) {
        for versions in workflows::versions(root, &before, &after, &health)? {
            files.push(merged(root, &versions)?);
        }
    } else {
        stepped.by_hand.push(format!(
            "fill in the marks `{BLANK} …>` of {PIPELINE_FILE}, then cargo xtask upgrade again: a mark belongs to the workflows"
        ));
    }
    for file in files.iter().filter(|file| file.state == UpgradeState::NotNeeded) {
        stepped.by_hand.push(format!(
            "remove {}: this configuration needs no such workflow",
            file.path
        ));
    }
    if files.iter().any(|file| !file.edits.is_empty()) {
        let command = "cargo xtask generate --check";
        let line = format!(
            "your edits of workflows are kept; `{command}` names them: write into {PIPELINE_FILE} what it has a key for"
        );
        stepped.by_hand.push(line);
    }
    Ok(Upgrade {
        from: stepped.from,
        to: version::wanted().to_owned(),
        steps: stepped.changes,
        files,
        by_hand: stepped.by_hand,
    })
}

/// What becomes of one workflow.
fn merged(root: &Path, versions: &WorkflowVersions) -> Result<UpgradedFile> {
    let file = |state, text: String| UpgradedFile {
        path: versions.path.clone(),
        from: versions.from.to_owned(),
        state,
        edits: Vec::new(),
        text,
    };
    let Some(theirs) = &versions.theirs else {
        let state = if versions.ours.is_some() {
            UpgradeState::NotNeeded
        } else {
            UpgradeState::Same
        };
        return Ok(file(state, String::new()));
    };
    let Some(ours) = &versions.ours else {
        let state = if versions.is_new {
            UpgradeState::New
        } else {
            UpgradeState::Removed
        };
        return Ok(file(state, format!("{}{theirs}", versions.mark)));
    };
    // Lines that end as on Windows do so afterwards too; the templates' do not.
    let is_crlf = versions
        .found
        .as_ref()
        .is_some_and(|found| found.contains("\r\n"));
    let ours = &ours.replace("\r\n", "\n");
    let base_name = format!("version {}", versions.from);
    let now_name = format!("version {}", version::wanted());
    let merged = merge_texts(
        ("your file", ours),
        (&base_name, &versions.base),
        (&now_name, theirs),
    )?;
    let identity = identity(&[ours, &versions.base, theirs]);
    let is_clean = !merged.has_conflicts && workflows::differences_of(theirs, &merged.text).is_ok();
    let text = if is_clean {
        Some(merged.text.clone())
    } else {
        resolved(root, &versions.path, &identity)?
    };
    let Some(text) = text else {
        let text = format!("{PROPOSAL_MARK}{identity}\n{}", merged.text);
        return Ok(file(UpgradeState::Conflict, text));
    };
    let edits = workflows::differences_of(theirs, &text)?;
    let mut text = format!("{}{text}", versions.mark);
    if is_crlf {
        text = text.replace('\n', "\r\n");
    }
    let state = if versions.found.as_deref() == Some(&text) {
        UpgradeState::Same
    } else {
        UpgradeState::Changed
    };
    Ok(UpgradedFile {
        edits,
        ..file(state, text)
    })
}

/// The proposal of exactly these versions, once nothing of it is left open.
fn resolved(root: &Path, path: &str, identity: &str) -> Result<Option<String>> {
    let proposal = root.join(proposal_path(path));
    if proposal.symlink_metadata().is_err() {
        return Ok(None);
    }
    let text = read(&proposal)?;
    let body = text
        .strip_prefix(PROPOSAL_MARK)
        .and_then(|rest| rest.strip_prefix(identity))
        .and_then(|rest| rest.strip_prefix('\n'));
    let is_open = |body: &str| {
        body.lines()
            .any(|line| MARKERS.iter().any(|marker| line.starts_with(marker)))
    };
    Ok(body
        .filter(|body| !is_open(body) && workflows::differences_of(body, body).is_ok())
        .map(str::to_owned))
}

/// Where the proposal for a file is, below the root.
pub fn proposal_path(path: &str) -> String {
    format!("{PROPOSALS_DIR}/{}", path.rsplit('/').next().unwrap_or(path))
}

/// Writes the files; where one has a conflict, only the proposals. Gives the paths that were written. A proposal that a
/// person has begun to edit is never written over.
pub fn write(root: &Path, upgrade: &Upgrade) -> Result<Vec<String>> {
    let conflicts = !upgrade.conflicts().is_empty();
    let mut written = Vec::new();
    for file in &upgrade.files {
        let path = match file.state {
            UpgradeState::Conflict => proposal_path(&file.path),
            UpgradeState::Changed | UpgradeState::New if !conflicts => file.path.clone(),
            _ => continue,
        };
        let target = root.join(&path);
        let is_begun = file.state == UpgradeState::Conflict && {
            let first = file.text.lines().next().unwrap_or_default();
            target.is_file() && read(&target)?.starts_with(first)
        };
        if is_begun {
            continue;
        }
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        set_aside(&target, file.state)?;
        std::fs::write(&target, &file.text).with_context(|| format!("cannot write {}", target.display()))?;
        written.push(path);
    }
    Ok(written)
}

/// A proposal for other versions of the file may have somebody's work: it gets another name.
fn set_aside(target: &Path, state: UpgradeState) -> Result<()> {
    if state != UpgradeState::Conflict || target.symlink_metadata().is_err() {
        return Ok(());
    }
    let aside = (1..=MOST_ASIDE)
        .map(|number| PathBuf::from(format!("{}.{number}", target.display())))
        .find(|path| path.symlink_metadata().is_err())
        .context("no name is free")?;
    std::fs::rename(target, &aside).with_context(|| format!("cannot rename {}", target.display()))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn identity(texts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(Sha256::digest(text));
    }
    hex::encode(hash.finalize())[..IDENTITY_CHARS].to_owned()
}

#[cfg(test)]
mod tests;
