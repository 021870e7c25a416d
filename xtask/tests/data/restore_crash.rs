//! A restore is killed at every line of its journal; then resumed, and taken back. Nothing may be lost on the way.

use rehearsal::test_env::restore::RestoreEnv;
use rehearsal::test_env::restore::crash::CrashCase;

#[test]
fn killed_at_every_line_of_the_journal_it_is_resumed_and_taken_back() {
    let mut case = CrashCase::new(RestoreEnv::start());
    case.stopped_at(0..case.restore_lines.len(), |case, operation, number| {
        case.killed_within(operation, number);
    });
    case.forget_all();
}

#[test]
fn an_undo_that_is_killed_at_every_line_goes_on() {
    let mut case = CrashCase::new(RestoreEnv::start());
    case.undo_stopped_at(0..case.undo_lines.len(), |case, operation, number| {
        case.undo_killed_within(operation, number);
    });
    case.forget_all();
}

#[test]
fn the_journal_is_lost_with_its_machine_and_another_one_goes_back() {
    let mut case = CrashCase::new(RestoreEnv::start());
    let operation = case.begin();
    case.env.ok(&["restore", "--resume", &operation]);
    std::fs::remove_dir_all(case.env.root().join(".xtask")).unwrap();
    case.undo(&operation, "the journal was lost");
}
