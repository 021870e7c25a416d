//! The parts that a release consists of, by their names: each is one deployment on a platform.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The name of the backend where a pipeline has one of each.
pub const BACKEND: &str = "backend";
/// The name of the frontend there.
pub const FRONTEND: &str = "frontend";

/// By which an application reports what it is. The platform sets `RAILWAY_GIT_COMMIT_SHA` for deployments of a connected repository
/// only, not for an upload (docs.railway.com, "Variables"). These belong to the deployment: a rollback brings those of its image back.
pub const RELEASE_VARIABLES: [&str; 2] = ["RELEASE_ID", "RELEASE_COMMIT"];

/// These variables, with their values for a release of this commit.
pub fn release_variables<'a>(release: &'a str, commit: &'a str) -> [(&'static str, &'a str); 2] {
    let [id, of_commit] = RELEASE_VARIABLES;
    [(id, release), (of_commit, commit)]
}

/// In the place of the commit of a deployment that no release recorded.
pub const UNKNOWN_COMMIT: &str = "unknown";

/// A backend of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnRailway {
    pub deployment: String,
    pub image_digest: Option<String>,
    /// The commit that it was built from, where that is not the release's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// How the platform built and started it, by the names of its API; earlier versions did not record it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

/// A frontend of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnVercel {
    pub deployment: String,
    /// The commit that it was built from, where that is not the release's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// What a release consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PartsForm", into = "PartsForm")]
pub struct ReleaseParts {
    pub backends: BTreeMap<String, OnRailway>,
    pub frontends: BTreeMap<String, OnVercel>,
}

/// As records have it: the single parts of a pipeline with one of each stand under the platform's name, as in the records of
/// earlier versions.
#[derive(Debug, Serialize, Deserialize)]
struct PartsForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    railway: Option<OnRailway>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vercel: Option<OnVercel>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    backends: BTreeMap<String, OnRailway>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    frontends: BTreeMap<String, OnVercel>,
}

impl TryFrom<PartsForm> for ReleaseParts {
    type Error = &'static str;

    fn try_from(form: PartsForm) -> Result<Self, Self::Error> {
        let (mut backends, mut frontends) = (form.backends, form.frontends);
        backends.extend(form.railway.map(|backend| (BACKEND.to_owned(), backend)));
        frontends.extend(form.vercel.map(|frontend| (FRONTEND.to_owned(), frontend)));
        if backends.is_empty() && frontends.is_empty() {
            return Err("a release has one backend or frontend at least");
        }
        Ok(Self { backends, frontends })
    }
}

impl From<ReleaseParts> for PartsForm {
    fn from(parts: ReleaseParts) -> Self {
        let ReleaseParts {
            mut backends,
            mut frontends,
        } = parts;
        Self {
            railway: backends.remove(BACKEND),
            vercel: frontends.remove(FRONTEND),
            backends,
            frontends,
        }
    }
}

/// A text about a part: with its name, where a pipeline may have several.
pub fn about(what: &str, part: &str) -> String {
    if part == BACKEND || part == FRONTEND {
        what.to_owned()
    } else {
        format!("{what} {part}")
    }
}

impl ReleaseParts {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.backends.is_empty() && self.frontends.is_empty()
    }

    /// The same as parts of another release than that of `commit`, whose they are where they name no other.
    #[must_use]
    pub fn built_from(mut self, commit: &str) -> Self {
        let commit = || Some(commit.to_owned());
        for backend in self.backends.values_mut() {
            backend.commit = backend.commit.take().or_else(commit);
        }
        for frontend in self.frontends.values_mut() {
            frontend.commit = frontend.commit.take().or_else(commit);
        }
        self
    }

    /// The same as parts of the release of `commit`.
    #[must_use]
    pub fn of_release(mut self, commit: &str) -> Self {
        for backend in self.backends.values_mut() {
            backend.commit = backend.commit.take().filter(|own| own != commit);
        }
        for frontend in self.frontends.values_mut() {
            frontend.commit = frontend.commit.take().filter(|own| own != commit);
        }
        self
    }

    /// One of each, as `pipeline/1` has it.
    pub fn one_of_each(backend: OnRailway, frontend: OnVercel) -> Self {
        Self {
            backends: BTreeMap::from([(BACKEND.to_owned(), backend)]),
            frontends: BTreeMap::from([(FRONTEND.to_owned(), frontend)]),
        }
    }
}
