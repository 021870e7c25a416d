//! The data: archives, backups and restores against a real server, the real mongodump and mongorestore.

mod archive;
mod backup;
mod outputs;
mod restore;
mod restore_before;
mod restore_copy;
mod restore_crash;
mod restore_crash_outside;
mod restore_delta;
mod restore_fence;
mod restore_guards;
mod restore_names;
mod restore_part;
mod restore_reinsert;
mod restore_scope;
mod restore_sequences;
mod restore_shapes;
mod restore_states;
mod restore_verbs;
mod server_limits;
mod time_series;
