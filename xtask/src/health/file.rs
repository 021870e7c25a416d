//! The shape of `health.toml`. Everything that a check compiles keeps its place in the file, for errors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::domain::verdict::Severity;

/// A text with its place.
pub(super) type Text = Spanned<String>;

/// All of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthFile {
    #[allow(dead_code, reason = "reading it is what checks it")]
    pub schema: HealthSchema,
    #[serde(default)]
    pub run: RunLimits,
    #[serde(default)]
    pub check: BTreeMap<Text, CheckSpec>,
}

/// The one version of the file's schema that this program reads.
#[derive(Debug, Deserialize)]
pub(super) enum HealthSchema {
    #[serde(rename = "health/1")]
    V1,
}

/// Limits of a whole run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RunLimits {
    /// How many checks run at once.
    pub parallel: Spanned<usize>,
    /// The longest that all checks together may take.
    pub deadline_s: Spanned<u64>,
    /// The longest that one request may take, where its check says nothing else.
    pub timeout_ms: Spanned<u64>,
    /// The largest body that is read.
    pub body_limit_bytes: Spanned<u64>,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            parallel: Spanned::new(0..0, 16),
            deadline_s: Spanned::new(0..0, 180),
            timeout_ms: Spanned::new(0..0, 10_000),
            body_limit_bytes: Spanned::new(0..0, 4 << 20),
        }
    }
}

/// What a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum CheckGroup {
    Api,
    Database,
    Features,
    Performance,
    External,
    Release,
}

impl CheckGroup {
    /// The word in files and tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Database => "database",
            Self::Features => "features",
            Self::Performance => "performance",
            Self::External => "external",
            Self::Release => "release",
        }
    }
}

/// `[check.NAME]`: exactly one of the probes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckSpec {
    pub group: CheckGroup,
    pub severity: Option<Severity>,
    #[serde(default)]
    pub depends_on: Vec<Text>,
    #[serde(default)]
    pub retry: Retry,
    pub consecutive: Option<Spanned<u32>>,
    pub http: Option<Spanned<HttpSpec>>,
    pub frontend: Option<Spanned<FrontendSpec>>,
    pub database: Option<Spanned<DatabaseSpec>>,
    pub status_page: Option<Spanned<StatusPageSpec>>,
    pub release: Option<Spanned<ReleaseCheckSpec>>,
    pub serving: Option<Spanned<ServingSpec>>,
}

/// For how long a check that does not pass is tried again.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retry {
    pub for_s: u64,
    /// The first pause; each further one is `factor` times as long, up to `max_ms`.
    pub first_ms: u64,
    pub factor: u32,
    pub max_ms: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            for_s: 0,
            first_ms: 250,
            factor: 2,
            max_ms: 5_000,
        }
    }
}

/// A request and what is expected of the answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpSpec {
    pub method: Option<Text>,
    pub url: Text,
    #[serde(default)]
    pub headers: BTreeMap<Text, Text>,
    /// A body that is sent as JSON.
    pub json: Option<Spanned<toml::Value>>,
    /// A body that is sent as it is.
    pub body: Option<Text>,
    /// Variable → JSONPath of what later checks use as `${variable}`.
    #[serde(default)]
    pub capture: BTreeMap<Text, Text>,
    /// How often the request is sent; percentiles are over these.
    pub samples: Option<Spanned<u32>>,
    pub timeout_ms: Option<Spanned<u64>>,
    /// How many redirects are followed; 0: the redirect itself is the answer.
    #[serde(default)]
    pub redirects: u8,
    #[serde(default)]
    pub expect: ExpectSpec,
}

/// What is expected of an answer.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ExpectSpec {
    /// One of these; 200 unless given.
    pub status: Option<Spanned<Vec<u16>>>,
    /// Header → regular expression that its value matches.
    pub headers: BTreeMap<Text, Text>,
    /// Regular expression that is found in the body.
    pub body: Option<Text>,
    pub json: Vec<Spanned<AssertionSpec>>,
    /// The answer is one of those that health routes give when all is well, whatever its form.
    pub healthy: bool,
    /// The longest that any one answer may take.
    pub max_ms: Option<Spanned<u64>>,
    /// The 95th percentile over the samples.
    pub p95_ms: Option<Spanned<u64>>,
}

/// What holds for the nodes that a JSONPath selects; no node at all is a failure unless `max_count` allows it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssertionSpec {
    pub path: Text,
    pub equals: Option<Spanned<toml::Value>>,
    #[serde(rename = "type")]
    pub kind: Option<JsonType>,
    pub matches: Option<Text>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub min_count: Option<usize>,
    pub max_count: Option<usize>,
    /// Every selected node is an object with these members, each of this type.
    pub shape: Option<BTreeMap<String, JsonType>>,
}

/// A type of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum JsonType {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

/// The page as a browser would load it: the document and the assets that it names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FrontendSpec {
    pub url: Text,
    /// Regular expression for the title.
    pub title: Option<Text>,
    /// `<meta name="…">` that holds the release; its presence is checked here, its value in a release check.
    pub marker: Option<String>,
    /// The document with all its assets.
    pub load_ms: Option<Spanned<u64>>,
    pub timeout_ms: Option<Spanned<u64>>,
}

/// Questions to the database itself.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatabaseSpec {
    /// Collection of the test query.
    pub collection: Text,
    #[serde(default)]
    pub filter: toml::Table,
    /// How many documents the query must at least find (it stops looking there).
    #[serde(default = "one")]
    pub min_documents: u32,
    /// How many times the query runs; percentiles are over these.
    #[serde(default = "twenty")]
    pub samples: u32,
    pub p95_ms: Option<u64>,
    /// The server we reach must take writes.
    #[serde(default = "yes")]
    pub primary: bool,
    /// Roles that the user must have.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Storage that must be left, where the server tells.
    pub min_free_percent: Option<f64>,
    /// Writes a marker document into this collection and reads it back; off unless given.
    pub marker_collection: Option<Text>,
    pub timeout_ms: Option<Spanned<u64>>,
}

/// A status page in the Statuspage format.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StatusPageSpec {
    /// Address of `summary.json`.
    pub url: Text,
    /// Names of the components that matter to us; all where empty.
    #[serde(default)]
    pub components: Vec<String>,
    pub timeout_ms: Option<Spanned<u64>>,
}

/// What the backend and the frontend say that they are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseCheckSpec {
    pub backend: Text,
    /// JSONPaths in the backend's answer.
    pub commit: Text,
    pub version: Option<Text>,
    pub deployment: Option<Text>,
    pub frontend: Text,
    /// `<meta name="…">` of the frontend.
    pub marker: String,
    pub marker_is: MarkerIs,
    pub timeout_ms: Option<Spanned<u64>>,
}

/// Which deployments the production domains serve, asked of the platforms.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServingSpec {
    pub timeout_ms: Option<Spanned<u64>>,
}

/// What the frontend's marker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum MarkerIs {
    /// The same version as the backend's.
    Version,
    Commit,
}

const fn one() -> u32 {
    1
}

const fn twenty() -> u32 {
    20
}

const fn yes() -> bool {
    true
}
