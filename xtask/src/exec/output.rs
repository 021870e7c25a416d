//! Reading what a child prints, with bounds.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, PipeReader, Read};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};

pub(super) type LineCallback = Arc<dyn Fn(&str) + Send + Sync>;

/// A line is cut here: a child that never writes a newline must not fill our memory.
const LINE_LIMIT_BYTES: u64 = 16 << 10;

/// Reads at most `limit_bytes`; more is an error, not a cut.
pub(super) fn read_bounded(reader: impl Read, limit_bytes: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(limit_bytes)?;
    reader
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .context("cannot read")?;
    if bytes.len() > limit_bytes {
        bail!("more than {limit_bytes} bytes");
    }
    Ok(bytes)
}

/// Standard output as text. It is not scrubbed: it is data for the caller, who shows none of it unscrubbed.
pub(super) fn collect_stdout(reader: PipeReader, limit_bytes: usize) -> Result<String> {
    let bytes = read_bounded(reader, limit_bytes)?;
    String::from_utf8(bytes).context("the output is not UTF-8")
}

/// The last `tail_lines` lines of standard error; each line goes to `callback` as it comes. Nothing is scrubbed: callers read
/// names from lines, and show none of them unscrubbed.
pub(super) fn collect_stderr(
    reader: PipeReader,
    tail_lines: usize,
    callback: Option<&LineCallback>,
) -> Vec<String> {
    let mut reader = BufReader::new(reader);
    let mut tail = VecDeque::with_capacity(tail_lines);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_LIMIT_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return tail.into(),
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() {
            continue;
        }
        if let Some(callback) = callback {
            callback(text);
        }
        if tail.len() == tail_lines {
            tail.pop_front();
        }
        tail.push_back(text.trim_end().to_owned());
    }
}
