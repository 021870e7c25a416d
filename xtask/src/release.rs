//! Releases: what is live, what a release consists of, and the steps that deploy it or roll it back.

pub mod checkout;
pub mod commit_checks;
pub mod platforms;
pub mod release_tag;
pub mod releases;
pub mod variables;
