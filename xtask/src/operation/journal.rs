//! The local journal of one operation: `<state_dir>/operations/<id>/steps.jsonl`, a JSON object a line.
//!
//! Two kinds of lines share the file, told apart by their tag: `entry` (a step of the operation began, is done, or failed)
//! and `event` (a record of the restore that the operation makes).
//!
//! A line counts once its newline is on the disk: each is flushed to the device before [`Journal::append`] returns,
//! and what follows the last newline (the process was killed while it wrote) is dropped when the journal is opened again.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::context::Context;
use crate::domain::operation::OperationId;
use crate::error::CliError;
use crate::error::catalogue::operation as errors;
use crate::exec::read_bounded;
use crate::report::json_line;
use crate::sync::lock;

/// The largest journal that is read: an operation writes some hundred lines.
const LIMIT_BYTES: usize = 64 << 20;
/// The name of the file.
pub const FILE_NAME: &str = "steps.jsonl";
/// How often a locked journal is tried again: for a second in all.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// The tag of the lines that [`crate::operation::run`] writes.
pub const STEP_TAG: &str = "entry";
/// The tag of the lines that a restore writes.
pub const RESTORE_TAG: &str = "event";

/// A journal open for appending. No other process can open it until every clone is dropped.
#[derive(Debug, Clone)]
pub struct Journal {
    file: Arc<Mutex<File>>,
    path: PathBuf,
}

/// The folder of an operation; made when missing.
pub fn operation_dir(ctx: &Context, id: &OperationId) -> Result<PathBuf> {
    let dir = ctx.state_dir("operations")?.join(id.as_str());
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make the folder {}", dir.display()))?;
    Ok(dir)
}

/// The operations that have a folder here, oldest first.
pub fn operations(ctx: &Context) -> Result<Vec<OperationId>> {
    let dir = ctx.state_dir("operations")?;
    let entries = std::fs::read_dir(&dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut ids: Vec<OperationId> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    ids.sort();
    Ok(ids)
}

impl Journal {
    /// Opens the journal of the operation, new or begun by a process that has ended.
    pub fn open(ctx: &Context, id: &OperationId) -> Result<Self> {
        Self::open_file(operation_dir(ctx, id)?.join(FILE_NAME))
    }

    /// Opens the journal of an operation whose lock this process has just taken over. Where the former holder has it open still
    /// (it is stopped, say), we go on in a copy under the same name: what it may yet write reaches nobody.
    pub fn take_over(ctx: &Context, id: &OperationId) -> Result<Self> {
        Self::take_over_file(operation_dir(ctx, id)?.join(FILE_NAME))
    }

    fn take_over_file(path: PathBuf) -> Result<Self> {
        match Self::open_file(path.clone()) {
            Err(error) if is_in_use(&error) => {}
            opened => return opened,
        }
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut copy = tempfile::NamedTempFile::new_in(folder)
            .with_context(|| format!("cannot make a file in {}", folder.display()))?;
        let of_former =
            std::fs::read(&path).with_context(|| format!("cannot read the journal {}", path.display()))?;
        copy.write_all(&of_former)
            .and_then(|()| copy.as_file().sync_all())
            .with_context(|| format!("cannot copy the journal {}", path.display()))?;
        copy.persist(&path)
            .with_context(|| format!("cannot take the place of the journal {}", path.display()))?;
        crate::report::progress(
            "  the process that was replaced has the journal open still: this one continues in a copy",
        );
        Self::open_file(path)
    }

    /// Opens the journal in this file.
    pub fn open_file(path: PathBuf) -> Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| format!("cannot open the journal {}", path.display()))?;
        lock_file(&file, &path)?;
        let bytes = read_whole(&mut file, &path)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64)
                .with_context(|| format!("cannot drop the cut last line of {}", path.display()))?;
        }
        // The name of a new file is lost in a power cut unless its folder is flushed too.
        file.sync_all()
            .and_then(|()| File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all())
            .with_context(|| format!("cannot flush {}", path.display()))?;
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
            path,
        })
    }

    /// Appends one value and returns when it is on the disk. It must hold no secret: see [`json_line`].
    pub fn append<T: Serialize>(&self, record: &T) -> Result<()> {
        let line = json_line(record)?;
        let mut file = lock(&self.file);
        // One write: a kill leaves a whole line or a cut one, never two mixed.
        file.write_all(line.as_bytes())
            .and_then(|()| file.sync_data())
            .with_context(|| format!("cannot write to the journal {}", self.path.display()))
    }
}

