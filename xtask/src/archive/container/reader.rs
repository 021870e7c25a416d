//! Reads a backup file back: a stream of bytes as mongodump wrote it, every layer checked.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::input::{FileDigest, HashedFile};
use super::ordered::Drain;
use super::tar_member::{self, BLOCK_BYTES};
use super::{
    BaseArchive, MANIFEST_NAME, MAX_CHUNK_BYTES, MAX_MANIFEST_BYTES, StoredArchive, chunk_name, decompress,
    segment,
};
use crate::archive::keys::{Identities, KeyError};
use crate::domain::manifest::{MANIFEST_SCHEMA, Manifest, check_backup_id};

/// First line of every age file.
const AGE_START: &[u8] = b"age-encryption.org/v1\n";
const READ_BYTES: usize = 256 * 1024;
/// A tar ends in two blocks of zeros; other tools pad it to a multiple of their record size.
const MAX_TAR_END_BYTES: usize = 1024 * 1024;

/// Size and SHA-256 of a file as it is.
pub fn digest_file(path: &Path) -> Result<FileDigest> {
    HashedFile::open(path)?
        .finish()
        .with_context(|| format!("cannot read {}", path.display()))
}

/// Checks size and SHA-256 of a file as stored, before anything in it is used.
pub fn verify_file(path: &Path, expected: &FileDigest) -> Result<()> {
    let found = digest_file(path)?;
    ensure!(
        found.size_bytes == expected.size_bytes,
        "{} has {} bytes, but {} were stored: it is not the whole file",
        path.display(),
        found.size_bytes,
        expected.size_bytes
    );
    ensure!(
        found.sha256 == expected.sha256,
        "{} is damaged or another file: its SHA-256 is {}, not {}",
        path.display(),
        found.sha256,
        expected.sha256
    );
    Ok(())
}

/// Streams the archive out of a backup file, full or differential. The end of the stream is reached only if everything was in order,
/// the manifest included.
pub struct ContainerReader {
    content: Content,
    file: HashedFile,
    feeding: Option<JoinHandle<()>>,
    state: State,
    chunks: u64,
    archive_bytes: u64,
    /// Sizes of the first and the latest chunk; a latest chunk smaller than the first must be the last.
    chunk_bytes: (u64, u64),
    manifest: Option<Manifest>,
    /// What a differential backup builds on.
    base: Option<BaseArchive>,
    /// The segment that is being given out, unpacked, and how much of it was.
    segment: (Vec<u8>, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A tar header is next.
    Header,
    /// Inside a chunk: bytes of it that are left, and the padding after it.
    Chunk {
        left: u64,
        padding: usize,
    },
    /// Inside an unpacked segment.
    Segment,
    End,
    Failed,
}

impl ContainerReader {
    /// Opens a backup; `identities` are needed for an encrypted one. `workers` threads unpack.
    pub fn open(path: &Path, identities: Option<&Identities>, workers: usize) -> Result<Self> {
        let file = HashedFile::open(path)?;
        let source =
            decrypt(file.clone(), identities).with_context(|| format!("cannot open {}", path.display()))?;
        let (drain, feeding) = decompress::start(source, workers);
        Ok(Self {
            content: Content {
                drain: Some(drain),
                part: Vec::new(),
                at: 0,
            },
            file,
            feeding: Some(feeding),
            state: State::Header,
            chunks: 0,
            archive_bytes: 0,
            chunk_bytes: (0, 0),
            manifest: None,
            base: None,
            segment: (Vec::new(), 0),
        })
    }

    /// The same for a differential backup, which `base` is the base of.
    #[must_use]
    pub fn with_base(self, base: BaseArchive) -> Self {
        Self {
            base: Some(base),
            ..self
        }
    }

    /// The manifest, once the stream was read to its end.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Stops reading and returns the digest of the whole file as stored, whatever was wrong inside it.
    ///
    /// # Errors
    /// The base of a differential backup is not the file that it was, or nothing can be read.
    pub fn finish(mut self) -> Result<FileDigest> {
        let base = self.base.take().map_or(Ok(()), BaseArchive::finish);
        // The thread stops when nobody takes its results; only then is the rest of the file ours to read.
        self.content.drain = None;
        if let Some(feeding) = self.feeding.take() {
            feeding
                .join()
                .map_err(|_| anyhow!("the thread that reads the backup panicked"))?;
        }
        let digest = self.file.clone().finish().context("cannot read the backup")?;
        base.map(|()| digest)
    }

