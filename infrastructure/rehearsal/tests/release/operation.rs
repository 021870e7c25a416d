//! Deploy, rollback, backup and restore as operations: refused, killed, cut off, resumed, taken back.

mod again;
mod backup;
pub mod case;
mod crash;
mod disturbed;
mod fault;
mod matrix;
mod model;
mod network;
mod records;
mod refusals;
mod rescue;
mod restore;
mod table;
mod variables;
mod waits;
mod zombie;
