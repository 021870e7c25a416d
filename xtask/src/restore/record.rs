//! What a restore writes into its journal, and the state that the lines of a journal amount to.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::rescue::Rescue;
use crate::context::Context;
use crate::database::ViewDefinition;
use crate::domain::inventory::{Difference, Inventory};
use crate::domain::operation::OperationId;
use crate::operation::journal::{Journal, operation_dir, read_file};

/// Apart from the journal of the deploy or rollback that a restore may be part of.
pub const FILE_NAME: &str = "restore.jsonl";

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Record {
    /// What is restored into what.
    Planned(Planned),
    /// The backup file was read whole and is as recorded.
    Verified,
    /// From here on shadow collections may exist.
    ShadowBegun,
    /// Every document was accepted by the server.
    ShadowFilled {
        documents: u64,
        ms: u64,
    },
    /// Documents, indexes and options of the shadow are those of the backup.
    ShadowCompared {
        ms: u64,
    },
    /// From here on live collections may have been moved.
    SwapBegun(SwapPlan),
    /// A step of the swap is about to be made, or was made.
    Before {
        step: Step,
    },
    After {
        step: Step,
        ms: u64,
    },
    /// All steps were made.
    Swapped,
    /// The live database was read again; what was found beside documents that the application wrote since.
    Compared {
        written_since: Vec<Difference>,
    },
    /// What only the old state had was exported.
    Rescued {
        rescue: Option<Rescue>,
    },
    /// The server had lost it in a crash; it was built anew.
    Mended(Mended),
    /// A step back is about to be made, or was made.
    UndoBegun {
        before: Inventory,
    },
    Undoing {
        step: Step,
    },
    Undone {
        written_since: Vec<Difference>,
    },
    /// The old collections were dropped.
    Forgotten,
}

/// What is restored into what.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Planned {
    pub backup: PathBuf,
    pub backup_id: String,
    pub environment: String,
    pub database: String,
    pub host: String,
}

/// Everything that the swap does, in order; written before its first step and enough for going back.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SwapPlan {
    pub steps: Vec<Step>,
    /// What was live then: what a server that crashes may lose can be built anew only where its shape is known.
    #[serde(default)]
    pub before: Inventory,
    #[serde(default)]
    pub begun: Option<DateTime<Utc>>,
}

/// Something that a server lost when it was killed, and that was built anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// As it stands in the database.
    pub collection: String,
    /// What was lost and whence it was taken.
    pub what: String,
}

/// One change. Each can be repeated: whether it was made is asked of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Step {
    /// The live collection goes aside.
    Aside { collection: String },
    /// The restored collection takes the live name.
    Bring { collection: String },
    /// The live view goes; its definition is here.
    DropView {
        view: String,
        definition: ViewDefinition,
    },
    /// The backup's view is made.
    MakeView {
        view: String,
        definition: ViewDefinition,
    },
    /// A TTL index begins to let documents expire.
    ArmExpiry {
        collection: String,
        index: String,
        expire_after_s: i64,
    },
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Nothing live was touched.
    Preparing,
    /// Restored beside the live collections and compared; nothing live was touched.
    Prepared,
    /// Some live collections may have been replaced.
    Swapping,
    /// The backup is live, the old collections stand beside it.
    Swapped,
    /// Some collections may have been put back.
    Undoing,
    /// What was live before is live again.
    Undone,
    /// The collections beside the live ones were dropped.
    Forgotten,
}

impl Phase {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preparing => "stopped before the swap",
            Self::Prepared => "ready to swap",
            Self::Swapping => "stopped midway",
            Self::Swapped => "done",
            Self::Undoing => "undo stopped midway",
            Self::Undone => "taken back",
            Self::Forgotten => "forgotten",
        }
    }
}

