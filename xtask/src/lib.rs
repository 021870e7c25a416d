//! `cargo xtask`: releases that can be taken back, code and data together.
//!
//! The library exists for the tests, the benchmarks and the fuzz targets; people run the binary.

pub mod approval;
pub mod archive;
pub mod backup;
pub mod commands;
pub mod config;
pub mod connection;
pub mod context;
pub mod database;
pub mod domain;
pub mod error;
pub mod exec;
pub mod health;
pub mod init;
pub mod lock_proof;
pub mod notify;
pub mod operation;
pub mod release;
pub mod report;
pub mod restore;
pub mod secret;
pub mod setup;
pub mod storage;
pub mod sync;
pub mod tools;
pub mod upgrade;
pub mod wait;
pub mod workflows;
