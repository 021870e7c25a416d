//! What a command stands on: a confirmation may wait for an hour, and others act in that time. Under the lock it is looked at
//! again.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::ledger::Ledger;
use crate::context::Context;
use crate::database::{Digests, Live};
use crate::domain::ledger::{LedgerOperation, LedgerState, OperationOutcome};
use crate::domain::operation::OperationId;
use crate::error::catalogue::release as errors;
use crate::tools::railway::database_uri;

/// The last operation and the schema of the data when a command was planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataBasis {
    last: Option<LastOperation>,
    schema: Option<String>,
}

/// The last operation of the ledger and how far it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LastOperation {
    id: OperationId,
    steps: usize,
    outcome: Option<OperationOutcome>,
}

impl DataBasis {
    /// Of this ledger. `schema` is the one that the plan itself was made of: one that is read a second time may be another one,
    /// and would pass as unchanged.
    pub fn of(ledger: Option<&LedgerState>, schema: Option<String>) -> Self {
        Self::before(ledger, schema, None)
    }

    /// Reads both.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn read(ctx: &Context) -> Result<Self> {
        Ok(Self::of(
            Some(&Ledger::open(ctx).state()?),
            schema_fingerprint(ctx),
        ))
    }

    /// The same as the operation `own`, which has just begun, found it.
    pub fn before(ledger: Option<&LedgerState>, schema: Option<String>, own: Option<&OperationId>) -> Self {
        let mut operations = ledger.into_iter().flat_map(|state| &state.operations);
        let last = operations.rfind(|operation| own != Some(&operation.id));
        Self {
            last: last.map(LastOperation::of),
            schema,
        }
    }

    /// Fingerprint of the schema; `None` where it could not be read.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Reads both again, under the lock that the operation `own` holds.
    ///
    /// # Errors
    /// Refused (exit 3) where something has changed since, failed (exit 1) where it cannot be read; nothing was changed by us.
    pub fn require_unchanged(&self, ctx: &Context, own: &OperationId) -> Result<()> {
        let ledger = Ledger::open(ctx).state()?;
        let now = Self::before(Some(&ledger), schema_again(ctx, self.schema())?, Some(own));
        require_none(&self.changes(&now))
    }

    /// What is another one now, in words.
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        if self.last != now.last {
            let last = now
                .last
                .as_ref()
                .map_or_else(|| "none".to_owned(), LastOperation::text);
            changes.push(format!("the last operation of the ledger is {last}"));
        }
        match (&self.schema, &now.schema) {
            (then, now) if then == now => {}
            (None, Some(_)) => {
                changes.push("the schema of the data could not be read when the plan was made".to_owned());
            }
            _ => changes
                .push("the schema of the data (collections, options or indexes) is another one".to_owned()),
        }
        changes
    }
}

/// Refuses where there are changes.
///
/// # Errors
/// Refused (exit 3), with each of them.
pub fn require_none(changes: &[String]) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    Err(errors::changed_since_plan(changes.join("; ")).into())
}

/// Fingerprint of the live schema, or `None` where the database could not be read: a rollback then restores. Also where there
/// is no database.
pub fn schema_fingerprint(ctx: &Context) -> Option<String> {
    live_schema(ctx).ok().flatten()
}

/// Reads the schema again that was `then`. A database that does not answer now has not changed.
///
/// # Errors
/// It could be read before, and not now.
pub fn schema_again(ctx: &Context, then: Option<&str>) -> Result<Option<String>> {
    match then {
        Some(_) => live_schema(ctx),
        None => Ok(schema_fingerprint(ctx)),
    }
}

/// Fingerprint of the live schema; `None` where there is no database.
///
/// # Errors
/// The database cannot be read.
fn live_schema(ctx: &Context) -> Result<Option<String>> {
    let Some(place) = &ctx.env().mongodb else {
        return Ok(None);
    };
    Live::connect(&database_uri(ctx)?, &place.database)
        .and_then(|live| live.inventory(Digests::Structure)?.schema_fingerprint())
        .map(Some)
        .context("cannot read the schema of the live data")
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
        let then = DataBasis {
            last: None,
            schema: Some("a".into()),
        };
        require_none(&then.changes(&then.clone())).unwrap();
        let last = LastOperation {
            id: "20260102-030405-ab12".parse().unwrap(),
            steps: 3,
            outcome: Some(OperationOutcome::Done),
        };
        let now = DataBasis {
            last: Some(last),
            schema: Some("b".into()),
        };
        let error = require_none(&then.changes(&now)).unwrap_err().to_string();
        let last = "the last operation of the ledger is 20260102-030405-ab12 (done)";
        let schema = "the schema of the data (collections, options or indexes) is another one";
        assert!(error.contains(&format!("{last}; {schema}")), "{error}");
        let unread = DataBasis {
            schema: None,
            ..now.clone()
        };
        let error = require_none(&unread.changes(&now)).unwrap_err().to_string();
        assert!(
            error.contains("could not be read when the plan was made"),
            "{error}"
        );
    }
}
