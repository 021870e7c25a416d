//! Backups of the environment's database: take, read back, copy, find, drill, delete what is too old.

pub mod create;
pub mod drill;
pub mod encryption;
pub mod find;
pub mod import;
pub mod list;
pub mod prune;
pub mod snapshot;
pub mod snapshot_import;
pub mod verify;

mod compare;
mod copies;
mod error_hints;
mod fetch;
mod increment;
mod indexes;
mod masked_copy;
mod midway;
mod moment;
pub mod off_machine;
mod open;
mod progress;
mod recorded;
mod restorable;
mod rewrite;
mod room;
mod source;

pub use crate::storage::backup_file::{
    BackupFile, parse_metadata, read_metadata, sync_folder, write_metadata,
};
pub use copies::keep;
pub use create::{BackupTimings, CreateOptions, create, create_timed};
pub use find::{find, free_id, resolve};
pub use indexes::{clustered_expiry, create_beforehand, expiries, is_capped, secondary_indexes};
pub use list::{BackupListing, list};
pub use masked_copy::{CopyTarget, MaskedCopy, Masks, copy_masked};
pub use open::{base_of, copy_archive, identities, open_archive};
pub use recorded::remember as remember_recorded;
pub use restorable::{
    Restorable, live_problem, missing_rights, needed_bytes, restorable, restorable_live, room_problem,
    sharded,
};
pub use room::room_bytes;
pub use verify::{verify, verify_with};
