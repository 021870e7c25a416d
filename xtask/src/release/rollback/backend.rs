//! How a backend is rolled back, and to what.

use serde::{Deserialize, Serialize};

use crate::domain::parts::OnRailway;

/// How the backend is rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// With the image that the platform still has.
    Image,
    /// Built again from the tag's tree: the image is gone. It takes longer.
    Rebuild,
}

/// What a backend is rolled back to, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendBack {
    pub how: Backend,
    pub to: OnRailway,
}

/// [`Backend::Rebuild`] where one of them is built again.
pub(super) fn slowest<'a>(mut backends: impl Iterator<Item = &'a BackendBack>) -> Backend {
    match backends.find(|back| back.how == Backend::Rebuild) {
        Some(_) => Backend::Rebuild,
        None => Backend::Image,
    }
}
