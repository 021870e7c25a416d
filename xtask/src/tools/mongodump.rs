//! `mongodump`: one database as an archive stream.
//!
//! Exit code 0 is not proof, and neither is a well-formed archive: after a dead cursor or a SIGTERM the archive
//! ends correctly and only the exit code tells; with a wrong name of the database everything is well and nothing is
//! in it. So what mongodump says of each collection is handed back, to be compared with what was counted. Never with
//! `--gzip`: that loses the errors of a full disk.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{PipeReader, Read};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use regex::Regex;
use xshell::{Shell, cmd};

pub use crate::domain::inventory::OWN_PREFIXES;
use crate::exec::{Exec, Finished};
use crate::report;
use crate::secret::Secret;
use crate::tools::mongo_config::ConfigFile;

/// A dump that takes longer is stopped.
const DEADLINE: Duration = Duration::from_hours(6);

/// `done dumping` lines: with backticks since 100.16, without before.
static DONE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"done dumping (?:`(.+)`|(\S.*)) \((\d+) documents?\)$").expect("the pattern is a constant")
});

/// A dump that ended well, as far as mongodump knows.
#[derive(Debug)]
pub struct Dumped<T> {
    /// What the consumer of the stream made of it.
    pub value: T,
    /// Documents per namespace as mongodump counted them; names are scrubbed like everything it prints.
    pub counts: BTreeMap<String, u64>,
    pub duration: Duration,
}

/// Dumps `database` and hands the uncompressed archive to `consume`.
pub fn archive<T>(
    sh: &Shell,
    uri: &Secret,
    database: &str,
    consume: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<Dumped<T>> {
    let config = ConfigFile::write(uri, database)?;
    let path = config.path();
    let left_out = OWN_PREFIXES.map(|prefix| format!("--excludeCollectionsWithPrefix={prefix}"));
    let counts = Arc::new(Mutex::new(BTreeMap::new()));
    let seen = Arc::clone(&counts);
    let exec = Exec::new(cmd!(
        sh,
        "mongodump --config {path} --db {database} {left_out...} --archive"
    ));
    let ended = Cell::new(false);
    let (consumed, finished) = exec
        .deadline(DEADLINE)
        .on_stderr(move |line| {
            report::trace(line);
            if let Some((namespace, documents)) = parse_done(line) {
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(namespace, documents);
            }
        })
        .stream_out(|stdout| {
            consume(&mut Stream {
                stdout,
                config: Some(config),
                ended: &ended,
            })
        })?;
    let value = judge(consumed, &finished, ended.get())?;
    let counts = std::mem::take(&mut *counts.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Dumped {
        value,
        counts,
        duration: finished.duration,
    })
}

/// The archive as it comes; the configuration is removed from the disk with the first bytes.
struct Stream<'a> {
    stdout: PipeReader,
    config: Option<ConfigFile>,
    /// Set when mongodump has closed its side.
    ended: &'a Cell<bool>,
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.stdout.read(buffer)?;
        self.config = None;
        self.ended.set(count == 0 && !buffer.is_empty());
        Ok(count)
    }
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

fn parse_done(line: &str) -> Option<(String, u64)> {
    let found = DONE.captures(line)?;
    let namespace = found.get(1).or_else(|| found.get(2))?.as_str().to_owned();
    Some((namespace, found[3].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("x\twriting `shop.users` to archive on stdout", None),
            ("x\tdone dumping shop.users (many documents)", None),
        ] {
            let expected = expected.map(|(name, count)| (name.to_owned(), count));
            assert_eq!(parse_done(line), expected, "{line}");
        }
    }
}
