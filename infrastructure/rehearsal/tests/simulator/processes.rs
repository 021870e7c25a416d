//! Nothing outlives its owner, however that one ends.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::env::{REHEARSAL, SimulatorEnv, all_gone, is_running};

fn running_env() -> (SimulatorEnv, Vec<u32>) {
    let env = SimulatorEnv::start();
    env.seed(60);
    let id = env.up("v1", "release=a sha=1");
    assert_eq!(env.settled(&id), "SUCCESS");
    let pids = env.child_pids();
    assert!(!pids.is_empty() && pids.iter().all(|pid| is_running(*pid)));
    (env, pids)
}

#[test]
fn the_simulator_ends_its_applications() {
    let (env, _) = running_env();
    assert_eq!(env.end(), [0_u32; 0]);
}

#[test]
fn applications_end_when_the_simulator_is_killed() {
    let (mut env, pids) = running_env();
    env.kill_platform();
    assert!(all_gone(&pids));
}

/// A shell that starts a grandchild, as npm's shims do, and says both ids.
fn leashed(script: &str) -> (std::process::Child, Vec<u32>) {
    let mut child = Command::new(REHEARSAL)
        .args(["leash", "--grace-ms", "200", "--", "/bin/sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    let pids = line.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    (child, pids)
}

#[test]
fn a_leash_ends_the_whole_group_when_its_input_ends() {
    for script in [
        "sleep 100 & echo $$ $!; wait",
        "trap '' TERM; sleep 100 & echo $$ $!; wait",
        "(trap '' TERM; exec sleep 100) & echo $$ $!; wait",
    ] {
        let (mut child, pids) = leashed(script);
        assert_eq!(pids.len(), 2);
        drop(child.stdin.take());
        assert!(!child.wait().unwrap().success());
        assert!(all_gone(&pids), "{script}");
    }
}

#[test]
fn a_leash_ends_its_program_when_it_is_told_or_killed() {
    for signal in ["TERM", "INT", "KILL"] {
        let (mut child, pids) = leashed("echo $$; exec sleep 100");
        let status = Command::new("/bin/sh")
            .args(["-c", &format!("kill -{signal} {}", child.id())])
            .status()
            .unwrap();
        assert!(status.success());
        child.wait().unwrap();
        assert!(all_gone(&pids), "{signal}");
    }
}

#[test]
fn a_leash_passes_on_the_exit_code() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)] {
        let mut child = Command::new(REHEARSAL)
            .args(["leash", "--", "/bin/sh", "-c", script])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{script}");
        drop(stdin);
    }
}
