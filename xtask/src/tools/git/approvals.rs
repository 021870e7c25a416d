//! Signed tags that approve a plan: each is read by itself, so that one that is malformed hides no other.

use anyhow::{Context as _, Result};

use super::{Git, tags};
use crate::exec::read_bounded;

/// An approval is a few lines; a tag may be of any size.
const LIMIT_BYTES: usize = 64 << 10;

impl Git {
    /// Names of the remote's tags `<prefix>-…`, sorted, each with its whole text, or why that cannot be read.
    pub fn tag_texts(&self, prefix: &str) -> Result<Vec<(String, Result<String>)>> {
        let kept = tags::KEPT;
        self.fetch_specs(&["--prune", &format!("+refs/tags/{prefix}-*:{kept}/{prefix}-*")])
            .with_context(|| format!("cannot fetch the tags {prefix}-* of {}", self.remote))?;
        let names = self
            .local(&[
                "for-each-ref",
                "--sort=refname",
                "--format=%(refname:lstrip=-1)",
                &format!("{kept}/{prefix}-*"),
            ])?
            .read()?;
        let names = names.lines().filter(|name| !name.is_empty());
        Ok(names
            .map(|name| (name.to_owned(), self.tag_text(&format!("{kept}/{name}"))))
            .collect())
    }

    fn tag_text(&self, reference: &str) -> Result<String> {
        let (bytes, finished) = self
            .local(&["cat-file", "tag", reference])?
            .stream_out(|stdout| read_bounded(stdout, LIMIT_BYTES))?;
        let bytes = bytes?;
        if finished.code != Some(0) {
            anyhow::bail!("it has no message");
        }
        String::from_utf8(bytes).context("its message is not UTF-8")
    }
}
