//! Releases: what is live, what a release consists of, and the operations that deploy it, roll it back or undo either.

pub mod basis;
pub mod break_glass;
pub mod checkout;
pub mod commit_checks;
pub mod deploy;
pub mod external;
pub mod ledger_repair;
pub mod migrations;
mod never_live;
pub mod on_unhealthy;
pub mod others;
pub mod platforms;
pub mod release_tag;
pub mod releases;
mod revert;
pub mod rollback;
pub mod steps;
pub mod undo;
pub mod variables;
