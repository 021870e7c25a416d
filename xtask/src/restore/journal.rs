//! What a restore writes into the journal of its operation, and the state that these records amount to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::delta_choice::{DeltaChoice, DeltaPlan};
use super::selection::Selection;
use crate::context::Context;
use crate::database::ViewDefinition;
use crate::domain::inventory::{Difference, Inventory};
use crate::domain::operation::OperationId;
use crate::domain::release::BackupRef;
use crate::operation::journal::{self, Journal, RESTORE_TAG};

/// Earlier versions kept the records of a restore in a file of this name beside the steps.
const EARLIER_FILE_NAME: &str = "restore.jsonl";

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum RestoreRecord {
    /// What is restored into what.
    Planned(PlannedRestore),
    /// The backup file was read whole and is as recorded.
    Verified,
    /// From here on shadow collections may exist.
    ShadowBegun,
    /// Every document was accepted by the server.
    ShadowFilled { documents: u64, ms: u64 },
    /// Documents, indexes and options of the shadow are those of the backup.
    ShadowCompared { ms: u64 },
    /// What is put back in place was exported as it is live.
    RescuedBefore { rescue: Rescue },
    /// Documents that are overwritten in place were changed since: what was written was exported.
    RescuedNewer { rescue: Rescue },
    /// From here on live collections may have been renamed, and documents put back in place.
    SwapBegun(SwapPlan),
    /// A step of the swap is about to be made.
    Before { step: RestoreStep },
    /// A step of the swap was made.
    After { step: RestoreStep, ms: u64 },
    /// All steps were made.
    Swapped,
    /// The live database was read again. What differs are documents that the application wrote since, and collections, options
    /// and indexes, in words, that were changed since; earlier versions did not record the latter.
    Compared {
        written_since: Vec<Difference>,
        #[serde(default)]
        changed_since: Vec<String>,
    },
    /// What only the previous collections had was exported.
    Rescued { rescue: Option<Rescue> },
    /// The server lost it in a crash; it was recreated.
    #[serde(alias = "mended")]
    Repaired(Repaired),
    /// The undo begins; what it makes live again is here.
    UndoBegun { before: Inventory },
    /// A step of the undo is about to be made.
    Undoing { step: RestoreStep },
    /// What was live before is live again.
    Undone { written_since: Vec<Difference> },
    /// From here on collections beside the live ones may have been dropped.
    ForgetBegun,
    /// The previous collections were dropped.
    Forgotten,
}

/// What a rescue file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescue {
    /// On the machine that wrote it.
    pub path: PathBuf,
    pub documents: u64,
    /// By collection; files of earlier versions have only the sum.
    #[serde(default)]
    pub collections: BTreeMap<String, u64>,
    /// Its id and hash in the storages; earlier versions wrote it to its machine only.
    #[serde(flatten)]
    pub stored: Option<BackupRef>,
}

impl Rescue {
    /// How many documents of which collections, where they are, and how the file is named on any machine.
    pub fn text(&self) -> String {
        let counts = self.collections.iter();
        let counts: Vec<String> = counts.map(|(name, count)| format!("`{name}` {count}")).collect();
        let of = if counts.is_empty() {
            String::new()
        } else {
            format!(" ({})", counts.join(", "))
        };
        let anywhere = self.stored.iter();
        let anywhere: String = anywhere
            .map(|stored| {
                format!(
                    " (on every machine: cargo xtask restore --reinsert {})",
                    stored.id
                )
            })
            .collect();
        format!(
            "{} documents{of}: {}{anywhere}",
            self.documents,
            self.path.display()
        )
    }
}

/// What is restored into what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlannedRestore {
    /// On the machine that began it.
    pub backup: PathBuf,
    pub backup_id: String,
    /// SHA-256 of its file; earlier versions did not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_sha256: Option<String>,
    pub environment: String,
    pub database: String,
    pub host: String,
    /// What of the backup; earlier versions restored all of it.
    #[serde(default, skip_serializing_if = "Selection::is_all")]
    pub collections: Selection,
    /// What of that was to be put back in place.
    #[serde(default, skip_serializing_if = "DeltaChoice::is_none")]
    pub delta: DeltaChoice,
}

