//! One file per command line program: typed arguments in, typed facts out; its traps and proofs live there.

pub mod adapter;
pub mod atlas;
pub mod az;
pub mod backend;
pub mod deployment;
pub mod fault;
pub mod frontend;
pub mod gh;
pub mod git;
pub mod mongo_config;
pub mod mongo_server;
pub mod mongodump;
pub mod mongorestore;
pub mod railway;
pub mod rclone;
pub mod toolchain;
pub mod vercel;
