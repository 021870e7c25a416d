//! `kill -9` at every line of the journal of a deploy and of a rollback. Whatever was done by then, `--resume` ends in
//! the one release and `--undo` in the other, and code, data and records agree. A sample kills at two lines of three, each once, and
//! then goes in one of the two ways; `XTASK_LINES=all` kills at each and goes in both.

use rehearsal::test_env::sample::sampled;
use serde_json::Value;

use super::disturbed::{Disturbed, Kind, Then};

/// The kill is either in the middle of writing the line, or when it is written.
const HOW: [&str; 2] = ["torn", "after"];

/// Of so many records of the restore within a rollback one is killed at; the tests of restores kill at each of them.
const RESTORE_SAMPLE: usize = 5;

/// Each of the two ways is gone after one line of so many.
const ONE_OF: usize = 3;

/// The lines to kill at: a sample of the steps, and of the records of the restore between them.
fn numbers(lines: &[Value], first: usize) -> impl Iterator<Item = usize> {
    let numbered = (1..).zip(lines);
    let stops = numbered.filter(|(number, line)| line.get("entry").is_some() || number % RESTORE_SAMPLE == 0);
    sampled(stops.map(|(number, _)| number), ONE_OF, first).into_iter()
}

/// Kills the operation at a line; then what is left of it must become one release.
fn crash(disturbed: &Disturbed, kind: Kind, line: usize, how: &str, then: Then) {
    let told = format!("{}, line {line}, {how}", kind.name());
    disturbed.set(kind);
    let env = disturbed
        .library
        .env("/steps.jsonl", &format!("line:{line}"), how);
    let killed = disturbed.run(kind, &env);
    assert_eq!(killed.code, None, "{told}: {}", killed.error());
    disturbed.settle_as(kind, &killed, then, &format!("{told}, {then:?}"));
}

#[test]
fn killed_at_every_line_and_resumed() {
    let disturbed = Disturbed::new();
    let mut deploy = numbers(&disturbed.deploy, 0).peekable();
    let mut rollback = numbers(&disturbed.rollback, 1).peekable();
    while deploy.peek().is_some() || rollback.peek().is_some() {
        if let Some(line) = deploy.next() {
            crash(&disturbed, Kind::Deploy, line, HOW[line % 2], Then::Resume);
        }
        if let Some(line) = rollback.next() {
            crash(&disturbed, Kind::Rollback, line, HOW[line % 2], Then::Resume);
        }
    }
}

#[test]
fn killed_at_every_line_and_taken_back() {
    let disturbed = Disturbed::new();
    for line in numbers(&disturbed.deploy, 1) {
        crash(&disturbed, Kind::Deploy, line, HOW[(line + 1) % 2], Then::Undo);
    }
    for line in numbers(&disturbed.rollback, 0) {
        crash(&disturbed, Kind::Rollback, line, HOW[(line + 1) % 2], Then::Undo);
    }
}
