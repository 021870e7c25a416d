//! The benchmarks, the documents beside the program that they describe, the structure of its sources, the inputs of
//! the fuzz targets, the workflows, and the action that installs a release.

mod bench;
mod docs;
mod fuzz;
mod generated;
mod setup_action;
mod structure;
mod workflows;
