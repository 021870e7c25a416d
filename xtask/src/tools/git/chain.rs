//! A chain of commits without files below a reference of its own: each commit's message is one record.

use std::io::{BufRead, BufReader, Read as _};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Git;
use crate::domain::commit::CommitId;
use crate::report::{self, json_line};

/// The longest record that is read; a longer one is no record of ours.
const RECORD_LIMIT_BYTES: u64 = 64 << 20;
/// The first fetch into a clone brings the whole chain.
const FIRST_FETCH_DEADLINE: Duration = Duration::from_mins(5);

/// One commit of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub commit: CommitId,
    pub text: String,
}

/// A record as it is written: the last line of a commit's message.
#[derive(Serialize, Deserialize)]
struct Record<T> {
    schema: String,
    #[serde(flatten)]
    body: T,
}

/// The text of a message: a line for people who read the log, then the record.
pub fn message_with<T: Serialize>(line: &str, schema: &str, body: T) -> Result<String> {
    let schema = schema.to_owned();
    Ok(format!("{line}\n\n{}", json_line(&Record { schema, body })?))
}

impl Message {
    /// The record at its end, of whatever schema; `None` where there is none.
    pub fn value(&self) -> Option<serde_json::Value> {
        serde_json::from_str(self.last_line()).ok()
    }

    fn last_line(&self) -> &str {
        self.text.trim_end().lines().next_back().unwrap_or_default()
    }

    /// The record at its end, which must have this schema.
    pub fn record<T: DeserializeOwned>(&self, schema: &str) -> Result<T> {
        let line = self.last_line();
        let unknown = || {
            format!(
                "the commit {} has no {schema} that this version knows",
                self.commit.short()
            )
        };
        let record: Record<T> = serde_json::from_str(line).with_context(unknown)?;
        if record.schema != schema {
            bail!(
                "{}: it was written by another version ({})",
                unknown(),
                record.schema
            );
        }
        Ok(record.body)
    }
}

/// Where it is remembered here what was fetched of a reference.
fn fetched_before(name: &str) -> String {
    format!("refs/xtask/seen/{}", name.trim_start_matches("refs/"))
}

/// The commits after `from` (or from the first one) up to `to`, as git is asked for them.
fn range(from: Option<&CommitId>, to: &CommitId) -> String {
    from.map_or_else(|| to.to_string(), |from| format!("{from}..{to}"))
}

/// Reads commit and message in turns, each ended by a NUL. Bytes that are no text are replaced: the reader of the record
/// judges what is left.
fn read_messages(mut stream: impl BufRead) -> Result<Vec<Message>> {
    let mut messages = Vec::new();
    while let Some(commit) = next_part(&mut stream)? {
        messages.push(Message {
            commit: commit.parse()?,
            text: next_part(&mut stream)?.unwrap_or_default(),
        });
    }
    Ok(messages)
}

/// The text up to the next NUL, cut where it is too long; `None` at the end.
fn next_part(stream: &mut impl BufRead) -> Result<Option<String>> {
    let mut part = Vec::new();
    let read = stream
        .take(RECORD_LIMIT_BYTES)
        .read_until(0, &mut part)
        .context("cannot read a chain of commits")?;
    if read == 0 {
        return Ok(None);
    }
    if part.pop_if(|last| *last == 0).is_none() {
        stream.skip_until(0).context("cannot read a chain of commits")?;
    }
    Ok(Some(String::from_utf8_lossy(&part).into_owned()))
}

impl Git {
    /// What a reference of the remote points to.
    pub fn remote_ref(&self, name: &str) -> Result<Option<CommitId>> {
        let text = self
            .remote_capable(&["ls-remote", "--refs", &self.remote, name])?
            .read()
            .with_context(|| format!("cannot ask the remote {} for {name}", self.remote))?;
        // The pattern also matches the end of longer names.
        text.lines()
            .filter_map(|line| line.split_once('\t'))
            .find(|(_, found)| *found == name)
            .map(|(commit, _)| {
                commit
                    .parse()
                    .context("the remote named something else than a commit")
            })
            .transpose()
    }

    /// Makes sure that the remote's reference is here, from what was read before (or its first commit) to `commit`. What was
    /// fetched is remembered below `refs/xtask/`, so that the next fetch brings only what is new.
    pub fn fetch_chain(&self, name: &str, from: Option<&CommitId>, commit: &CommitId) -> Result<()> {
        if !self.has_chain(from, commit)? {
            let longest = match from {
                Some(_) => self.remote_deadline,
                None => self.remote_deadline.max(FIRST_FETCH_DEADLINE),
            };
            self.clone()
                .with_remote_deadline(longest)
                .fetch_specs(&[name])
                .with_context(|| format!("cannot fetch {name} of {}", self.remote))?;
            if !self.has_chain(from, commit)? {
                bail!("{name} of {} lost its commit {}", self.remote, commit.short());
            }
        }
        self.remember_fetched(name, commit)
    }

