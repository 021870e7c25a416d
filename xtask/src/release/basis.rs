//! What a plan stands on: a confirmation may wait for an hour, and others act in that time. Under the lock it is looked at again.

use anyhow::Result;

use super::release_tag::schema_fingerprint;
use super::releases::Releases;
use crate::context::Context;
use crate::domain::ledger::{LedgerOperation, OperationOutcome};
use crate::domain::operation::OperationId;
use crate::error::catalogue::release as errors;

/// The newest release, the last operation and the schema of the data when a plan was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanBasis {
    newest: Option<String>,
    last: Option<LastOperation>,
    schema: Option<String>,
}

/// The last operation of the ledger and how far it was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LastOperation {
    id: OperationId,
    steps: usize,
    outcome: Option<OperationOutcome>,
}

impl PlanBasis {
    /// What a plan that was made of these releases stands on. `schema` is the one that the plan itself was made of: one that is read
    /// a second time may be another one, and would pass as unchanged.
    pub fn of(releases: &Releases, schema: Option<String>) -> Self {
        Self::before(releases, schema, None)
    }

    /// The same as the operation `own`, which has just begun, found it.
    fn before(releases: &Releases, schema: Option<String>, own: Option<&OperationId>) -> Self {
        let mut operations = releases.ledger.iter().flat_map(|state| &state.operations);
        let last = operations.rfind(|operation| own != Some(&operation.id));
        Self {
            newest: releases.links.last().map(|link| link.tag.clone()),
            last: last.map(LastOperation::of),
            schema,
        }
    }

    /// Reads all of it again, under the lock that the operation `own` holds.
    ///
    /// # Errors
    /// Refused (exit 3) where something has changed since; nothing was changed by us.
    pub fn require_unchanged(&self, ctx: &Context, own: &OperationId) -> Result<Releases> {
        let releases = Releases::read(ctx)?;
        let changes = self.changes(&Self::before(&releases, schema_fingerprint(ctx), Some(own)));
        if changes.is_empty() {
            return Ok(releases);
        }
        Err(errors::changed_since_plan(changes.join("; ")).into())
    }

    fn changes(&self, now: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        let name = |tag: &Option<String>| tag.clone().unwrap_or_else(|| "none".to_owned());
        if self.newest != now.newest {
            changes.push(format!(
                "the newest release is {}, it was {}",
                name(&now.newest),
                name(&self.newest)
            ));
        }
        if self.last != now.last {
            let last = now
                .last
                .as_ref()
                .map_or_else(|| "none".to_owned(), LastOperation::text);
            changes.push(format!("the last operation of the ledger is {last}"));
        }
        if self.schema != now.schema {
            changes
                .push("the schema of the data (collections, options or indexes) is another one".to_owned());
        }
        changes
    }
}

impl LastOperation {
    fn of(operation: &LedgerOperation) -> Self {
        Self {
            id: operation.id.clone(),
            steps: operation.steps.len(),
            outcome: operation.ended.as_ref().map(|end| end.outcome),
        }
    }

    fn text(&self) -> String {
        let outcome = self
            .outcome
            .map_or_else(|| "unfinished".to_owned(), |outcome| outcome.to_string());
        format!("{} ({outcome})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_named() {
        let then = PlanBasis {
            newest: Some("prod-20260102-030405".into()),
            last: None,
            schema: Some("a".into()),
        };
        assert_eq!(then.changes(&then.clone()), [] as [String; 0]);
        let last = LastOperation {
            id: "20260102-030405-ab12".parse().unwrap(),
            steps: 3,
            outcome: Some(OperationOutcome::Done),
        };
        let now = PlanBasis {
            newest: None,
            last: Some(last),
            schema: None,
        };
        assert_eq!(
            then.changes(&now),
            [
                "the newest release is none, it was prod-20260102-030405",
                "the last operation of the ledger is 20260102-030405-ab12 (done)",
                "the schema of the data (collections, options or indexes) is another one",
            ]
        );
    }
}
