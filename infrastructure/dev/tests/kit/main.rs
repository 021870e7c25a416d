//! The benchmarks, the documents beside the program that they describe, the structure of its sources, and the workflows.

mod bench;
mod docs;
mod structure;
mod workflows;
