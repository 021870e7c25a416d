//! The file that a backup is: a tar of chunks of the archive stream, gzipped, and encrypted with age if wanted.
//!
//! `data/00000000`, `data/00000001`, … hold the stream, all but the last of one size; `manifest.json` comes last.
//! The gzip is a concatenation of members, each compressed by whichever core was free, so it needs no tool of
//! ours: `age -d -i KEY FILE | tar -xzO --wildcards 'data/*' | mongorestore --archive`.
//!
//! A differential backup has segments (`segment.rs`) in place of chunks.

mod decompress;
mod file;
mod gzip;
mod input;
mod ordered;
mod output;
mod reader;
mod segment;
mod tar_member;
mod writer;

#[cfg(test)]
mod tests;

pub use file::PendingFile;
pub use input::FileDigest;
pub use reader::{ContainerReader, digest_file, verify_file};
pub use segment::{BaseArchive, StoredArchive};
pub(super) use segment::{MAX_PREFIX_BYTES, SEGMENT_BYTES};
pub use writer::{ContainerOptions, ContainerWriter};

/// Last member of the tar.
const MANIFEST_NAME: &str = "manifest.json";
/// What one gzip member may hold at most; also the largest chunk that can be asked for.
const MAX_CHUNK_BYTES: usize = 32 * 1024 * 1024;
/// Refused above: the manifest is kept in memory. Enough for every prelude that the archive reader accepts.
const MAX_MANIFEST_BYTES: u64 = 256 * 1024 * 1024;

/// Name of the chunk with this number.
fn chunk_name(number: u64) -> String {
    format!("data/{number:08}")
}

/// How many threads work on one file: more would only take memory from the rest of the machine.
pub fn default_workers() -> usize {
    std::thread::available_parallelism()
        .map_or(1, std::num::NonZero::get)
        .min(8)
}
