//! Three versions of a text merged, as git merges those of a file.

use anyhow::{Context as _, Result};

use super::Git;

/// Above it, `git merge-file` failed (git-scm.com/docs/git-merge-file: "the number of conflicts, truncated to 127").
const MOST_CONFLICTS: i32 = 127;

/// What became of three versions.
#[derive(Debug, Clone)]
pub struct MergedText {
    /// With markers around each conflict: the one side, what both began with, the other side.
    pub text: String,
    pub has_conflicts: bool,
}

/// A version of a text, with the name that markers show.
type Named<'a> = (&'a str, &'a str);

/// Merges what became of `base` in `ours` and in `theirs`; each is a name and a text. Needs no repository.
pub fn merge_texts(ours: Named<'_>, base: Named<'_>, theirs: Named<'_>) -> Result<MergedText> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let mut arguments: Vec<String> = ["merge-file", "--stdout", "--quiet", "--diff3"]
        .map(str::to_owned)
        .to_vec();
    for (label, _) in [ours, base, theirs] {
        arguments.extend(["-L".to_owned(), label.to_owned()]);
    }
    for ((_, text), name) in [ours, base, theirs].into_iter().zip(["ours", "base", "theirs"]) {
        let file = folder.path().join(name);
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        arguments.push(name.to_owned());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let merged = Git::at(folder.path(), "origin").local(&arguments)?.output()?;
    match merged.code {
        Some(0) => Ok(MergedText {
            text: merged.stdout,
            has_conflicts: false,
        }),
        Some(1..=MOST_CONFLICTS) => Ok(MergedText {
            text: merged.stdout,
            has_conflicts: true,
        }),
        _ => Err(merged.error()),
    }
}