/// Everything that the swap does, in order. It is written before the first step, and is enough for an undo.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SwapPlan {
    pub steps: Vec<RestoreStep>,
    /// What was live then: what a crashing server may lose can be recreated only where its shape is known.
    #[serde(default)]
    pub before: Inventory,
    #[serde(default)]
    pub begun: Option<DateTime<Utc>>,
    /// The server's own numbers of the collections that are not restored, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub identities: BTreeMap<String, String>,
    /// What is put back in place.
    #[serde(default, skip_serializing_if = "DeltaPlan::is_none")]
    pub delta: DeltaPlan,
}

/// Something that a server lost when it was killed, and that was recreated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired {
    /// Its name in the database.
    pub collection: String,
    /// What was lost, and where it was taken from.
    pub what: String,
}

/// One change of the swap. Each can be repeated: it first asks the server whether it was made. Journals hold the names of
/// these steps, so a persisted name never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum RestoreStep {
    /// The documents of a batch are put back in place, in one transaction.
    PutBack { batch: u32 },
    /// The live collection gets its `__old_` name.
    #[serde(rename = "aside")]
    RenameToPrevious { collection: String },
    /// The shadow collection gets the live name.
    #[serde(rename = "bring")]
    PromoteShadow { collection: String },
    /// The live view is dropped; its definition is here.
    DropView {
        view: String,
        definition: ViewDefinition,
    },
    /// The backup's view is created.
    #[serde(rename = "make-view")]
    CreateView {
        view: String,
        definition: ViewDefinition,
    },
    /// A TTL index gets its expiry, in seconds.
    #[serde(rename = "arm-expiry")]
    SetExpiry {
        collection: String,
        index: String,
        expire_after_s: i64,
    },
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestorePhase {
    /// Nothing live was touched.
    Preparing,
    /// Restored beside the live collections and compared; nothing live was touched.
    Prepared,
    /// Some live collections may have been replaced, or all of them without the proof or the rescue file.
    Swapping,
    /// The backup is live and proved, the previous collections are beside it, and the rescue file has what only they have.
    Swapped,
    /// Some previous collections may be live again.
    Undoing,
    /// What was live before is live again.
    Undone,
    /// Some collections beside the live ones may have been dropped.
    Forgetting,
    /// The collections beside the live ones were dropped.
    Forgotten,
}

impl RestorePhase {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preparing => "stopped before the swap",
            Self::Prepared => "ready to swap",
            Self::Swapping => "stopped midway",
            Self::Swapped => "done",
            Self::Undoing => "undo stopped midway",
            Self::Undone => "undone",
            Self::Forgetting => "forget stopped midway",
            Self::Forgotten => "forgotten",
        }
    }

    /// Whether collections of the backup and of before may be mixed.
    pub const fn is_midway(self) -> bool {
        matches!(self, Self::Swapping | Self::Undoing)
    }
}

/// What the records of a restore amount to.
#[derive(Debug, Clone)]
pub struct RestoreState {
    pub planned: Option<PlannedRestore>,
    pub swap: Option<SwapPlan>,
    pub phase: RestorePhase,
    pub compared: bool,
    /// What the comparison found: whatever is written later is not in it.
    pub written_since: Vec<Difference>,
    pub changed_since: Vec<String>,
    /// Whether documents that only the previous collections have were exported; there may have been none.
    pub rescued: bool,
    /// How long it took to fill the shadow collections, and to compare them.
    pub restore_ms: u64,
    pub compare_ms: u64,
    pub rescue: Option<Rescue>,
    /// What was exported before documents were put back in place.
    pub rescued_before: Option<Rescue>,
    /// What was written to documents since, and overwritten in place.
    pub rescued_newer: Vec<Rescue>,
    pub undo_before: Option<Inventory>,
    /// Where it was undone: what the application had written since.
    pub undone: Option<Vec<Difference>>,
    /// Steps of the swap, and of an undo, that were begun, whether or not they were made.
    begun: Vec<RestoreStep>,
    undo_begun: Vec<RestoreStep>,
    pub repaired: Vec<Repaired>,
}

impl RestoreState {
    /// What the journal of an operation amounts to, without locking it. Records of an earlier version come first: nothing
    /// is written to their file any more.
    pub fn read(ctx: &Context, operation: &OperationId) -> Result<Self> {
        Self::read_in(&ctx.state_dir("operations")?.join(operation.as_str()))
    }

