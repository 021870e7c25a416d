//! The benchmarks, the documents beside the program that they describe, and the structure of its sources.

mod bench;
mod docs;
mod structure;
