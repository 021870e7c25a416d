//! A restore that can be taken back: the backup is restored beside the live collections, proved equal, then swapped in by
//! renaming. What was live stays under other names until it is forgotten.
//!
//! [`prepare()`] changes nothing live; [`swap()`] is the moment; [`resume`] and [`undo()`] start from any point at which
//! a process was killed, because every step asks the server what is there.

mod backup_file;
mod copy;
mod estimate;
mod leftovers;
mod mend;
pub mod names;
mod preflight;
mod prepare;
mod preview;
mod quiesce;
mod record;
mod reinsert;
mod rescue;
mod steps;
mod swap;
mod undo;

pub use estimate::{RestoreEstimate, RestoreMeasures, MeasuredReading, estimate};
pub use leftovers::{KnownRestore, Leftover, forget, leftovers, list};
pub use preflight::{RestorePreflight, StorageNeed, preflight};
pub use prepare::{Prepared, connect, prepare};
pub use preview::{CollectionLoss, DocumentCount, LossDetail, LossExample, RowLoss, LossPreview, WrittenSince, preview};
pub use quiesce::quiesced;
pub use record::{Repaired, RestorePhase};
pub use reinsert::{ReinsertConflict, Reinserted, reinsert};
pub use rescue::Rescue;
pub use swap::{Swapped, SwappedCollection, restore, resume, swap};
pub use undo::{RestoreUndone, undo};