/// What the lines of a journal amount to.
#[derive(Debug, Clone)]
pub struct History {
    pub planned: Option<Planned>,
    pub swap: Option<SwapPlan>,
    pub phase: Phase,
    pub compared: bool,
    /// Whether what only the old state had was looked for; there may have been nothing.
    pub rescued: bool,
    /// How long it took to restore beside the live collections, and to compare.
    pub restore_ms: u64,
    pub compare_ms: u64,
    pub rescue: Option<Rescue>,
    pub undo_before: Option<Inventory>,
    /// Steps of the swap, and of an undo, that were begun, whether or not they were made.
    begun: Vec<Step>,
    begun_back: Vec<Step>,
    pub mended: Vec<Mended>,
}

impl History {
    pub fn of(records: &[Record]) -> Self {
        let mut history = Self {
            planned: None,
            swap: None,
            phase: Phase::Preparing,
            compared: false,
            rescued: false,
            restore_ms: 0,
            compare_ms: 0,
            rescue: None,
            undo_before: None,
            begun: Vec::new(),
            begun_back: Vec::new(),
            mended: Vec::new(),
        };
        for record in records {
            history.add(record);
        }
        history
    }

    /// Takes one more line into account.
    pub fn add(&mut self, record: &Record) {
        match record {
            Record::Planned(planned) => self.planned = Some(planned.clone()),
            Record::ShadowBegun => self.phase = Phase::Preparing,
            Record::ShadowFilled { ms, .. } => self.restore_ms = *ms,
            Record::ShadowCompared { ms } => {
                self.compare_ms = *ms;
                self.phase = Phase::Prepared;
            }
            Record::SwapBegun(plan) => {
                self.swap = Some(plan.clone());
                self.phase = Phase::Swapping;
            }
            Record::Swapped => self.phase = Phase::Swapped,
            Record::Compared { .. } => self.compared = true,
            Record::Rescued { rescue } => {
                self.rescued = true;
                self.rescue.clone_from(rescue);
            }
            Record::UndoBegun { before } => {
                self.undo_before = Some(before.clone());
                self.phase = Phase::Undoing;
            }
            Record::Undone { .. } => self.phase = Phase::Undone,
            Record::Forgotten => self.phase = Phase::Forgotten,
            Record::Before { step } => self.begun.push(step.clone()),
            Record::Undoing { step } => self.begun_back.push(step.clone()),
            Record::Mended(mended) => self.mended.push(mended.clone()),
            Record::Verified | Record::After { .. } => {}
        }
    }

    /// Whether the restored collection was on its way to the live name: its predecessor had gone aside by then.
    pub fn bringing(&self, collection: &str) -> bool {
        self.begun
            .iter()
            .any(|step| matches!(step, Step::Bring { collection: c } if c == collection))
    }

    /// Whether the old collection was on its way back to the live name: the restored one had given it up by then.
    pub fn putting_back(&self, collection: &str) -> bool {
        self.begun_back
            .iter()
            .any(|step| matches!(step, Step::Aside { collection: c } if c == collection))
    }
}

/// A restore's journal, open for writing, and what it amounts to.
#[derive(Debug)]
pub struct Log {
    journal: Journal,
    pub history: History,
}

impl Log {
    /// Opens the journal of the operation, new or left by a process that ended.
    pub fn open(ctx: &Context, operation: &OperationId) -> Result<Self> {
        let mut journal = Journal::open_file(operation_dir(ctx, operation)?.join(FILE_NAME))?;
        let history = History::of(&journal.read()?);
        Ok(Self { journal, history })
    }

    /// Writes one line; it is on the disk when this returns.
    pub fn write(&mut self, record: &Record) -> Result<()> {
        self.journal
            .append(record)
            .context("cannot record the step: nothing was done")?;
        self.history.add(record);
        Ok(())
    }
}

/// What the journal of an operation amounts to, without holding it.
pub fn read(ctx: &Context, operation: &OperationId) -> Result<History> {
    let records = read_file(&operation_dir(ctx, operation)?.join(FILE_NAME))?;
    Ok(History::of(&records))
}