    fn next_member(&mut self) -> Result<State> {
        let mut header = [0; BLOCK_BYTES];
        self.content
            .read_exact(&mut header, "the tar ends before the manifest")?;
        let (name, length) = tar_member::parse(&header)?;
        let padding = tar_member::padding(length);
        if name == MANIFEST_NAME {
            let manifest = self.content.read_manifest(length, padding)?;
            self.check_manifest(&manifest)?;
            self.manifest = Some(manifest);
            return Ok(State::End);
        }
        if let Some(prefix) = segment::prefix_of(&name, self.chunks) {
            self.read_segment(&name, &prefix, length, padding)?;
            return Ok(State::Segment);
        }
        let expected = chunk_name(self.chunks);
        ensure!(
            name == expected && self.base.is_none(),
            "the tar has a member {name:?} where {expected:?} should be"
        );
        ensure!(
            length > 0 && length <= MAX_CHUNK_BYTES as u64,
            "chunk {name:?} has the impossible size {length}"
        );
        let (first, latest) = self.chunk_bytes;
        ensure!(
            first == latest,
            "chunk {:?} is not the last but smaller than the others",
            self.chunks - 1
        );
        ensure!(
            self.chunks == 0 || length <= first,
            "chunk {name:?} is larger than the others"
        );
        self.chunk_bytes = (if self.chunks == 0 { length } else { first }, length);
        self.chunks += 1;
        self.archive_bytes += length;
        Ok(State::Chunk {
            left: length,
            padding,
        })
    }

    fn read_segment(&mut self, name: &str, prefix: &Range<u64>, length: u64, padding: usize) -> Result<()> {
        let base = self.base.as_mut();
        let base =
            base.context("it is a differential backup, and the full backup that it builds on was not given")?;
        ensure!(
            length > 0 && length <= MAX_CHUNK_BYTES as u64,
            "segment {name:?} has the impossible size {length}"
        );
        let packed = self.content.read_bytes(length, "the tar ends inside a segment")?;
        self.content.read_zeros(padding)?;
        let plain = segment::unpack(base.range(prefix)?, &packed);
        let id = &base.base().id;
        let plain = plain.with_context(|| {
            format!("segment {name:?} does not unpack with the full backup {id}: it or its base is damaged or another one")
        })?;
        self.chunks += 1;
        self.archive_bytes += plain.len() as u64;
        self.segment = (plain, 0);
        Ok(())
    }

    fn check_manifest(&self, manifest: &Manifest) -> Result<()> {
        ensure!(
            manifest.schema == MANIFEST_SCHEMA,
            "the manifest has the unknown schema {:?}",
            manifest.schema
        );
        check_backup_id(&manifest.id)?;
        let stated = (manifest.chunks, manifest.archive_bytes);
        ensure!(
            stated == (self.chunks, self.archive_bytes),
            "the manifest states (chunks, bytes) {stated:?}, the tar has {:?}",
            (self.chunks, self.archive_bytes)
        );
        let base = self.base.as_ref().map(BaseArchive::base);
        ensure!(
            manifest.base.as_ref() == base,
            "the manifest states the base {:?}, and {base:?} was read",
            manifest.base
        );
        let first = self.chunk_bytes.0;
        let right = if base.is_some() {
            true
        } else if self.chunks > 1 {
            first == manifest.chunk_bytes
        } else {
            first <= manifest.chunk_bytes
        };
        ensure!(
            right,
            "the manifest states chunks of {} bytes, the tar has {first}",
            manifest.chunk_bytes
        );
        Ok(())
    }

    fn advance(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            match self.state {
                State::Header => self.state = self.next_member()?,
                State::Chunk { left: 0, padding } => {
                    self.content.read_zeros(padding)?;
                    self.state = State::Header;
                }
                State::Chunk { left, padding } => {
                    let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    let count = self.content.read(&mut buffer[..wanted])?;
                    ensure!(
                        count > 0 || wanted == 0,
                        "the tar ends inside chunk {}",
                        self.chunks - 1
                    );
                    self.state = State::Chunk {
                        left: left - count as u64,
                        padding,
                    };
                    return Ok(count);
                }
                State::Segment => {
                    let (plain, at) = &mut self.segment;
                    let count = buffer.len().min(plain.len() - *at);
                    if count == 0 && !buffer.is_empty() {
                        self.state = State::Header;
                        continue;
                    }
                    buffer[..count].copy_from_slice(&plain[*at..*at + count]);
                    *at += count;
                    return Ok(count);
                }
                State::End => return Ok(0),
                State::Failed => bail!("reading the backup failed before"),
            }
        }
    }
}

