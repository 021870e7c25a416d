//! Who wrote what comes with a commit, and files as an earlier commit has them.

use anyhow::{Context as _, Result};

use super::Git;
use crate::domain::commit::CommitId;
use crate::exec::read_bounded;

/// The longest list of commits and the largest file that are read.
const LIMIT_BYTES: usize = 64 << 20;

/// The people behind one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPeople {
    pub commit: CommitId,
    /// Address of the author, as it stands in the commit: a `.mailmap` is a file like any other.
    pub author: String,
    pub committer: String,
    /// Addresses in lines `Co-authored-by: NAME <ADDRESS>`.
    pub co_authors: Vec<String>,
}

impl Git {
    /// The people behind each commit that `to` has and `since` has not, `to` itself in any case. Without `since`: those of
    /// `to`, and where that is a merge, of what it merged.
    ///
    /// # Errors
    /// A clone that does not hold the commits between.
    pub fn people_since(&self, since: Option<&CommitId>, to: &CommitId) -> Result<Vec<CommitPeople>> {
        let merged = format!("{to}^1..{to}");
        let range = match since {
            Some(since) => Some(format!("{since}..{to}")),
            None => self
                .local(&["rev-parse", "--verify", "--quiet", &format!("{to}^1")])?
                .output()
                .map(|parent| (parent.code == Some(0)).then_some(merged))?,
        };
        let mut people = self.people(&["--max-count=1", to.as_str()])?;
        if let Some(range) = range {
            people.extend(self.people(&[&range])?);
        }
        Ok(people)
    }

    fn people(&self, commits: &[&str]) -> Result<Vec<CommitPeople>> {
        let format = "--format=%H%x00%ae%x00%ce%x00%(trailers:key=Co-authored-by,valueonly)";
        let args = [&["log", "-z", "--no-mailmap", format], commits, &["--"]].concat();
        let (bytes, finished) = self
            .local(&args)?
            .stream_out(|stdout| read_bounded(stdout, LIMIT_BYTES))?;
        finished.checked()?;
        // A name need not be UTF-8; what is compared later is.
        let text = String::from_utf8_lossy(&bytes?).into_owned();
        let mut parts = text.split('\0');
        let mut people = Vec::new();
        while let (Some(commit), Some(author), Some(committer), Some(trailers)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        {
            people.push(CommitPeople {
                commit: commit.trim().parse()?,
                author: author.to_owned(),
                committer: committer.to_owned(),
                co_authors: trailers.lines().filter_map(address).collect(),
            });
        }
        Ok(people)
    }

    /// A file as a commit has it; `None` where the commit has none of that path.
    pub fn file_at(&self, commit: &CommitId, path: &str) -> Result<Option<String>> {
        let spec = format!("{commit}:{path}");
        let found = self
            .local(&["rev-parse", "--verify", "--quiet", "--end-of-options", &spec])?
            .output()?;
        if found.code != Some(0) {
            return Ok(None);
        }
        let (bytes, finished) = self
            .local(&["cat-file", "blob", found.stdout.trim()])?
            .stream_out(|stdout| read_bounded(stdout, LIMIT_BYTES))?;
        finished.checked()?;
        String::from_utf8(bytes?)
            .map(Some)
            .with_context(|| format!("{path} of {} is not UTF-8", commit.short()))
    }
}

/// The address in `NAME <ADDRESS>`.
fn address(line: &str) -> Option<String> {
    let (_, rest) = line.rsplit_once('<')?;
    let (address, _) = rest.split_once('>')?;
    Some(address.trim().to_owned())
}
