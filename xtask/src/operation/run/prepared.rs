//! An operation that is prepared, and waits until its backup is off the machine.

use anyhow::{Result, ensure};
use chrono::{TimeDelta, Utc};
use serde_json::json;

use super::Operation;
use crate::context::Context;
use crate::domain::ledger::{LedgerOperation, OperationOutcome, PREPARED};
use crate::domain::operation::OperationId;
use crate::domain::step::{Impact, Step};
use crate::error::catalogue::operation as errors;
use crate::operation::basis::{DataBasis, schema_again};

/// How old the backup of a prepared operation may be when its live changes begin: an upload takes minutes.
const FRESH: TimeDelta = TimeDelta::hours(1);
/// The fact, beside [`PREPARED`], of which schema the data had that the plan was made of. Earlier versions did not record it.
const SCHEMA: &str = "schema";

impl Operation {
    /// Whether an earlier process of this operation has recorded that something of it is live.
    pub fn has_recorded_live(&self) -> bool {
        let mut steps = self.recorded.keys().filter_map(|name| Step::named(name));
        steps.any(|step| step.impact() == Impact::Live)
    }

    /// Lets go of the operation before anything of it is live, where what was to be prepared is; else it has failed. Nobody
    /// holds the lock then: the operation can be resumed, where `basis` is given only while the schema is that one, and another one
    /// may take its place.
    ///
    /// # Errors
    /// Why it could not be prepared; nothing live was changed.
    pub fn pause_after(self, basis: Option<&DataBasis>, prepared: Result<()>) -> Result<OperationId> {
        if let Err(error) = prepared {
            return Err(self.fail(error));
        }
        let id = self.id.clone();
        let mut facts = json!({ PREPARED: true });
        if let Some(basis) = basis {
            facts[SCHEMA] = json!(basis.schema());
        }
        self.finish(OperationOutcome::Stopped, facts)?;
        Ok(id)
    }
}

/// Refuses to make live what was prepared long ago, or for data of another schema.
pub(super) fn refuse_stale(ctx: &Context, recorded: &LedgerOperation) -> Result<()> {
    let (id, kind) = (&recorded.id, &recorded.started.kind);
    let age = Utc::now() - recorded.last_seen;
    ensure!(
        age <= FRESH,
        errors::prepared_too_long_ago(id, age.num_minutes(), kind)
    );
    let facts = recorded.ended.as_ref().map(|end| &end.facts);
    if let Some(then) = facts.and_then(|facts| facts.get(SCHEMA)) {
        let then = then.as_str();
        ensure!(
            then == schema_again(ctx, then)?.as_deref(),
            errors::schema_changed_since_prepared(id, kind)
        );
    }
    Ok(())
}
