//! Deploy, rollback, backup and restore as operations: refused, killed, cut off, resumed, taken back.

#[path = "../common/mod.rs"]
mod common;

mod again;
mod backup;
mod crash;
mod disturbed;
mod fault;
mod matrix;
mod network;
mod refusals;
mod restore;
mod scene;
mod table;
mod variables;
