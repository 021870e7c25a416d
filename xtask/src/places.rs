//! Where backups are kept.

pub mod directory;
