//! Deploy, rollback, backup and restore as operations: refused, killed, cut off, resumed, taken back.

mod again;
mod backup;
mod break_glass;
pub mod case;
mod crash;
mod disturbed;
mod fault;
mod matrix;
mod meanwhile;
mod migrations;
mod model;
mod network;
mod newer_records;
mod outputs;
mod prepared;
mod records;
mod refusals;
mod rescue;
mod restorable;
mod restore;
mod runner_lost;
mod silent;
mod table;
mod variables;
mod waits;
mod zombie;
mod zombie_restore;
