//! `mongorestore`: an archive stream into collections of other names, beside the live ones.
//!
//! Never with `--drop`: with a typing error in the renaming it drops what it should have left alone. So the renaming is
//! checked with a dry run first. Exit code 0 is not proof: documents that the server refuses are only counted in the
//! last line, and an option `--nsInclude` that matches nothing is a success too.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use regex::Regex;
use xshell::{Cmd, Shell, cmd};

use crate::connection::longest_silence;
use crate::exec::{Exec, Finished, is_broken_pipe};
use crate::report;
use crate::secret::Secret;
use crate::sync::lock;
use crate::tools::mongo_config;
use crate::tools::mongodump::SILENCE;

/// A restore that takes longer is stopped.
const DEADLINE: Duration = Duration::from_hours(6);
/// Names that are left out in one run; more would not fit an argument list.
pub const MAX_EXCLUDED: usize = 2_000;

/// `N document(s) restored successfully. M document(s) failed to restore.`
static LAST_LINE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(\d+) document\(s\) restored successfully\. (\d+) document\(s\) failed to restore\.")
        .expect("the pattern is a constant")
});

/// What is restored, from where to where.
#[derive(Debug)]
pub struct Request<'a> {
    pub uri: &'a Secret,
    /// The database in the archive, and the one that it goes to.
    pub from_database: &'a str,
    pub to_database: &'a str,
    /// Put before the name of every collection.
    pub prefix: &'a str,
    /// Collections that must arrive, by their names in the archive.
    pub collections: &'a [String],
    /// Names in the archive that are left out (views: they are not renamed inside). To name what is included instead is of no use:
    /// the tool includes all of the database that its connection string has, whatever `--nsInclude` names.
    pub excluded: &'a [String],
    /// Take documents that the collection's own validator refuses: the live collection has them too.
    pub bypass_validation: bool,
    /// Collections at once, and inserting threads for each.
    pub parallel: usize,
    /// Insert the documents of each collection in their order: with several threads a capped one gets another.
    pub in_order: bool,
}

/// What mongorestore said that it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    pub documents: u64,
    pub duration: Duration,
}

/// Where each namespace of the archive would go, without changing anything: an error unless it is exactly as requested.
pub fn check_renaming(
    sh: &Shell,
    request: &Request,
    feed: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<()> {
    let found = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&found);
    let exec = Exec::new(request.command(sh, &["--dryRun", "-vv"])?)
        .stdout_file(request.config()?)
        // It reads only the archive's beginning.
        .deadline(longest_silence(SILENCE)?)
        .on_stderr(move |line| {
            if let Some((_, renaming)) = line.split_once("found collection ")
                && renaming.contains(" bson to restore to ")
            {
                let renaming = renaming.replace('`', "");
                lock(&seen).insert(renaming);
            }
        });
    let (written, finished) = exec.stream_in(|pipe| match feed(pipe) {
        // It stops reading after the beginning.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        other => other,
    })?;
    written?;
    finished.checked().context("the dry run of the restore failed")?;
    let found = std::mem::take(&mut *lock(&found));
    let expected = request.collections.iter().map(|name| request.renaming(name));
    let expected: BTreeSet<String> = expected.collect();
    if let Some(strange) = found.difference(&expected).next() {
        bail!("mongorestore would restore {strange}: that is not what was asked for");
    }
    if let Some(missing) = expected.difference(&found).next() {
        bail!("mongorestore would not restore {missing}");
    }
    Ok(())
}

/// Restores what `feed` writes. Success is exit code 0 and a last line without failures.
pub fn restore(
    sh: &Shell,
    request: &Request,
    feed: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<Restored> {
    let last = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&last);
    let exec = Exec::new(request.command(sh, &[])?).stdout_file(request.config()?);
    let (sign, signs) = mpsc::channel();
    let (printed, written) = (sign.clone(), sign);
    let shown = Mutex::new(HashSet::new());
    let exec = exec.progress(longest_silence(SILENCE)?, signs);
    let exec = exec.deadline(DEADLINE).on_stderr(move |line| {
        report::trace(line);
        // It prints how far it is all the time, also where it is no farther than before.
        let text = line.split_once('\t').map_or(line, |(_, text)| text);
        if lock(&shown).insert(text.to_owned()) {
            printed.send(()).ok();
        }
        if let Some(counts) = parse_last_line(line) {
            *lock(&seen) = Some(counts);
        }
    });
    let (written, finished) = exec.stream_in(|pipe| feed(&mut Watched { pipe, written }))?;
    let counts = *lock(&last);
    judge(written, &finished, counts)
}

