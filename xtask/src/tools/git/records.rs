//! Releases as the remote records them: a reference of their own for each, and the annotated tag.
//!
//! The token of a GitHub Actions job may not push a tag to a commit whose `.github/workflows` differ from those of the
//! branch tips (permission `workflows`, which no job can have). A commit without files is not affected: so the record is
//! one, below `refs/xtask/releases/`, with the message that the tag has.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::objects::{MessageText, Reference};
use super::{Git, Tag, tags};
use crate::domain::release_chain::RecordedRelease;

/// Where the remote keeps the records, by the name of the release.
pub const RELEASES: &str = "refs/xtask/releases";
/// Where they are kept here.
const KEPT: &str = "refs/xtask/seen/releases";
/// The first fetch into a clone brings all of them, thousands after some years.
const FIRST_FETCH_DEADLINE: Duration = Duration::from_mins(5);

impl Git {
    /// The remote's releases `<prefix>-…`, sorted by name. Tags of this clone never count.
    pub fn recorded_releases(&self, prefix: &str) -> Result<Vec<RecordedRelease>> {
        let (tags, records) = (format!("{}/{prefix}-*", tags::KEPT), format!("{KEPT}/{prefix}-*"));
        let git = if self.references(&records)?.is_empty() {
            &self.clone().with_remote_deadline(FIRST_FETCH_DEADLINE)
        } else {
            self
        };
        git.fetch_specs(&[
            "--prune",
            &format!("+refs/tags/{prefix}-*:{tags}"),
            &format!("+{RELEASES}/{prefix}-*:{records}"),
        ])
        .with_context(|| format!("cannot fetch the releases {prefix}-* of {}", self.remote))?;
        let mut found = BTreeMap::new();
        let references = self.references(&records)?;
        let mut texts = self.texts(&references)?;
        for reference in references {
            let text = texts.remove(&reference.object);
            found.insert(reference.name.clone(), of_record(reference, text));
        }
        for tag in self.kept_tags(&tags)? {
            let record = found.remove(&tag.name);
            found.insert(tag.name.clone(), with_tag(record, tag));
        }
        Ok(found.into_values().collect())
    }
}

/// What the reference of a record holds.
fn of_record(reference: Reference, text: Option<MessageText>) -> RecordedRelease {
    let text = text.filter(|_| reference.kind == "commit");
    let text = text.unwrap_or_else(|| Err(format!("it is a {}", reference.kind)));
    let mut problems = Vec::new();
    let message = text.unwrap_or_else(|why| {
        problems.push(format!("the record at {RELEASES}/{}: {why}", reference.name));
        String::new()
    });
    RecordedRelease {
        name: reference.name,
        message,
        is_recorded: true,
        is_tagged: false,
        marks: None,
        problems,
    }
}

/// The record counts where it can be read: it was pushed without force, and a tag may have been moved since.
fn with_tag(record: Option<RecordedRelease>, tag: Tag) -> RecordedRelease {
    let message = tag.message.unwrap_or_default();
    let mut release = record.unwrap_or_else(|| RecordedRelease {
        name: tag.name.clone(),
        message: String::new(),
        is_recorded: false,
        is_tagged: false,
        marks: None,
        problems: Vec::new(),
    });
    if let Some(why) = tag.unreadable {
        release.problems.push(format!("the tag {}: {why}", tag.name));
    } else if release.message.is_empty() {
        release.message = message;
    } else if release.message.trim_end() != message.trim_end() {
        release.problems.push(format!(
            "the tag {} is not the one that the ledger knows: its message is not that of {RELEASES}/{}",
            tag.name, tag.name
        ));
    }
    release.is_tagged = true;
    release.marks = tag.commit;
    release
}
