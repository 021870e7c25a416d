//! `mongodump`: one database, or all of a server, as an archive stream.
//!
//! Exit code 0 is not proof, and neither is a well-formed archive: after a dead cursor or a SIGTERM the archive
//! ends correctly and only the exit code tells; with a wrong name of the database everything is well and nothing is
//! in it. So what mongodump says of each collection is handed back, to be compared with what was counted. Never with
//! `--gzip`: that loses the errors of a full disk.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Cursor, ErrorKind, PipeReader, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use regex::Regex;
use xshell::{Shell, cmd};

use crate::connection::longest_silence;
use crate::domain::manifest::OPLOG_COLLECTION;
use crate::exec::{Exec, Finished};
use crate::report;
use crate::secret::Secret;
use crate::sync::lock;
use crate::tools::mongo_config;

/// A dump that takes longer is stopped.
const DEADLINE: Duration = Duration::from_hours(6);

/// So long a silence is no dump: with `serverSelectionTimeoutMS` in its connection string mongodump waits for a server
/// that is gone without an end, and does not obey a SIGTERM either.
pub(super) const SILENCE: Duration = Duration::from_mins(5);
/// What a pipe holds on Linux; so many of these are read before they are asked for.
const PIPE_BYTES: usize = 64 << 10;
const CHUNKS_AHEAD: usize = 16;

/// How a `done dumping` line begins, behind its time.
const DONE_BEGINS: &str = "\tdone dumping ";
/// A name has at most 255 bytes.
const LONGEST_DONE_BYTES: usize = 1 << 10;
/// `done dumping` lines: with backticks since 100.16, without before.
static DONE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?s)done dumping (?:`(.+)`|(\S.*)) \((\d+) documents?\)$")
        .expect("the pattern is a constant")
});

/// The line about the oplog, which has no `done dumping` line.
static OPLOG: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\tdumped (\d+) oplog entr(?:y|ies)$").expect("the pattern is a constant"));

/// What is dumped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// One database, without the named collections and without those whose names begin so, also where they are created
    /// while mongodump starts.
    Database {
        name: &'a str,
        left_out: &'a [String],
        left_out_prefix: Option<&'a str>,
    },
    /// Every database but `local`. Only so does mongodump take the oplog, and only so it takes no list of exceptions.
    Everything { oplog: bool },
}

/// A dump that ended well, as far as mongodump knows.
#[derive(Debug)]
pub struct Dumped<T> {
    /// What the consumer of the stream made of it.
    pub value: T,
    /// Documents per namespace as mongodump counted them.
    pub counts: BTreeMap<String, u64>,
}

/// In which order collections come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpOrder {
    /// Several at once, in turns.
    Mixed,
    /// One after the other, in the same order each time.
    Same,
}

/// Dumps `scope` and hands the uncompressed archive to `consume`.
pub fn archive<T>(
    sh: &Shell,
    uri: &Secret,
    scope: Scope,
    order: DumpOrder,
    consume: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<Dumped<T>> {
    // A database in the connection string would narrow a dump of everything.
    let config = mongo_config::text(uri, scope.database())?;
    let (path, mut options) = (mongo_config::STDIN, scope.options());
    if order == DumpOrder::Same {
        options.push("--numParallelCollections=1".to_owned());
    }
    let counts = Arc::new(Mutex::new(Counts::default()));
    let seen = Arc::clone(&counts);
    let exec = Exec::new(cmd!(sh, "mongodump --config {path} {options...} --archive"));
    let ended = Cell::new(false);
    let silence = longest_silence(SILENCE)?;
    let (consumed, finished) = exec
        .stdin(config)
        .deadline(DEADLINE)
        .on_stderr(move |line| {
            report::trace(line);
            lock(&seen).add(line);
        })
        .stream_out(|stdout| {
            consume(&mut Stream {
                arriving: pump(stdout),
                chunk: Cursor::default(),
                silence,
                ended: &ended,
            })
        })?;
    let value = judge(consumed, &finished, ended.get())?;
    let counts = std::mem::take(&mut lock(&counts).documents);
    Ok(Dumped { value, counts })
}

impl<'a> Scope<'a> {
    fn database(self) -> &'a str {
        match self {
            Self::Database { name, .. } => name,
            Self::Everything { .. } => "",
        }
    }

    fn options(self) -> Vec<String> {
        match self {
            Self::Database {
                name,
                left_out,
                left_out_prefix,
            } => {
                let left_out = left_out.iter().map(|name| format!("--excludeCollection={name}"));
                let prefix = left_out_prefix.map(|prefix| format!("--excludeCollectionsWithPrefix={prefix}"));
                let database = format!("--db={name}");
                [database].into_iter().chain(left_out).chain(prefix).collect()
            }
            Self::Everything { oplog: true } => vec!["--oplog".to_owned()],
            Self::Everything { oplog: false } => Vec::new(),
        }
    }
}