    /// Remembers that the remote has this commit of the chain. Another process may be writing the same reference now: then it
    /// remembers as much.
    pub fn remember_fetched(&self, name: &str, commit: &CommitId) -> Result<()> {
        let kept = fetched_before(name);
        self.local(&["update-ref", &kept, commit.as_str()])?.output()?;
        Ok(())
    }

    /// Whether this clone has fetched a chain of this name before.
    pub fn was_fetched(&self, name: &str) -> Result<bool> {
        Ok(!self.references(&fetched_before(name))?.is_empty())
    }

    /// Whether each commit of the chain is here. The last one alone says nothing: another process that fetches into this
    /// clone now writes it before those that it stands on.
    fn has_chain(&self, from: Option<&CommitId>, to: &CommitId) -> Result<bool> {
        let range = range(from, to);
        let asked = self
            .local(&["rev-list", "--quiet", "--first-parent", &range, "--"])?
            .output()?;
        Ok(asked.code == Some(0))
    }

    /// The messages of the chain after `from` (or from its first commit) up to `to`, oldest first.
    pub fn messages(&self, from: Option<&CommitId>, to: &CommitId) -> Result<Vec<Message>> {
        let range = range(from, to);
        let args = [
            "log",
            "-z",
            "--reverse",
            "--first-parent",
            "--encoding=UTF-8",
            "--format=%H%x00%B",
            &range,
            "--",
        ];
        let (messages, finished) = self
            .local(&args)?
            .stream_out(|stdout| read_messages(BufReader::new(stdout)))?;
        finished.checked()?;
        messages
    }

    /// Fetches the references of the remote below a prefix that ends in `/`; gives the message of each one's commit. One that is no
    /// commit, or whose message cannot be read, is left out with a warning.
    pub fn fetch_refs(&self, prefix: &str) -> Result<Vec<Message>> {
        let kept = fetched_before(prefix);
        self.fetch_specs(&["--prune", &format!("+{prefix}*:{kept}*")])
            .with_context(|| format!("cannot fetch {prefix}* of {}", self.remote))?;
        let references = self.references(&kept)?;
        let mut texts = self.texts(&references)?;
        let mut messages = Vec::new();
        for reference in references {
            let text = texts
                .remove(&reference.object)
                .filter(|_| reference.kind == "commit");
            match text.unwrap_or_else(|| Err(format!("it is a {}", reference.kind))) {
                Ok(text) => messages.push(Message {
                    commit: reference.object.parse()?,
                    text,
                }),
                Err(why) => report::progress(&format!("warning: {prefix}{}: {why}", reference.name)),
            }
        }
        Ok(messages)
    }

    /// When the commits after `from` (or only the last one) up to `to` were made, at most `limit` of the newest.
    pub fn commit_times(
        &self,
        from: Option<&CommitId>,
        to: &CommitId,
        limit: u32,
    ) -> Result<Vec<DateTime<Utc>>> {
        let (range, count) = match from {
            Some(from) => (format!("{from}..{to}"), limit),
            None => (to.to_string(), 1),
        };
        let count = format!("--max-count={count}");
        let text = self
            .local(&["log", &count, "--format=%ct", &range, "--"])?
            .read()?;
        text.lines()
            .map(|line| {
                let seconds = line.parse().ok();
                seconds
                    .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
                    .with_context(|| format!("git printed the time {line:?}"))
            })
            .collect()
    }

    /// Makes the commit that continues a chain. Nothing is visible to others before [`Git::push_commit`].
    pub fn commit_message(&self, parent: Option<&CommitId>, text: &str) -> Result<CommitId> {
        let mut args = vec!["commit-tree", "--no-gpg-sign", self.empty_tree()?];
        if let Some(parent) = parent {
            args.extend(["-p", parent.as_str()]);
        }
        let commit = self.local(&args)?.stdin(text).read()?;
        Ok(commit.parse()?)
    }

    /// Writes the tree without files into this clone, once for each process: each event of an operation needs it.
    fn empty_tree(&self) -> Result<&str> {
        if let Some(tree) = self.empty_tree.get() {
            return Ok(tree);
        }
        let made = self
            .local(&["hash-object", "-t", "tree", "-w", "--stdin"])?
            .stdin("")
            .read()?;
        Ok(self.empty_tree.get_or_init(|| made))
    }

    /// Pushes a commit to a reference of the remote, without force: refused unless the reference points to one of its
    /// ancestors. After an error the reference may or may not have moved; only reading it again tells.
    pub fn push_commit(&self, commit: &CommitId, name: &str) -> Result<()> {
        let spec = format!("{commit}:{name}");
        self.remote_capable(&[
            "push",
            "--quiet",
            "--no-verify",
            "--no-follow-tags",
            "--recurse-submodules=no",
            &self.remote,
            &spec,
        ])?
        .run()
    }
}
