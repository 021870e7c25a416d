//! Nothing outlives its owner, however that one ends.

mod world;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use world::{REHEARSAL, World, all_gone, is_running};

fn running_world() -> (World, Vec<u32>) {
    let world = World::start();
    world.server.seed(world::DATABASE, 60);
    let id = world.up("v1", "release=a sha=1");
    assert_eq!(world.settled(&id), "SUCCESS");
    let pids = world.child_pids();
    assert!(!pids.is_empty() && pids.iter().all(|pid| is_running(*pid)));
    (world, pids)
}

#[test]
fn the_simulator_ends_its_applications() {
    let (world, _) = running_world();
    assert_eq!(world.end(), [0_u32; 0]);
}

#[test]
fn applications_end_when_the_simulator_is_killed() {
    let (mut world, pids) = running_world();
    world.kill_platform();
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