/// The archive as it comes.
struct Stream<'a> {
    arriving: Receiver<std::io::Result<Vec<u8>>>,
    chunk: Cursor<Vec<u8>>,
    silence: Duration,
    /// Set when mongodump has closed its side.
    ended: &'a Cell<bool>,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.chunk.read(buffer)?;
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        match self.arriving.recv_timeout(self.silence) {
            Ok(chunk) => {
                self.chunk = Cursor::new(chunk?);
                self.chunk.read(buffer)
            }
            Err(RecvTimeoutError::Disconnected) => {
                self.ended.set(true);
                Ok(0)
            }
            Err(RecvTimeoutError::Timeout) => {
                let silent = format!("mongodump sent nothing for {} s", self.silence.as_secs());
                Err(std::io::Error::new(ErrorKind::TimedOut, silent))
            }
        }
    }
}

/// Reads in a thread of its own: a read of a pipe has no deadline.
fn pump(mut stdout: PipeReader) -> Receiver<std::io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::sync_channel(CHUNKS_AHEAD);
    std::thread::spawn(move || {
        loop {
            let mut chunk = vec![0; PIPE_BYTES];
            let read = match stdout.read(&mut chunk) {
                Ok(0) => return,
                Ok(count) => {
                    chunk.truncate(count);
                    Ok(chunk)
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            if sender.send(read).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Which of the two failed first: our side, so that mongodump was ended, or mongodump, so that its stream ended early.
fn judge<T>(consumed: Result<T>, finished: &Finished, ended: bool) -> Result<T> {
    let well = finished.code == Some(0);
    match consumed {
        Ok(value) if well => Ok(value),
        Ok(_) => Err(finished.error()).context("the dump is not complete"),
        Err(error) if well || !ended => Err(error),
        Err(error) => Err(finished.error()).context(format!("the dump broke off ({error:#})")),
    }
}

/// What mongodump's lines amount to.
#[derive(Debug, Default)]
struct Counts {
    documents: BTreeMap<String, u64>,
    /// The `done dumping` line that has begun: the name of a collection may have line breaks, which mongodump prints as they are.
    begun: Option<String>,
}

impl Counts {
    fn add(&mut self, line: &str) {
        let text = match self.begun.take() {
            Some(begun) if !line.contains(DONE_BEGINS) => format!("{begun}\n{line}"),
            _ => line.to_owned(),
        };
        match parse_done(&text) {
            Some((namespace, documents)) => {
                self.documents.insert(namespace, documents);
            }
            None if text.contains(DONE_BEGINS) && text.len() < LONGEST_DONE_BYTES => self.begun = Some(text),
            None => {}
        }
    }
}

fn parse_done(line: &str) -> Option<(String, u64)> {
    if let Some(found) = OPLOG.captures(line) {
        return Some((OPLOG_COLLECTION.to_owned(), found[1].parse().ok()?));
    }
    let found = DONE.captures(line)?;
    let namespace = found.get(1).or_else(|| found.get(2))?.as_str().to_owned();
    Some((namespace, found[3].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_line_breaks_are_read_over_several_lines() {
        let mut counts = Counts::default();
        for line in [
            "t\tdone dumping `shop.a",
            "b",
            "",
            "c` (3 documents)",
            "t\tdone dumping `shop.cut",
            "t\tdone dumping shop.users (1 document)",
            "t\twriting `shop.other` to an archive",
        ] {
            counts.add(line);
        }
        let expected = [("shop.a\nb\n\nc".to_owned(), 3), ("shop.users".to_owned(), 1)];
        assert_eq!(counts.documents, BTreeMap::from(expected));
    }

    #[test]
    fn both_forms_of_the_done_line_are_read() {
        for (line, expected) in [
            (
                "2026-01-02T03:04:05.678+0000\tdone dumping `shop.a b` (12 documents)",
                Some(("shop.a b", 12)),
            ),
            (
                "2026-01-02T03:04:05.678+0000\tdone dumping shop.users (1 document)",
                Some(("shop.users", 1)),
            ),
            (
                "x\tdone dumping shop.odd (1 document) (0 documents)",
                Some(("shop.odd (1 document)", 0)),
            ),
            ("x\t\tdumped 1 oplog entry", Some(("oplog", 1))),
            ("x\t\tdumped 20 oplog entries", Some(("oplog", 20))),
            ("x\twriting `shop.users` to archive on stdout", None),
            ("x\tdone dumping shop.users (many documents)", None),
        ] {
            let expected = expected.map(|(name, count)| (name.to_owned(), count));
            assert_eq!(parse_done(line), expected, "{line}");
        }
    }
}
