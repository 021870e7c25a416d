//! One framework for everything that changes something live: lock and ledger on the git remote, a local journal, steps
//! with a budget, resume and undo.

pub mod budget;
pub mod history;
pub mod journal;
pub mod ledger;
pub mod preflight;
pub mod run;
