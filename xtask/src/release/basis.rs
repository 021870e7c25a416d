//! What the plan of a release stands on: what every operation does, and the newest release.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::releases::Releases;
use crate::context::Context;
use crate::domain::operation::OperationId;
use crate::operation::basis::{DataBasis, require_none, schema_again};

/// The newest release, the last operation and the schema of the data when a plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanBasis {
    newest: Option<String>,
    #[serde(flatten)]
    data: DataBasis,
}

impl PlanBasis {
    /// What a plan that was made of these releases stands on, with the schema that it was made of.
    pub fn of(releases: &Releases, schema: Option<String>) -> Self {
        Self::before(releases, schema, None)
    }

    /// The same as the operation `own`, which has just begun, found it.
    fn before(releases: &Releases, schema: Option<String>, own: Option<&OperationId>) -> Self {
        Self {
            newest: releases.links.last().map(|link| link.tag.clone()),
            data: DataBasis::before(releases.ledger.as_ref(), schema, own),
        }
    }

    /// What every operation stands on.
    pub const fn data(&self) -> &DataBasis {
        &self.data
    }

    /// Reads all of it again, under the lock that the operation `own` holds.
    ///
    /// # Errors
    /// As [`DataBasis::require_unchanged`].
    pub fn require_unchanged(&self, ctx: &Context, own: &OperationId) -> Result<Releases> {
        let releases = Releases::read(ctx)?;
        let now = Self::before(&releases, schema_again(ctx, self.data.schema())?, Some(own));
        require_none(&self.changes(&now))?;
        Ok(releases)
    }

    /// What is another one now, in words.
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let name = |tag: &Option<String>| tag.clone().unwrap_or_else(|| "none".to_owned());
        let newest = (self.newest != now.newest).then(|| {
            format!(
                "the newest release is {}, it was {}",
                name(&now.newest),
                name(&self.newest)
            )
        });
        newest.into_iter().chain(self.data.changes(&now.data)).collect()
    }
}
