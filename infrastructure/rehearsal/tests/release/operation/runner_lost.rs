//! The machine of a job is lost with everything on it after each live step of a deploy and of a rollback. Another machine,
//! with another path and none of its files, finishes or undoes the operation, with the data.
//!
//! A sample of the steps; `XTASK_LINES=all` runs each of them in both ways.

use rehearsal::test_env::sample::every_line;

use super::case::Case;
use super::disturbed::{Disturbed, Kind, Then};

const STEPS: [(Kind, &str); 8] = [
    (Kind::Deploy, "upload backend"),
    (Kind::Deploy, "backend serves"),
    (Kind::Deploy, "promote frontend"),
    (Kind::Deploy, "record release"),
    (Kind::Rollback, "swap database"),
    (Kind::Rollback, "backend back"),
    (Kind::Rollback, "frontend back"),
    (Kind::Rollback, "record release"),
];
/// What is always run. Nothing but the database has the plan of the swap that the last one undoes.
const SAMPLE: [(usize, Then); 3] = [(0, Then::Undo), (4, Then::Resume), (4, Then::Undo)];

/// Backups are in the clone, and in drafts on GitHub.
fn places(pipeline: &str) -> String {
    let (before, rest) = pipeline.split_once("path = \"").unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    let more = "\n[[backup.places]]\nkind = \"github\"\nrequired = true\n\n[migrations]";
    format!("{before}path = \"backups\"{after}").replace("\n[migrations]", more)
}

/// One job, which is lost once the step is done and before the ledger has it.
fn lose(disturbed: &Disturbed, number: usize, then: Then) {
    let (kind, step) = STEPS[number];
    let told = format!("{}: the runner is lost after `{step}`, {then:?}", kind.name());
    disturbed.set(kind);
    let env = &disturbed.case.env;
    if kind == Kind::Deploy {
        env.commit_release("v3").unwrap();
    }
    let runner = env.clone_of(&format!("runner-{number}-{then:?}")).unwrap();
    let at = format!("text:\"entry\":\"done\",\"step\":\"{step}\"");
    let mut variables = disturbed.library.env("/steps.jsonl", &at, "after");
    variables.push(("GITHUB_ACTIONS", "true".to_owned()));
    let killed = disturbed
        .case
        .run_in(&runner, &disturbed.arguments(kind), &variables);
    assert_eq!(killed.code, None, "{told}: {}", killed.error());
    std::fs::remove_dir_all(&runner).unwrap();
    for own in [".xtask", "backups"] {
        std::fs::remove_dir_all(env.clone_dir().join(own)).ok();
    }
    disturbed.settle_as(kind, &killed, then, &told);
}

#[test]
fn the_runner_is_lost_after_a_live_step_and_another_machine_finishes_or_undoes() {
    let case = Case::with(places);
    let disturbed = Disturbed::of(case);
    if every_line() {
        for number in 0..STEPS.len() {
            lose(&disturbed, number, Then::Resume);
            lose(&disturbed, number, Then::Undo);
        }
    } else {
        for (number, then) in SAMPLE {
            lose(&disturbed, number, then);
        }
    }
}
