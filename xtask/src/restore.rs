//! A restore that can be undone: the backup is restored beside the live collections, proved equal, then swapped in by
//! renames. What was live stays under other names until it is forgotten.
//!
//! [`Restore`] has the parts: [`Restore::prepare`] changes nothing live, [`Prepared::swap`] makes the backup live,
//! [`Restore::resume`] and [`Restore::undo`] start from any point at which a process was killed, because every step asks the
//! server what is there. [`start`], [`resume`] and [`undo`] run them as an operation.

mod admit;
mod backup_documents;
mod backup_file;
mod batches;
mod capacity;
mod compare;
mod context;
mod copy;
mod delta;
mod delta_choice;
mod estimate;
mod forget;
mod journal;
mod kept;
mod known;
mod left_alone;
mod leftovers;
mod method;
mod names;
mod operation;
mod plan;
mod preflight;
mod prepare;
mod preview;
mod put_back;
mod quiesce;
mod recorded;
mod reinsert;
mod repair;
mod request;
mod rescue;
mod scope;
mod search_indexes;
mod selection;
mod swap;
mod swap_plan;
mod target;
mod time_series;
mod undo;

pub use capacity::DataCapacity;
pub use context::{Restore, connect};
pub use delta_choice::{ConflictChoice, DeltaChoice, DeltaConflict, DeltaCounts};
pub use forget::{Forgotten, forget};
pub use journal::{Repaired, Rescue, RestorePhase};
pub use known::{KnownRestore, list};
pub use left_alone::LeftAlone;
pub use leftovers::{Leftover, leftovers};
pub use method::{CollectionMethod, RestoreMethod};
pub use operation::{RestoreChoice, RestoreOptions, Resumed, is_untouched, prepare, resume, start, undo};
pub use plan::{ChosenMethods, PlanOptions, RestorePlan, delta_of, methods};
pub use preflight::{RestorePart, StorageNeed, as_part};
pub use prepare::{Prepared, ShadowFacts};
pub use preview::{DocumentCount, LossDetail, LossExample, LossPreview, RowLoss, WrittenSince, preview};
pub use reinsert::{ReinsertOptions, Reinserted, reinsert};
pub use scope::{CollectionScope, Compared};
pub use selection::Selection;
pub use swap::{InPlace, Swapped};
pub use target::{CopiedInto, CopyPlan, RestoreTarget, copy_into, plan_copy, target_context};
pub use undo::RestoreUndone;
