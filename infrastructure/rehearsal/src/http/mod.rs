//! A small HTTP/1.1 implementation, for both sides of every simulated wire.
//!
//! An ordinary server library cannot do what a simulator must: close a connection without an answer, answer garbage, speak
//! through `CONNECT` and TLS, or over a unix socket. All of that is one generic stream here.

pub mod client;
pub mod digest;
pub mod message;
pub mod proxy;
pub mod router;
pub mod server;
mod wire;

pub use message::{ExitKind, Headers, Request, Response};
