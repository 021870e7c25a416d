//! What the GitHub repository must be for the pipeline to hold.

pub mod protection;
