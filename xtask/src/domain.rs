//! Pure values and rules: no file, process or network is touched here.

pub mod content_digest;
pub mod manifest;
pub mod operation;
