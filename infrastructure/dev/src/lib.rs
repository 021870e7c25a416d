//! What develops this repository and is no part of the product: its continuous integration, its benchmarks, the linters
//! and the real programs that the stand-ins are compared with.
//!
//! The library exists for the tests; people run the binary, which is `cargo xtask` in this repository.

pub mod bench;
pub mod ci;
pub mod cli;
pub mod tools;
