//! Backups as files: `mongodump --archive` streams, read without belief.

mod bson;
pub mod crc;
pub mod digest;
pub mod names;
mod prelude;
pub mod reader;
mod source;

#[cfg(test)]
mod reader_tests;
#[cfg(test)]
mod testing;

pub use digest::{Check, ContentDigest, DigestPool};
pub use prelude::{Prelude, PreludeNamespace};
pub use reader::{ArchiveReader, Event};