    fn read_in(folder: &Path) -> Result<Self> {
        let mut records: Vec<RestoreRecord> = Vec::new();
        for file in [EARLIER_FILE_NAME, journal::FILE_NAME] {
            records.append(&mut journal::read_file(&folder.join(file), RESTORE_TAG)?);
        }
        Ok(Self::of(&records))
    }

    pub fn of(records: &[RestoreRecord]) -> Self {
        let mut history = Self {
            planned: None,
            swap: None,
            phase: RestorePhase::Preparing,
            compared: false,
            written_since: Vec::new(),
            changed_since: Vec::new(),
            rescued: false,
            restore_ms: 0,
            compare_ms: 0,
            rescue: None,
            rescued_before: None,
            rescued_newer: Vec::new(),
            undo_before: None,
            undone: None,
            begun: Vec::new(),
            undo_begun: Vec::new(),
            repaired: Vec::new(),
        };
        for record in records {
            history.add(record);
        }
        history
    }

    /// Takes one more line into account.
    pub fn add(&mut self, record: &RestoreRecord) {
        match record {
            RestoreRecord::Planned(planned) => self.planned = Some(planned.clone()),
            // The only way back: an attempt that begins anew.
            RestoreRecord::ShadowBegun if self.swap.is_none() => self.phase = RestorePhase::Preparing,
            RestoreRecord::ShadowFilled { ms, .. } => self.restore_ms = *ms,
            RestoreRecord::ShadowCompared { ms } => {
                self.compare_ms = *ms;
                self.advance(RestorePhase::Prepared);
            }
            RestoreRecord::RescuedNewer { rescue } => self.rescued_newer.push(rescue.clone()),
            RestoreRecord::RescuedBefore { rescue } => self.rescued_before = Some(rescue.clone()),
            RestoreRecord::SwapBegun(plan) => {
                self.swap = Some(plan.clone());
                self.advance(RestorePhase::Swapping);
            }
            RestoreRecord::Compared {
                written_since,
                changed_since,
            } => {
                self.compared = true;
                self.written_since.clone_from(written_since);
                self.changed_since.clone_from(changed_since);
            }
            RestoreRecord::Rescued { rescue } => {
                self.rescued = true;
                self.compared = true;
                self.rescue.clone_from(rescue);
                self.advance(RestorePhase::Swapped);
            }
            RestoreRecord::UndoBegun { before } => {
                self.undo_before = Some(before.clone());
                self.advance(RestorePhase::Undoing);
            }
            RestoreRecord::Undone { written_since } => {
                self.undone = Some(written_since.clone());
                self.advance(RestorePhase::Undone);
            }
            RestoreRecord::ForgetBegun => self.advance(RestorePhase::Forgetting),
            RestoreRecord::Forgotten => self.advance(RestorePhase::Forgotten),
            RestoreRecord::Before { step } => self.begun.push(step.clone()),
            RestoreRecord::Undoing { step } => self.undo_begun.push(step.clone()),
            RestoreRecord::Repaired(repaired) => self.repaired.push(repaired.clone()),
            RestoreRecord::ShadowBegun
            | RestoreRecord::Verified
            | RestoreRecord::Swapped
            | RestoreRecord::After { .. } => {}
        }
    }

    /// Whether this was recorded: what is kept in the database, by this machine or another one, is taken over once.
    pub fn has(&self, record: &RestoreRecord) -> bool {
        match record {
            RestoreRecord::Planned(_) => self.planned.is_some(),
            RestoreRecord::SwapBegun(_) => self.swap.is_some(),
            RestoreRecord::RescuedBefore { .. } => self.rescued_before.is_some(),
            RestoreRecord::Rescued { .. } => self.rescued,
            RestoreRecord::UndoBegun { .. } => self.undo_before.is_some(),
            RestoreRecord::Undone { .. } => self.undone.is_some(),
            RestoreRecord::ForgetBegun => self.phase >= RestorePhase::Forgetting,
            _ => true,
        }
    }

    /// When its swap began; `None` where it has made nothing live.
    pub fn swap_began(&self, operation: &OperationId) -> Option<DateTime<Utc>> {
        let swap = self.swap.as_ref()?;
        Some(swap.begun.unwrap_or_else(|| operation.began()))
    }

    /// Records of two machines come together in any order; a restore never goes back to an earlier phase.
    fn advance(&mut self, phase: RestorePhase) {
        self.phase = self.phase.max(phase);
    }

