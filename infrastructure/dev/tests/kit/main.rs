//! The benchmarks, the documents beside the program that they describe, the structure of its sources, the inputs of
//! the fuzz targets, and the workflows.

mod bench;
mod docs;
mod fuzz;
mod structure;
mod workflows;
