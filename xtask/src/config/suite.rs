//! `[tests.NAME]`: the product's own test suites, and the containers that they need.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// One test suite: program and arguments, no shell.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestSuiteConfig {
    /// Folder it runs in, relative to the root.
    pub dir: PathBuf,
    pub command: Vec<String>,
    /// Environment variables with secrets that it needs, as tokens of package registries.
    #[serde(default)]
    pub env: Vec<String>,
    /// Containers that the workflow's job starts first, by name.
    #[serde(default)]
    pub services: BTreeMap<String, ServiceConfig>,
    #[serde(default = "default_suite_s")]
    pub deadline_s: u64,
}

fn default_suite_s() -> u64 {
    1_800
}

/// A container beside a test suite. On the machine of the job its ports are those of `localhost`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// With its version or digest.
    pub image: String,
    pub ports: Vec<u16>,
    /// Values for the container; everybody can read them.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// A command in the container that succeeds once it can be used: the job's steps wait for it.
    pub ready: Option<String>,
}
