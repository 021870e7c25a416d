//! The benchmarks, and the documents beside the program that they describe.

mod bench;
mod docs;
