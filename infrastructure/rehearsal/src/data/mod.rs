//! Data of the sample application: what is there at first, and what users write.

mod documents;
pub mod random;
pub mod seed;
pub mod write;
