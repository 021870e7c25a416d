use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::*;
use xshell::{Shell, cmd};

fn shell() -> Shell {
    Shell::new().expect("the current folder is readable")
}

#[test]
fn a_failure_names_the_command_its_code_and_its_last_lines() {
    let sh = shell();
    let error = Exec::new(cmd!(sh, "sh -c 'echo first >&2; echo last >&2; exit 7'"))
        .run()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`sh -c 'echo first >&2; echo last >&2; exit 7'` ended with exit code 7\n    | first\n    | last"
    );
}

#[test]
fn a_child_sees_only_what_it_was_given() {
    let sh = shell();
    let secret = Secret::new("s3cret-value");
    let seen = Exec::new(cmd!(sh, "env"))
        .env("GIVEN", "1")
        .secret_env("TOKEN", &secret)
        .read()
        .unwrap();
    assert!(seen.contains("GIVEN=1") && seen.contains("TOKEN=s3cret-value"));
    assert!(
        !seen.contains("CARGO_PKG_NAME"),
        "cargo's own variables must not reach children"
    );
}

#[test]
fn a_program_is_looked_for_in_the_path_of_the_child() {
    use std::os::unix::fs::PermissionsExt as _;

    let (sh, folder) = (shell(), tempfile::tempdir().unwrap());
    let program = folder.path().join("only-there");
    std::fs::write(&program, "#!/bin/sh\necho found\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let there = Exec::new(cmd!(sh, "only-there")).env("PATH", folder.path());
    assert_eq!(there.read().unwrap(), "found");
    let error = Exec::new(cmd!(sh, "only-there")).run().unwrap_err();
    assert!(
        format!("{error:#}").contains("cannot start `only-there`: No such file"),
        "{error:#}"
    );
}

#[test]
fn a_child_past_its_deadline_is_stopped_with_its_grandchildren() {
    let sh = shell();
    // The grandchild holds standard output open: without ending the group the read would last as long as it.
    let started = Instant::now();
    let error = Exec::new(cmd!(sh, "sh -c 'sleep 600 & sleep 600'"))
        .deadline(Duration::from_millis(200))
        .read()
        .unwrap_err();
    assert!(error.to_string().contains("did not end within"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(300));
}

#[test]
fn secrets_are_scrubbed_from_errors() {
    let sh = shell();
    let secret = Secret::new("hunter2-hunter2");
    let error = Exec::new(cmd!(sh, "sh -c 'echo $P >&2; exit 1'"))
        .secret_env("P", &secret)
        .run()
        .unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn input_reaches_the_child_and_a_failed_producer_ends_it() {
    let sh = shell();
    assert_eq!(Exec::new(cmd!(sh, "cat")).stdin("abc").read().unwrap(), "abc");
    let (produced, finished) = Exec::new(cmd!(sh, "cat"))
        .stream_in::<()>(|pipe| {
            pipe.write_all(b"half")?;
            bail!("the source broke")
        })
        .unwrap();
    assert_eq!(produced.unwrap_err().to_string(), "the source broke");
    assert_ne!(finished.code, Some(0));
}

#[test]
fn a_held_command_is_asked_to_end_as_by_a_person_when_it_is_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let sh = shell_in(folder.path()).unwrap();
    // As one that has something to end at SIGINT, which handles it whatever it came with.
    let script = "trap 'echo ended >&2; exit 0' INT; echo ready >&2; while :; do sleep 0.05; done";
    let (sender, lines) = mpsc::channel();
    let exec = Exec::new(xshell::cmd!(sh, "env --default-signal=INT bash -c {script}"));
    let held = exec
        .on_stderr(move |line| drop(sender.send(line.to_owned())))
        .hold()
        .unwrap();
    let next = || lines.recv_timeout(Duration::from_secs(30));
    assert_eq!(next().unwrap(), "ready");
    drop(held);
    assert_eq!(next().unwrap(), "ended");
    assert!(next().is_err(), "nothing of it is left");
}
