//! Pure values and rules; no input or output, and nothing from the other modules.

pub mod approval;
pub mod checks;
pub mod commit;
pub mod content_digest;
pub mod database_name;
pub mod index_options;
pub mod inventory;
pub mod ledger;
pub mod manifest;
pub mod metrics;
pub mod migration;
pub mod operation;
pub mod parts;
pub mod release;
pub mod release_chain;
pub mod restore_name;
pub mod root_directory;
pub mod snapshot;
pub mod spread;
pub mod status_record;
pub mod step;
pub mod timeline;
pub mod verdict;