/// The lines with this tag in the journal of an operation, without locking it; none where there is no journal.
pub fn read<T: DeserializeOwned>(ctx: &Context, id: &OperationId, tag: &str) -> Result<Vec<T>> {
    read_file(
        &ctx.state_dir("operations")?.join(id.as_str()).join(FILE_NAME),
        tag,
    )
}

/// The lines with this tag in a file, without locking it; none where there is no file.
pub fn read_file<T: DeserializeOwned>(path: &Path, tag: &str) -> Result<Vec<T>> {
    match File::open(path) {
        Ok(mut file) => parse(&read_whole(&mut file, path)?, path, tag),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot open the journal {}", path.display())),
    }
}

fn is_in_use(error: &anyhow::Error) -> bool {
    let in_use = errors::journal_in_use("").code;
    error
        .downcast_ref::<CliError>()
        .is_some_and(|error| error.code == in_use)
}

/// A child that is being started by another thread has a copy of our files for a moment, locks included: one that seems to
/// be held is asked for again before another process is blamed.
fn lock_file(file: &File, path: &Path) -> Result<()> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
    Err(errors::journal_in_use(path.display()).into())
}

fn read_whole(file: &mut File, path: &Path) -> Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))
        .with_context(|| format!("cannot read the journal {}", path.display()))?;
    read_bounded(&*file, LIMIT_BYTES).with_context(|| format!("cannot read the journal {}", path.display()))
}

fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path, tag: &str) -> Result<Vec<T>> {
    let lines = bytes.split_inclusive(|b| *b == b'\n');
    let mut found = Vec::new();
    for (at, line) in lines.filter(|line| line.ends_with(b"\n")).enumerate() {
        let damaged = || format!("line {} of the journal {} is damaged", at + 1, path.display());
        let line: Value = serde_json::from_slice(line).with_context(damaged)?;
        if line.get(tag).is_some() {
            found.push(serde_json::from_value(line).with_context(damaged)?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_cut_last_line_is_dropped_and_writing_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let journal = Journal::open_file(path.clone()).unwrap();
        journal.append(&json!({"step": 1})).unwrap();
        journal.append(&json!({"step": 2, "text": "two\nlines"})).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
        for cut in first..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let journal = Journal::open_file(path.clone()).unwrap();
            journal.append(&json!({"step": 3})).unwrap();
            let read: Vec<Value> = read_file(&path, "step").unwrap();
            assert_eq!(read, [json!({"step": 1}), json!({"step": 3})], "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_line_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        std::fs::write(&path, "{\"step\":1}\n{\"ste\n{\"step\":3}\n").unwrap();
        let error = read_file::<Value>(&path, "step").unwrap_err();
        assert!(
            error.to_string().starts_with("line 2 of the journal"),
            "{error:#}"
        );
    }

    #[test]
    fn lines_of_another_kind_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let journal = Journal::open_file(path.clone()).unwrap();
        journal.append(&json!({"entry": "begun"})).unwrap();
        journal.clone().append(&json!({"event": "verified"})).unwrap();
        journal.append(&json!({"entry": "done"})).unwrap();
        let entries: Vec<Value> = read_file(&path, STEP_TAG).unwrap();
        assert_eq!(entries, [json!({"entry": "begun"}), json!({"entry": "done"})]);
        let events: Vec<Value> = read_file(&path, RESTORE_TAG).unwrap();
        assert_eq!(events, [json!({"event": "verified"})]);
    }

    #[test]
    fn a_second_writer_is_refused_until_the_first_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let first = Journal::open_file(path.clone()).unwrap();
        let refused = Journal::open_file(path.clone()).unwrap_err();
        assert_eq!(
            refused.downcast_ref::<CliError>().map(|stop| stop.exit),
            Some(crate::error::ExitKind::Refused)
        );
        drop(first);
        Journal::open_file(path).unwrap();
    }

    #[test]
    fn who_took_over_goes_on_beside_a_former_writer_that_is_still_there_and_whose_late_lines_reach_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let former = Journal::open_file(path.clone()).unwrap();
        former.append(&json!({"step": 1})).unwrap();
        let taker = Journal::take_over_file(path.clone()).unwrap();
        former.append(&json!({"step": "late"})).unwrap();
        taker.append(&json!({"step": 2})).unwrap();
        let read: Vec<Value> = read_file(&path, "step").unwrap();
        assert_eq!(read, [json!({"step": 1}), json!({"step": 2})]);
        // Only one other process at a time, as before.
        assert!(Journal::open_file(path).is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
