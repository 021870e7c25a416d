//! The same where it is stopped while it asks a platform something within a step: the question to the ledger of that step lies behind it,
//! and the change of the platform is still to come.

use std::path::Path;
use std::process::Child;

use super::disturbed::{Disturbed, Kind};
use super::zombie::{stopped, stopped_and_undone};

/// A step that asks a program before it changes what that reaches.
struct Asking {
    kind: Kind,
    step: &'static str,
    program: &'static str,
    /// What runs at the same time, and has ended when the process is stopped: what it has started would go on alone.
    beside: Option<&'static str>,
}

const fn asking(kind: Kind, step: &'static str, program: &'static str) -> Asking {
    Asking {
        kind,
        step,
        program,
        beside: None,
    }
}

const STEPS: [Asking; 5] = [
    asking(Kind::Deploy, "stage frontend", "vercel").beside("backup"),
    asking(Kind::Rollback, "backend back", "railway").beside("frontend back"),
    asking(Kind::Rollback, "frontend back", "vercel").beside("backend back"),
    asking(Kind::Deploy, "upload backend", "railway"),
    asking(Kind::Deploy, "promote frontend", "vercel"),
];

impl Asking {
    const fn beside(self, step: &'static str) -> Self {
        Self {
            beside: Some(step),
            ..self
        }
    }

    /// Starts the operation, and waits until it is stopped.
    fn stopped(&self, disturbed: &Disturbed) -> Child {
        let case = &disturbed.case;
        let script = self.script(&case.env.clone_dir().join(".xtask/operations"));
        let path = case.path_with(self.program, &script);
        stopped(disturbed.command(self.kind).env("PATH", path))
    }

    /// Stops who asks the program first within the step, and then answers as the program does.
    fn script(&self, operations: &Path) -> String {
        let begun = line("begun", self.step);
        let ended = self.beside.map_or(begun.clone(), |step| line("done", step));
        // `-newer`: the journals of earlier operations have these lines too.
        format!(
            "journal=$(find '{}' -name steps.jsonl -newer \"$0\")\n\
             if [ -n \"$journal\" ] && grep -q '{begun}' \"$journal\" && mkdir \"$0.stopped\" 2>/dev/null; then\n\
             \x20   until grep -q '{ended}' \"$journal\"; do sleep 0.05; done\n\
             \x20   kill -STOP $PPID\n\
             fi\n\
             exec \"$REAL\" \"$@\"",
            operations.display()
        )
    }
}

/// How the line of a journal begins.
fn line(entry: &str, step: &str) -> String {
    format!("\"entry\":\"{entry}\",\"step\":\"{step}\"")
}

#[test]
fn a_holder_that_was_stopped_between_a_question_and_a_change_changes_nothing() {
    let disturbed = Disturbed::new();
    let elsewhere = disturbed.case.env.clone_of("somebody").unwrap();
    for asking in &STEPS {
        let stop = || asking.stopped(&disturbed);
        stopped_and_undone(&disturbed, &elsewhere, (asking.kind, asking.step), stop);
    }
}
