//! Backups against a real server, the real mongodump, and stock tools.

mod data;
mod differential;
mod disk;
mod drill;
mod failures;
mod moment;
mod refusals;
mod round_trip;
mod schema;
mod signals;
#[cfg(target_os = "linux")]
mod srv;
mod storage;
mod verify;
