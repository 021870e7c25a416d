//! Releases as the remote records them: a reference of their own for each, and the annotated tag.
//!
//! The token of a GitHub Actions job may not push a tag to a commit whose `.github/workflows` differ from those of the
//! branch tips (permission `workflows`, which no job can have). A commit without files is not affected: so the record is
//! one, below `refs/xtask/releases/`, with the message that the tag has.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use super::{Git, tags};

/// Where the remote keeps the records, by the name of the release.
pub const RELEASES: &str = "refs/xtask/releases";
/// Where they are kept here.
const KEPT: &str = "refs/xtask/seen/releases";

/// One release of the remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedRelease {
    pub name: String,
    /// The message that ends with the release record.
    pub message: String,
    /// Whether the remote has its tag too.
    pub tagged: bool,
}

impl Git {
    /// The remote's releases `<prefix>-…`, sorted by name. Where there is a tag, its message counts.
    pub fn recorded_releases(&self, prefix: &str) -> Result<Vec<RecordedRelease>> {
        let kept_tags = tags::KEPT;
        self.fetch_specs(&[
            "--prune",
            &format!("+refs/tags/{prefix}-*:{kept_tags}/{prefix}-*"),
            &format!("+{RELEASES}/{prefix}-*:{KEPT}/{prefix}-*"),
        ])
        .with_context(|| format!("cannot fetch the releases {prefix}-* of {}", self.remote))?;
        let mut found = BTreeMap::new();
        let mut add = |name: String, message: String, tagged: bool| {
            let release = RecordedRelease {
                name: name.clone(),
                message,
                tagged,
            };
            found.insert(name, release);
        };
        for message in self.messages_below(&format!("{KEPT}/{prefix}-*"))? {
            add(message.0, message.1, false);
        }
        for tag in self.kept_tags(&format!("{kept_tags}/{prefix}-*"))? {
            add(tag.name, tag.message.unwrap_or_default(), true);
        }
        Ok(found.into_values().collect())
    }

    /// The last part of each reference's name, and the message of its commit.
    fn messages_below(&self, pattern: &str) -> Result<Vec<(String, String)>> {
        let format = "--format=%(refname:lstrip=-1)%00%(contents)%00";
        let listed = self
            .local(&["for-each-ref", format, pattern])?
            .output()?
            .checked()?;
        let mut parts = listed.stdout.split('\0');
        let mut messages = Vec::new();
        while let (Some(name), Some(text)) = (parts.next(), parts.next()) {
            messages.push((name.trim_start().to_owned(), text.to_owned()));
        }
        Ok(messages)
    }
}
