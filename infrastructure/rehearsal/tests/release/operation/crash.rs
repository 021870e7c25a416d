//! `kill -9` at every line of the journal of a deploy and of a rollback. Whatever was done by then, `--resume` ends in
//! the one release and `--undo` in the other, and code, data and records agree.

use super::disturbed::{Disturbed, Kind, Then};

/// The kill is either in the middle of writing the line, or when it is written.
const HOW: [&str; 2] = ["torn", "after"];

/// Kills the operation at a line; then what is left of it must become one release.
fn crash(disturbed: &Disturbed, kind: Kind, line: usize, how: &str, then: Then) {
    let told = format!("{}, line {line}, {how}", kind.name());
    disturbed.set(kind);
    let env = disturbed
        .library
        .env("/steps.jsonl", &format!("line:{line}"), how);
    let killed = disturbed.run(kind, &env);
    assert_eq!(killed.code, None, "{told}: {}", killed.error());
    disturbed.settle(kind, &killed, then, &told);
    let forward = (kind == Kind::Deploy) == (then == Then::Resume);
    let expected = if forward {
        &disturbed.new
    } else {
        &disturbed.case.old()
    };
    assert_eq!(&disturbed.case.seen(), expected, "{told}, {then:?}");
}

#[test]
fn killed_at_every_line_and_resumed() {
    let disturbed = Disturbed::new();
    let (deploy, rollback) = (disturbed.deploy.len(), disturbed.rollback.len());
    for line in 1..=deploy.max(rollback) {
        let how = HOW[line % 2];
        if line <= deploy {
            crash(&disturbed, Kind::Deploy, line, how, Then::Resume);
        }
        if line <= rollback {
            crash(&disturbed, Kind::Rollback, line, how, Then::Resume);
        }
    }
}

#[test]
fn killed_at_every_line_and_taken_back() {
    let disturbed = Disturbed::new();
    for line in 1..=disturbed.deploy.len() {
        crash(&disturbed, Kind::Deploy, line, HOW[(line + 1) % 2], Then::Undo);
    }
    for line in 1..=disturbed.rollback.len() {
        crash(&disturbed, Kind::Rollback, line, HOW[(line + 1) % 2], Then::Undo);
    }
}
