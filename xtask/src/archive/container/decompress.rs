//! Takes the gzip apart, on all cores where the members say how long they are.

use std::io::{BufRead, Read};
use std::thread::JoinHandle;

use anyhow::{Context, Result, ensure};

use super::gzip::{self, HEADER_BYTES};
use super::ordered::{self, Drain, Feeder, Stopped};
use crate::archive::GZIP;

/// Content of members from other tools comes in parts of this size.
const PART_BYTES: usize = 1024 * 1024;

/// Reads gzip members from `source` on a thread until its end and gives their content in order; an error is the last
/// item. The thread ends with the source, the first error, or the drain.
pub(super) fn start<S>(source: S, workers: usize) -> (Drain<Vec<u8>>, JoinHandle<()>)
where
    S: BufRead + Send + 'static,
{
    let (feeder, drain) = ordered::pool(workers, || |member: Vec<u8>| gzip::unpack(&member));
    let feeding = std::thread::spawn(move || {
        if let Err(Failure::Damaged(error)) = feed(source, &feeder) {
            let _ = feeder.pass(Err(error));
        }
    });
    (drain, feeding)
}

enum Failure {
    Damaged(anyhow::Error),
    /// Nobody wants the rest.
    Stopped,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Damaged(error)
    }
}

impl From<Stopped> for Failure {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

fn feed(mut source: impl BufRead, feeder: &Feeder<Vec<u8>, Vec<u8>>) -> Result<(), Failure> {
    loop {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        source
            .by_ref()
            .take(HEADER_BYTES as u64)
            .read_to_end(&mut header)
            .context("cannot read the backup")?;
        if header.is_empty() {
            return Ok(());
        }
        let Some(length) = gzip::member_length(&header)? else {
            source = other_member(header, source, feeder)?;
            continue;
        };
        let mut member = header;
        let rest = (length - HEADER_BYTES) as u64;
        source
            .by_ref()
            .take(rest)
            .read_to_end(&mut member)
            .context("cannot read the backup")?;
        if member.len() < length {
            return Err(anyhow::anyhow!("the file ends inside a gzip member: it was cut short").into());
        }
        feeder.submit(member)?;
    }
}

/// A member written by some other tool: its end is where the decoder says.
fn other_member<S: BufRead>(
    header: Vec<u8>,
    source: S,
    feeder: &Feeder<Vec<u8>, Vec<u8>>,
) -> Result<S, Failure> {
    let known = header.starts_with(&GZIP);
    check(
        known,
        "the file has something that is not gzip, at its start or after its end",
    )?;
    let mut decoder = flate2::bufread::GzDecoder::new(Rejoined {
        header,
        at: 0,
        source,
    });
    loop {
        let mut part = Vec::new();
        decoder
            .by_ref()
            .take(PART_BYTES as u64)
            .read_to_end(&mut part)
            .context("the gzip data is damaged")?;
        if part.is_empty() {
            break;
        }
        feeder.pass(Ok(part))?;
    }
    let rest = decoder.into_inner();
    // A member is longer than our header, except an empty one in a hostile file: those bytes cannot be given back.
    check(
        rest.at == rest.header.len(),
        "a gzip member is too short for a backup",
    )?;
    Ok(rest.source)
}

fn check(holds: bool, otherwise: &'static str) -> Result<()> {
    ensure!(holds, otherwise);
    Ok(())
}

/// The header that was already read, then the rest.
struct Rejoined<S> {
    header: Vec<u8>,
    at: usize,
    source: S,
}

impl<S: BufRead> Read for Rejoined<S> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<S: BufRead> BufRead for Rejoined<S> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.at < self.header.len() {
            Ok(&self.header[self.at..])
        } else {
            self.source.fill_buf()
        }
    }

    fn consume(&mut self, count: usize) {
        if self.at < self.header.len() {
            self.at += count;
        } else {
            self.source.consume(count);
        }
    }
}
