//! Data of the sample application: what is there at first, and what users write.

pub(crate) mod documents;
pub mod random;
pub mod seed;
pub mod write;
