//! What a rehearsal needs instead of the outside world: a sample application that really keeps data, a simulator of the
//! platforms that really runs it, and stand-ins of the platforms' command line programs.

pub mod backend;
pub mod data;
mod hex;
pub mod http;
pub mod platform;
pub mod process;
pub mod standins;