impl StoredArchive for ContainerReader {
    fn digest(self: Box<Self>) -> Result<FileDigest> {
        self.finish()
    }
}

impl Read for ContainerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.advance(buffer).map_err(|error| {
            self.state = State::Failed;
            io::Error::other(error)
        })
    }
}

impl fmt::Debug for ContainerReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContainerReader({:?}, chunk {})", self.state, self.chunks)
    }
}

fn decrypt(file: HashedFile, identities: Option<&Identities>) -> Result<Box<dyn BufRead + Send>> {
    let mut file = BufReader::with_capacity(READ_BYTES, file);
    let encrypted = file.fill_buf()?.starts_with(AGE_START);
    if !encrypted {
        return Ok(Box::new(file));
    }
    let identities = identities.ok_or(KeyError::Missing)?;
    let decryptor = age::Decryptor::new_buffered(file).context("its encryption header is damaged")?;
    let plain = decryptor
        .decrypt(identities.iter())
        .map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => anyhow::Error::from(KeyError::Wrong),
            other => anyhow!("it cannot be decrypted: {other}"),
        })?;
    Ok(Box::new(BufReader::with_capacity(READ_BYTES, plain)))
}

/// The uncompressed tar.
struct Content {
    drain: Option<Drain<Vec<u8>>>,
    part: Vec<u8>,
    at: usize,
}

impl Content {
    /// Some bytes; none only at the end.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.at == self.part.len() {
            let Some(part) = self.drain.as_mut().and_then(Iterator::next) else {
                return Ok(0);
            };
            (self.part, self.at) = (part?, 0);
        }
        let count = buffer.len().min(self.part.len() - self.at);
        buffer[..count].copy_from_slice(&self.part[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }

    fn read_exact(&mut self, mut buffer: &mut [u8], otherwise: &'static str) -> Result<()> {
        while !buffer.is_empty() {
            let count = self.read(buffer)?;
            ensure!(count > 0, otherwise);
            buffer = &mut buffer[count..];
        }
        Ok(())
    }

    fn read_zeros(&mut self, count: usize) -> Result<()> {
        let mut zeros = vec![1; count];
        self.read_exact(&mut zeros, "the tar is cut short")?;
        ensure!(
            zeros.iter().all(|byte| *byte == 0),
            "the padding in the tar is not zero"
        );
        Ok(())
    }

    fn read_manifest(&mut self, length: u64, padding: usize) -> Result<Manifest> {
        ensure!(
            length <= MAX_MANIFEST_BYTES,
            "the manifest has the impossible size {length}"
        );
        let text = self.read_bytes(length, "the manifest is cut short")?;
        self.read_zeros(padding)?;
        self.check_end()?;
        serde_json::from_slice(&text).context("the manifest is not readable")
    }

    /// So many bytes; the memory grows with what arrives, not with what a header claims.
    fn read_bytes(&mut self, length: u64, otherwise: &'static str) -> Result<Vec<u8>> {
        let length = usize::try_from(length)?;
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let from = bytes.len();
            bytes.resize(length.min(from + READ_BYTES), 0);
            self.read_exact(&mut bytes[from..], otherwise)?;
        }
        Ok(bytes)
    }

    fn check_end(&mut self) -> Result<()> {
        let mut rest = [0; 4096];
        let mut length = 0;
        loop {
            let count = self.read(&mut rest)?;
            if count == 0 {
                break;
            }
            ensure!(
                rest[..count].iter().all(|byte| *byte == 0),
                "the tar has something after the manifest"
            );
            length += count;
            ensure!(length <= MAX_TAR_END_BYTES, "the tar has data after the manifest");
        }
        ensure!(
            length >= 2 * BLOCK_BYTES && length.is_multiple_of(BLOCK_BYTES),
            "the tar has no end"
        );
        Ok(())
    }
}
