//! Backups against a real server, the real mongodump, and stock tools.

mod data;
mod disk;
mod drill;
mod failures;
mod refusals;
mod round_trip;
mod schema;
mod signals;
mod storage;
mod verify;