/// What the tool takes of its input is a sign of progress.
struct Watched<'a> {
    pipe: &'a mut dyn Write,
    written: mpsc::Sender<()>,
}

impl Write for Watched<'_> {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        let count = self.pipe.write(buffer)?;
        self.written.send(()).ok();
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.pipe.flush()
    }
}

fn judge(written: Result<()>, finished: &Finished, counts: Option<(u64, u64)>) -> Result<Restored> {
    match written {
        // It closed its input because it failed: its own words say why.
        Err(error) if is_broken_pipe(&error) => {
            return Err(finished.error()).context("the restore broke off");
        }
        Err(error) => return Err(error),
        Ok(()) if finished.code != Some(0) => return Err(finished.error()).context("the restore failed"),
        Ok(()) => {}
    }
    let (documents, failed) = counts.context("mongorestore did not report how many documents it restored")?;
    ensure!(
        failed == 0,
        "{failed} documents could not be restored, {documents} were"
    );
    Ok(Restored {
        documents,
        duration: finished.duration,
    })
}

impl Request<'_> {
    fn config(&self) -> Result<File> {
        mongo_config::file(self.uri, self.to_database)
    }

    fn command<'sh>(&self, sh: &'sh Shell, more: &[&str]) -> Result<Cmd<'sh>> {
        ensure!(
            self.excluded.len() <= MAX_EXCLUDED,
            "{} collections and views are more than one run can leave out",
            self.excluded.len()
        );
        let (from, to) = (escaped(self.from_database), escaped(self.to_database));
        let prefix = self.prefix;
        let path = mongo_config::STDOUT;
        let excluded = self.excluded.iter();
        let excluded: Vec<String> = excluded
            .map(|name| format!("--nsExclude={from}.{}", escaped(name)))
            .collect();
        let bypass = self.bypass_validation.then_some("--bypassDocumentValidation");
        let parallel = self.parallel.to_string();
        let inserting = if self.in_order { "1" } else { parallel.as_str() };
        // Indexes are ours to build: a TTL index must not let documents expire before they were compared.
        let command = cmd!(
            sh,
            "mongorestore --config {path} --archive --nsInclude={from}.* {excluded...} --nsFrom={from}.*
             --nsTo={to}.{prefix}* --stopOnError --noIndexRestore {bypass...} --numParallelCollections={parallel}
             --numInsertionWorkersPerCollection={inserting}"
        );
        Ok(command.args(more))
    }

    /// The words of the dry run for one collection, without the backticks that only newer versions print.
    fn renaming(&self, collection: &str) -> String {
        let (from, to, prefix) = (self.from_database, self.to_database, self.prefix);
        let line = format!("{from}.{collection} bson to restore to {to}.{prefix}{collection}");
        line.replace('`', "")
    }
}

/// A name inside a pattern of the tools: `*` and `$` mean something there.
fn escaped(name: &str) -> String {
    let special = |c: char| matches!(c, '*' | '$' | '\\');
    name.chars().fold(String::new(), |mut text, c| {
        if special(c) {
            text.push('\\');
        }
        text.push(c);
        text
    })
}

fn parse_last_line(line: &str) -> Option<(u64, u64)> {
    let found = LAST_LINE.captures(line)?;
    Some((found[1].parse().ok()?, found[2].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_read_and_names_in_patterns_are_escaped() {
        let line = "2026-01-02T03:04:05.678+0000\t376 document(s) restored successfully. 2 document(s) failed to restore.";
        assert_eq!(parse_last_line(line), Some((376, 2)));
        assert_eq!(
            parse_last_line("finished restoring a.b (3 documents, 0 failures)"),
            None
        );
        assert_eq!(escaped(r"a*b$c\d"), r"a\*b\$c\\d");
    }
}
