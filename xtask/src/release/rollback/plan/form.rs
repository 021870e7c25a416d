//! How a plan stands in a ledger.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::RollbackPlan;
use crate::config::ExternalConfig;
use crate::domain::migration::ChangedMigration;
use crate::domain::parts::{BACKEND, FRONTEND, OnRailway, OnVercel, ReleaseParts};
use crate::domain::release::{BackupRef, DatabaseAction};
use crate::release::rollback::backend::{Backend, BackendBack};

/// The plan as ledgers have it: the single parts of a pipeline with one of each stand as in the plans of earlier versions.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanForm {
    environment: String,
    target: String,
    commit: String,
    from: String,
    verdict: DatabaseAction,
    backup: Option<BackupRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    backend: Option<Backend>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    railway: Option<OnRailway>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vercel: Option<OnVercel>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    backends: BTreeMap<String, BackendBack>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    frontends: BTreeMap<String, OnVercel>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stays: Option<ReleaseParts>,
    #[serde(default)]
    migrations: Vec<ChangedMigration>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    external: Vec<ExternalConfig>,
    notes: Vec<String>,
}

impl From<PlanForm> for RollbackPlan {
    fn from(form: PlanForm) -> Self {
        let (mut backends, mut frontends) = (form.backends, form.frontends);
        if let (Some(how), Some(to)) = (form.backend, form.railway) {
            backends.insert(BACKEND.to_owned(), BackendBack { how, to });
        }
        frontends.extend(form.vercel.map(|to| (FRONTEND.to_owned(), to)));
        Self {
            environment: form.environment,
            target: form.target,
            commit: form.commit,
            from: form.from,
            database: form.verdict,
            backup: form.backup,
            backends,
            frontends,
            stays: form.stays,
            migrations: form.migrations,
            external: form.external,
            notes: form.notes,
        }
    }
}

impl From<RollbackPlan> for PlanForm {
    fn from(plan: RollbackPlan) -> Self {
        let (mut backends, mut frontends) = (plan.backends, plan.frontends);
        let (backend, railway) = backends.remove(BACKEND).map(|back| (back.how, back.to)).unzip();
        Self {
            environment: plan.environment,
            target: plan.target,
            commit: plan.commit,
            from: plan.from,
            verdict: plan.database,
            backup: plan.backup,
            backend,
            railway,
            vercel: frontends.remove(FRONTEND),
            backends,
            frontends,
            stays: plan.stays,
            migrations: plan.migrations,
            external: plan.external,
            notes: plan.notes,
        }
    }
}
