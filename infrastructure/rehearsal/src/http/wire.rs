//! Reading HTTP messages from any stream; every read has a bound.

use std::io::{self, Read, Write};

use super::message::Headers;

/// The longest request or status line with its headers.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The largest body: an uploaded application or an artifact.
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;

/// A stream with what was read ahead of the current message.
pub(super) struct Wire<S> {
    stream: S,
    ahead: Vec<u8>,
}

/// The first line of a message and its headers.
pub(super) struct Head {
    pub line: String,
    pub headers: Headers,
}

impl<S: Read + Write> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0_u8; 16 * 1024];
        let count = self.stream.read(&mut piece)?;
        self.ahead.extend_from_slice(&piece[..count]);
        Ok(count)
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.ahead.split_off(count);
        std::mem::replace(&mut self.ahead, rest)
    }

    /// Reads up to the empty line; `None` when the peer closed before it began a message.
    pub(super) fn head(&mut self) -> io::Result<Option<Head>> {
        let end = loop {
            if let Some(at) = find(&self.ahead, b"\r\n\r\n") {
                break at;
            }
            if self.ahead.len() > MAX_HEAD_BYTES {
                return Err(bad("the headers are too long"));
            }
            if self.fill()? == 0 {
                return if self.ahead.is_empty() {
                    Ok(None)
                } else {
                    Err(bad("closed within the headers"))
                };
            }
        };
        let bytes = self.take(end + 4);
        let text = String::from_utf8(bytes).map_err(|_| bad("the headers are not text"))?;
        let mut lines = text.trim_end().split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let mut headers = Headers::default();
        for field in lines {
            let (name, value) = field
                .split_once(':')
                .ok_or_else(|| bad("a header without a colon"))?;
            headers.add(name.trim(), value.trim());
        }
        Ok(Some(Head { line, headers }))
    }

    /// Reads the body that the headers announce; `until_close` for answers that end with their connection.
    pub(super) fn body(&mut self, headers: &Headers, until_close: bool) -> io::Result<Vec<u8>> {
        if headers
            .get("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            return self.chunked();
        }
        match headers.get("content-length") {
            Some(length) => {
                let count = length
                    .parse::<usize>()
                    .map_err(|_| bad("a wrong content length"))?;
                self.exactly(count)
            }
            None if until_close => {
                while self.fill()? > 0 {
                    self.check(self.ahead.len())?;
                }
                Ok(std::mem::take(&mut self.ahead))
            }
            None => Ok(Vec::new()),
        }
    }

    fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        self.check(count)?;
        while self.ahead.len() < count {
            if self.fill()? == 0 {
                return Err(bad("closed within the body"));
            }
        }
        Ok(self.take(count))
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.ahead, b"\r\n") {
                let line = self.take(at + 2);
                return String::from_utf8(line[..at].to_vec())
                    .map_err(|_| bad("a chunk size that is not text"));
            }
            if self.ahead.len() > MAX_HEAD_BYTES || self.fill()? == 0 {
                return Err(bad("closed within a chunk size"));
            }
        }
    }

    fn chunked(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let count = usize::from_str_radix(digits, 16).map_err(|_| bad("a wrong chunk size"))?;
            if count == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            self.check(body.len().saturating_add(count))?;
            body.extend(self.exactly(count)?);
            self.exactly(2)?;
        }
    }

    #[expect(clippy::unused_self, reason = "reads as a rule of the wire")]
    fn check(&self, count: usize) -> io::Result<()> {
        if count > MAX_BODY_BYTES {
            Err(bad("the body is too large"))
        } else {
            Ok(())
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

pub(super) fn bad(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.to_owned())
}
