pub mod archive;
pub mod domain;
