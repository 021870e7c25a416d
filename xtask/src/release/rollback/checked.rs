//! A rollback that was planned and shown before, in another job perhaps: it runs as it was shown, or not at all.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use super::PlannedRollback;
use super::plan::RollbackPlan;
use crate::approval;
use crate::operation::basis::require_none;
use crate::operation::run::plan_sha256;
use crate::release::basis::PlanBasis;

/// A plan with its identity, and what it stands on.
#[derive(Debug, Serialize)]
pub struct CheckedPlan<'a> {
    plan: &'a RollbackPlan,
    plan_sha256: String,
    basis: &'a PlanBasis,
}

impl<'a> CheckedPlan<'a> {
    pub fn of(planned: &'a PlannedRollback) -> Result<Self> {
        Ok(Self {
            plan: &planned.plan,
            plan_sha256: plan_sha256(&planned.plan)?,
            basis: &planned.basis,
        })
    }
}

/// Binds a rollback to the plan in this file: what that one stands on is compared now, and again under the lock.
///
/// # Errors
/// Refused (exit 3), with what is another one than in the plan that was checked.
pub fn keep_to(planned: &mut PlannedRollback, file: &Path) -> Result<()> {
    let checked = approval::read_plan(file)?;
    let basis: PlanBasis = serde_json::from_value(checked.basis).with_context(|| {
        format!(
            "{} is not what `rollback --plan --format json` prints",
            file.display()
        )
    })?;
    let now = serde_json::to_value(&planned.plan).context("cannot write the plan as JSON")?;
    let mut changes = basis.changes(&planned.basis);
    changes.extend(differing(&checked.plan, &now));
    require_none(&changes)?;
    planned.basis = basis;
    Ok(())
}

/// The fields of the plan that have another value now.
fn differing(then: &Value, now: &Value) -> Vec<String> {
    let fields = |plan: &Value| plan.as_object().cloned().unwrap_or_default();
    let (then, now) = (fields(then), fields(now));
    let names = then
        .keys()
        .chain(now.keys().filter(|name| !then.contains_key(*name)));
    let shown =
        |fields: &Map<String, Value>, name: &str| fields.get(name).unwrap_or(&Value::Null).to_string();
    names
        .map(|name| (name, shown(&then, name), shown(&now, name)))
        .filter(|(_, then, now)| then != now)
        .map(|(name, then, now)| format!("`{name}` of the plan is {now}, it was {then}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::differing;

    #[test]
    fn each_field_that_is_another_one_is_named_once() {
        let then = json!({ "target": "prod-20260102-030405", "from": "a", "stays": null });
        assert_eq!(differing(&then, &then), [] as [String; 0]);
        let now = json!({ "target": "prod-20260102-030405", "from": "b", "notes": ["n"] });
        assert_eq!(
            differing(&then, &now),
            [
                "`from` of the plan is \"b\", it was \"a\"",
                "`notes` of the plan is [\"n\"], it was null",
            ]
        );
    }
}
