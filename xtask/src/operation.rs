//! One framework for everything that changes something live: lock and ledger on the git remote, a local journal, steps
//! with a budget, resume and undo.

pub mod after;
pub mod append;
pub mod basis;
pub mod budget;
pub mod job_limit;
pub mod journal;
pub mod ledger;
pub mod preflight;
pub mod run;
pub mod status_records;

use chrono::Utc;

use crate::domain::operation::OperationId;

/// A new id for an operation that begins now.
pub fn new_operation_id() -> OperationId {
    OperationId::at(Utc::now(), rand::random())
}
