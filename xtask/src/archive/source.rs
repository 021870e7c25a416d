//! A byte stream read ahead in bounded steps.

use std::io::{self, Read};

/// One read, and what the buffer grows by at least.
const STEP_BYTES: usize = 256 * 1024;

/// Reads ahead from `inner` and knows its place in the stream.
///
/// The buffer grows only when it is full of bytes that really arrived, and at most doubles: a length that the
/// stream claims never allocates anything.
#[derive(Debug)]
pub(super) struct Source<R> {
    inner: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of the stream before `start`.
    offset: u64,
    ended: bool,
}

impl<R: Read> Source<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            buffer: vec![0; STEP_BYTES],
            start: 0,
            end: 0,
            offset: 0,
            ended: false,
        }
    }

    /// Where in the stream [`Source::available`] begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes that arrived and were not taken.
    pub(super) fn available(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Waits until `wanted` bytes are available; `false` when the stream ends before.
    pub(super) fn ensure(&mut self, wanted: usize) -> io::Result<bool> {
        while self.end - self.start < wanted {
            if self.ended {
                return Ok(false);
            }
            self.make_room();
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Takes `count` available bytes.
    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        let from = self.start;
        self.start += count;
        self.offset += count as u64;
        &self.buffer[from..self.start]
    }

    pub(super) fn into_inner(self) -> R {
        self.inner
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.end < self.buffer.len() {
            return;
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most three bytes at a time, and an interruption before each.
    struct Drip<'a>(&'a [u8], bool);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let count = self.0.len().min(3).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn gives_every_byte_once_and_knows_the_place() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut source = Source::new(Drip(&bytes, false));
        let mut seen = Vec::new();
        for count in [1, 7, 0, 100, 148] {
            assert!(source.ensure(count).unwrap());
            seen.extend_from_slice(source.take(count));
            assert_eq!(source.offset(), seen.len() as u64);
        }
        assert_eq!(seen, bytes);
        assert!(!source.ensure(1).unwrap());
        assert!(source.available().is_empty());
    }

    #[test]
    fn a_claimed_length_allocates_only_what_arrived() {
        let mut source = Source::new(&[1u8; 10][..]);
        assert!(!source.ensure(usize::MAX).unwrap());
        assert_eq!(source.buffer.len(), STEP_BYTES);
        let large = vec![3u8; 5 * STEP_BYTES];
        let mut source = Source::new(&large[..]);
        assert!(source.ensure(large.len()).unwrap());
        assert!(source.buffer.len() <= 2 * large.len());
        assert_eq!(source.take(large.len()), large);
    }
}
