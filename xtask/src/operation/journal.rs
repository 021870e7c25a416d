//! The local journal of one operation: `<state_dir>/operations/<id>/journal.jsonl`, a JSON value a line.
//!
//! A line counts once its newline is on the disk: each is flushed to the device before [`Journal::append`] returns,
//! and what follows the last newline (we were killed while writing) is dropped when the journal is opened again.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::domain::operation::OperationId;
use crate::error::CliError;
use crate::exec::read_bounded;
use crate::report::json_line;

/// The largest journal that is read: an operation writes some hundred lines.
const LIMIT_BYTES: usize = 64 << 20;
const FILE_NAME: &str = "journal.jsonl";
/// How often a journal that is locked is asked for again: for a second in all.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A journal open for appending; no other process can open it meanwhile.
#[derive(Debug)]
pub struct Journal {
    file: File,
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

    /// Opens the journal in this file.
    pub fn open_file(path: PathBuf) -> Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .with_context(|| format!("cannot open the journal {}", path.display()))?;
        lock(&file, &path)?;
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
        Ok(Self { file, path })
    }

    /// Appends one value and returns when it is on the disk. Secrets in its texts are blanked out.
    pub fn append<T: Serialize>(&mut self, record: &T) -> Result<()> {
        let line = json_line(record)?;
        // One write: a kill leaves a whole line or a cut one, never two mixed.
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data())
            .with_context(|| format!("cannot write to the journal {}", self.path.display()))
    }

    /// Every whole line so far.
    pub fn read<T: DeserializeOwned>(&mut self) -> Result<Vec<T>> {
        let bytes = read_whole(&mut self.file, &self.path)?;
        parse(&bytes, &self.path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads the journal of an operation without locking it; empty where there is none.
pub fn read<T: DeserializeOwned>(ctx: &Context, id: &OperationId) -> Result<Vec<T>> {
    read_file(&ctx.state_dir("operations")?.join(id.as_str()).join(FILE_NAME))
}

/// Reads the journal in this file without locking it; empty where there is none.
pub fn read_file<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    match File::open(path) {
        Ok(mut file) => parse(&read_whole(&mut file, path)?, path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot open the journal {}", path.display())),
    }
}

/// A child that is being started by another thread has a copy of our files for a moment, locks included: one that seems to
/// be held is asked for again before another process is blamed.
fn lock(file: &File, path: &Path) -> Result<()> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
    Err(
        CliError::refused(format!("another process is writing {}", path.display()))
            .live("this process changed nothing")
            .next("wait for the other process to end, or end it, then run the command again")
            .into(),
    )
}

fn read_whole(file: &mut File, path: &Path) -> Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))
        .with_context(|| format!("cannot read the journal {}", path.display()))?;
    read_bounded(&*file, LIMIT_BYTES).with_context(|| format!("cannot read the journal {}", path.display()))
}

fn parse<T: DeserializeOwned>(bytes: &[u8], path: &Path) -> Result<Vec<T>> {
    bytes
        .split_inclusive(|b| *b == b'\n')
        .filter(|line| line.ends_with(b"\n"))
        .enumerate()
        .map(|(at, line)| {
            serde_json::from_slice(line)
                .with_context(|| format!("line {} of the journal {} is damaged", at + 1, path.display()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_cut_last_line_is_dropped_and_writing_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let mut journal = Journal::open_file(path.clone()).unwrap();
        journal.append(&json!({"step": 1})).unwrap();
        journal.append(&json!({"step": 2, "text": "two\nlines"})).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|b| *b == b'\n').unwrap() + 1;
        for cut in first..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut journal = Journal::open_file(path.clone()).unwrap();
            journal.append(&json!({"step": 3})).unwrap();
            let read: Vec<Value> = journal.read().unwrap();
            assert_eq!(read, [json!({"step": 1}), json!({"step": 3})], "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_line_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        std::fs::write(&path, "{\"step\":1}\n{\"ste\n{\"step\":3}\n").unwrap();
        let error = Journal::open_file(path).unwrap().read::<Value>().unwrap_err();
        assert!(
            error.to_string().starts_with("line 2 of the journal"),
            "{error:#}"
        );
    }

    #[test]
    fn a_second_writer_is_refused_until_the_first_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let first = Journal::open_file(path.clone()).unwrap();
        let refused = Journal::open_file(path.clone()).unwrap_err();
        assert_eq!(
            refused.downcast_ref::<CliError>().map(|stop| stop.exit),
            Some(crate::error::ExitKind::Refused)
        );
        drop(first);
        Journal::open_file(path).unwrap();
    }
}
