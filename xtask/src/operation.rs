//! The one shape of an operation: preflight, execute, journal, ledger.

pub mod approval;
pub mod budget;
pub mod checkout;
pub mod confirm;
pub mod history;
pub mod journal;
pub mod ledger;
pub mod notify;
pub mod operation;
pub mod platforms;
pub mod preflight;
pub mod protection;
pub mod record;
pub mod releases;
pub mod variables;
