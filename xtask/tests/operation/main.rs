//! Deploy and rollback as operations: refused, killed, cut off, resumed, taken back, in a whole rehearsed world.

mod again;
mod crash;
mod disturbed;
mod matrix;
mod network;
mod refusals;
mod scene;
mod variables;
