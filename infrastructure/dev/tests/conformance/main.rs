//! What only exact versions of other programs can show: the real ones beside their stand-ins, pages in a real browser, a build from nothing.
//! All of it is run by stages of `cargo xtask ci`.

mod act;
mod azure;
mod compare;
mod gh;
mod names;
mod packed;
mod pages;
mod platforms;
mod requests;
mod s3;
mod storages;
mod thin_crate;

use std::path::PathBuf;

use rehearsal::test_env::programs::repository;

/// A program of the kit's pins.
fn real(name: &str) -> PathBuf {
    dev::tools::resolve_one(repository(), name).unwrap().path
}
