//! The one shape of an operation: preflight, execute, journal, ledger.

pub mod confirm;
pub mod journal;
pub mod ledger;
