//! The one shape of an operation: preflight, execute, journal, ledger.

pub mod approval;
pub mod confirm;
pub mod journal;
pub mod ledger;
pub mod notify;