    /// Whether the shadow's promotion was begun: its predecessor had its `__old_` name by then.
    pub fn promoted(&self, collection: &str) -> bool {
        self.begun
            .iter()
            .any(|step| matches!(step, RestoreStep::PromoteShadow { collection: c } if c == collection))
    }

    /// Whether an undo had begun to give the previous collection its live name: the restored one had given it up by then.
    pub fn renamed_back(&self, collection: &str) -> bool {
        self.undo_begun
            .iter()
            .any(|step| matches!(step, RestoreStep::RenameToPrevious { collection: c } if c == collection))
    }
}

/// The records of a restore, open for writing, and what they amount to.
#[derive(Debug)]
pub struct RestoreJournal {
    journal: Journal,
    pub history: RestoreState,
}

impl RestoreJournal {
    /// The records in a journal that is open.
    pub fn of(ctx: &Context, operation: &OperationId, journal: Journal) -> Result<Self> {
        let history = RestoreState::read(ctx, operation)?;
        Ok(Self { journal, history })
    }

    /// Opens the journal of an operation that has ended, or that this machine does not know.
    pub fn open(ctx: &Context, operation: &OperationId) -> Result<Self> {
        let journal = Journal::open(ctx, operation)?;
        Self::of(ctx, operation, journal)
    }

    /// Writes one record; it is on the disk when this returns.
    pub fn write(&mut self, record: &RestoreRecord) -> Result<()> {
        self.journal
            .append(record)
            .context("cannot record the step: nothing was done")?;
        self.history.add(record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLIER: &str = r#"{"event":"planned","backup":"/b","backup_id":"20260102-030405","environment":"production","database":"shop","host":"h"}
{"event":"swap-begun","steps":[{"do":"aside","collection":"users"},{"do":"bring","collection":"users"}]}
{"event":"before","step":{"do":"aside","collection":"users"}}
{"event":"mended","collection":"users","what":"rebuilt"}
{"event":"before","step":{"do":"bring","collection":"users"}}
"#;

    #[test]
    fn records_of_an_earlier_version_come_before_those_in_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(EARLIER_FILE_NAME), EARLIER).unwrap();
        let history = RestoreState::read_in(dir.path()).unwrap();
        assert_eq!(history.phase, RestorePhase::Swapping);
        assert!(history.promoted("users") && !history.renamed_back("users"));
        assert_eq!(history.repaired[0].what, "rebuilt");
        let journal = Journal::open_file(dir.path().join(journal::FILE_NAME)).unwrap();
        let step = r#"{"entry":"begun","step":"swap database","at":"2026-01-02T03:04:05Z"}"#;
        journal
            .append(&serde_json::from_str::<serde_json::Value>(step).unwrap())
            .unwrap();
        journal.append(&RestoreRecord::Rescued { rescue: None }).unwrap();
        let history = RestoreState::read_in(dir.path()).unwrap();
        assert_eq!(history.phase, RestorePhase::Swapped);
        assert_eq!(history.planned.unwrap().backup_id, "20260102-030405");
    }

    #[test]
    fn what_a_comparison_found_is_kept_for_whoever_resumes() {
        let line = r#"{"event":"compared","written_since":[{"collection":"users","differs":"content"}]}"#;
        let mut history = RestoreState::of(&[serde_json::from_str(line).unwrap()]);
        assert!(history.compared && history.changed_since.is_empty());
        assert_eq!(history.written_since[0].collection, "users");
        let found = RestoreRecord::Compared {
            written_since: Vec::new(),
            changed_since: vec!["`users`: index `a` differs".into()],
        };
        let line = serde_json::to_string(&found).unwrap();
        history.add(&serde_json::from_str(&line).unwrap());
        assert_eq!(history.changed_since, ["`users`: index `a` differs"]);
    }

    #[test]
    fn persisted_names_of_steps_stay() {
        let collection = || "users".to_owned();
        let steps = [
            RestoreStep::RenameToPrevious {
                collection: collection(),
            },
            RestoreStep::PromoteShadow {
                collection: collection(),
            },
            RestoreStep::SetExpiry {
                collection: collection(),
                index: "seen".into(),
                expire_after_s: 60,
            },
        ];
        let names = steps.map(|step| serde_json::to_value(step).unwrap()["do"].clone());
        assert_eq!(names, ["aside", "bring", "arm-expiry"]);
    }
}
