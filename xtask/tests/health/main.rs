//! `xtask health` against servers that are whole, broken, old, slow or hostile.

#[path = "../common/mod.rs"]
mod common;

mod broken;
mod database;
mod flow;
mod server;
