//! Backups as files: `mongodump --archive` streams, read without belief, stored so that stock tools can restore them.
//!
//! [`store()`] takes a backup in one pass, [`verify()`] reads one whole and compares everything that is known about it,
//! [`ContainerReader`] gives the archive back for a restore.

mod bson;
pub mod container;
pub mod crc;
mod differential;
pub mod digest;
pub mod keys;
pub mod mask;
pub mod names;
mod prelude;
pub mod reader;
mod scan;
mod source;
mod store;
mod verify;
pub mod writer;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use bson::{Documents, RawField, RawFields, elements, id_field, split_documents};
pub use container::{BaseArchive, ContainerOptions, ContainerReader, FileDigest, verify_file};
pub use differential::{Base, BaseIndex};
pub use digest::{Check, ContentDigest, DigestPool};
pub use keys::{Identities, KeyError, Recipients};
pub use prelude::{GZIP, MAGIC, Prelude, PreludeNamespace};
pub use reader::{ArchiveReader, Event};
pub use scan::{Nobody, OnProgress, Progress, Scan, Visitor, scan};
pub use store::{StoredBackup, store, store_upon};
pub use verify::{VerifyReport, verify, verify_with};
