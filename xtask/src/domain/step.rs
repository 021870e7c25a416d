//! Every step of every operation, with its persisted name, its impact and its time budget.
//!
//! Ledgers, journals and release records hold the names, so a name never changes. Readers keep a name that they do not
//! know (a newer version wrote it) and ignore it.

use std::fmt;

use serde::Serialize;

use super::parts::{BACKEND, FRONTEND};

/// Time budgets of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Budgets {
    pub backup_ms: u64,
    pub restore_ms: u64,
    pub redeploy_ms: u64,
    pub total_ms: u64,
}

/// Whether a step changes what users see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impact {
    /// Nothing that users see changes.
    Staged,
    /// Users see the change. The lock is proved before such a step.
    Live,
}

/// What a step works on, which decides its budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Backup,
    Restore,
    Redeploy,
    /// Checks, records and settings have no budget.
    Unbudgeted,
}

/// What a step is done for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DoneFor {
    /// The whole operation.
    Whole,
    /// Each backend.
    Backend,
    /// Each frontend.
    Frontend,
    /// Each command that is configured.
    Command,
}

/// The enum, the list of all its values, and the table of names, impacts, budgets and parts, from one list.
macro_rules! steps {
    ($( $(#[$doc:meta])* $step:ident = $name:literal, $impact:ident, $work:ident, $done_for:ident; )*) => {
        /// A step of a deploy, a rollback, a restore, or of the undo of one of them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Step {
            $( $(#[$doc])* $step, )*
        }

        impl Step {
            /// Every step.
            pub const ALL: &[Self] = &[ $( Self::$step, )* ];

            const fn row(self) -> (&'static str, Impact, Work, DoneFor) {
                match self {
                    $( Self::$step => ($name, Impact::$impact, Work::$work, DoneFor::$done_for), )*
                }
            }
        }
    };
}

steps! {
    /// Facts, plan and preflight, before the lock is taken.
    Plan = "observe and plan", Staged, Unbudgeted, Whole;

    Approvals = "approvals", Staged, Unbudgeted, Whole;
    /// The backup that a deploy takes before it changes anything.
    Backup = "backup", Staged, Backup, Whole;
    /// The snapshot that Atlas takes. How long it takes is Atlas's.
    Snapshot = "snapshot", Staged, Unbudgeted, Whole;
    SetFrontendVariables = "set frontend variables", Staged, Unbudgeted, Frontend;
    StageFrontend = "stage frontend", Staged, Redeploy, Frontend;
    CheckStagedFrontend = "check staged frontend", Staged, Unbudgeted, Frontend;
    SetVariables = "set variables", Staged, Unbudgeted, Backend;
    UploadBackend = "upload backend", Live, Redeploy, Backend;
    BackendServes = "backend serves", Live, Redeploy, Backend;
    CheckBackend = "check backend", Staged, Unbudgeted, Whole;
    PromoteFrontend = "promote frontend", Live, Redeploy, Frontend;
    CheckRelease = "check release", Staged, Unbudgeted, Whole;
    RecordRelease = "record release", Live, Unbudgeted, Whole;

    /// The backup that a rollback or a restore takes of what it replaces.
    SafetyBackup = "safety backup", Staged, Backup, Whole;
    /// The backup is restored beside the live database and proved equal to it.
    PrepareShadow = "restore into shadow", Staged, Restore, Whole;
    SwapDatabase = "swap database", Live, Restore, Whole;
    RollBackBackend = "backend back", Live, Redeploy, Backend;
    RollBackFrontend = "frontend back", Live, Redeploy, Frontend;
    /// The restored database is read again, and what only the previous collections had is exported.
    ProveDatabase = "prove database", Staged, Restore, Whole;

    /// Who confirmed what a rollback means for the systems outside.
    External = "external systems", Staged, Unbudgeted, Whole;
    /// A command of `[[restore.after]]`.
    AfterRestore = "after restore", Live, Unbudgeted, Command;
    /// A command of `[[rollback.after]]`.
    AfterRollback = "after rollback", Live, Unbudgeted, Command;

    /// From here on the operation can only be undone.
    Reverting = "going back", Staged, Unbudgeted, Whole;
    UndoSettleBackend = "undo: wait for the backend", Staged, Unbudgeted, Backend;
    UndoBackend = "undo: backend", Live, Redeploy, Backend;
    UndoFrontend = "undo: frontend", Live, Redeploy, Frontend;
    UndoDatabase = "undo: database", Live, Restore, Whole;

    /// A command of either list.
    UndoAfter = "undo: after", Live, Unbudgeted, Command;

    /// A restore on its own is about to swap.
    RestoreSwapBegins = "swap begins", Live, Unbudgeted, Whole;
    /// The undo of a restore began.
    RestoreUndo = "undo", Live, Unbudgeted, Whole;
    /// A restore was resumed.
    RestoreResume = "resume", Live, Unbudgeted, Whole;
}

impl Step {
    /// The name in ledgers, journals, release records and reports.
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// Whether users see what it changes.
    pub const fn impact(self) -> Impact {
        self.row().1
    }

    /// How long it may take, in milliseconds; `None` where it has no budget.
    pub const fn budget_ms(self, budgets: &Budgets) -> Option<u64> {
        match self.row().2 {
            Work::Backup => Some(budgets.backup_ms),
            Work::Restore => Some(budgets.restore_ms),
            Work::Redeploy => Some(budgets.redeploy_ms),
            Work::Unbudgeted => None,
        }
    }

    /// Whether a platform does it, which is waited for and cannot be hurried.
    pub const fn is_of_platforms(self) -> bool {
        matches!(self.row().2, Work::Redeploy)
    }

    /// Whether it is done once for each part of a release, or each command.
    pub const fn is_of_parts(self) -> bool {
        !matches!(self.row().3, DoneFor::Whole)
    }

    /// The step of one part. Where a pipeline has one of each, the name says no part, as in the records of earlier versions.
    pub fn of(self, part: &str) -> PartStep {
        let part = (part != BACKEND && part != FRONTEND).then(|| part.to_owned());
        PartStep { step: self, part }
    }

    /// The step of this name, whichever part it is of; `None` for a name that another version wrote.
    pub fn named(name: &str) -> Option<Self> {
        PartStep::named(name).map(|step| step.step)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A step, and the part of a release that it is done for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartStep {
    pub step: Step,
    /// `None` for the single part of its kind, and for a step of the whole operation.
    part: Option<String>,
}

impl PartStep {
    /// The name in ledgers, journals, release records and reports.
    pub fn name(&self) -> String {
        match &self.part {
            None => self.step.name().to_owned(),
            Some(part) => format!("{} {part}", self.step.name()),
        }
    }

    /// Reads a name; `None` for one that another version wrote.
    pub fn named(name: &str) -> Option<Self> {
        Step::ALL.iter().find_map(|step| {
            let rest = name.strip_prefix(step.name())?;
            let part = match rest.strip_prefix(' ') {
                None if rest.is_empty() => None,
                Some(part) if step.is_of_parts() => Some(part.to_owned()),
                _ => return None,
            };
            Some(Self { step: *step, part })
        })
    }

    /// The name of the part, of a step that is done for a backend or a frontend.
    pub fn part(&self) -> &str {
        self.part.as_deref().unwrap_or(match self.step.row().3 {
            DoneFor::Frontend => FRONTEND,
            DoneFor::Backend | DoneFor::Command | DoneFor::Whole => BACKEND,
        })
    }
}

impl From<Step> for PartStep {
    fn from(step: Step) -> Self {
        Self { step, part: None }
    }
}

impl fmt::Display for PartStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGETS: Budgets = Budgets {
        backup_ms: 1,
        restore_ms: 2,
        redeploy_ms: 3,
        total_ms: 4,
    };

    #[test]
    fn a_step_has_the_budget_of_what_it_works_on() {
        let table = [
            ("backup", Some(1)),
            ("safety backup", Some(1)),
            ("restore into shadow", Some(2)),
            ("swap database", Some(2)),
            ("promote frontend", Some(3)),
            ("backend serves", Some(3)),
            ("check backend", None),
            ("record release", None),
            ("set variables", None),
        ];
        for (name, budget_ms) in table {
            let step = Step::named(name).unwrap();
            assert_eq!(step.budget_ms(&BUDGETS), budget_ms, "{name}");
        }
    }

    #[test]
    fn each_name_is_one_step_and_is_read_back() {
        for step in Step::ALL {
            assert_eq!(Step::named(step.name()), Some(*step));
        }
        assert_eq!(Step::named("a step of a newer version"), None);
    }

    #[test]
    fn a_step_of_a_part_has_its_name_and_the_single_part_has_none() {
        for step in Step::ALL.iter().filter(|step| step.is_of_parts()) {
            let of_part = step.of("api-2");
            assert_eq!(of_part.name(), format!("{} api-2", step.name()));
            assert_eq!(PartStep::named(&of_part.name()), Some(of_part.clone()));
            assert_eq!(of_part.part(), "api-2");
        }
        let single = Step::UploadBackend.of(BACKEND);
        assert_eq!(single.name(), Step::UploadBackend.name());
        assert_eq!(PartStep::named("upload backend").unwrap().part(), BACKEND);
        assert_eq!(PartStep::named("promote frontend").unwrap().part(), FRONTEND);
        // The steps of the whole operation have no parts.
        assert_eq!(PartStep::named("backup api"), None);
    }
}
