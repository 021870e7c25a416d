//! Who we are, and whether a holder on this machine is still alive.

use std::path::Path;
use std::sync::OnceLock;

use crate::domain::ledger::Holder;

/// What this machine knows about a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Alive,
    Dead,
    /// It ran elsewhere: only its lease tells.
    Unknown,
}

/// This process as a holder.
pub(super) fn this_process() -> Holder {
    static THIS: OnceLock<Holder> = OnceLock::new();
    THIS.get_or_init(|| {
        let pid = std::process::id();
        Holder {
            user: crate::context::actor(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid,
            run: workflow_run(),
            process: machine()
                .zip(started(pid))
                .map(|(machine, at)| format!("{machine}/{at}")),
        }
    })
    .clone()
}

/// Whether the holder's process lives, as far as this machine can tell.
pub(super) fn life(holder: &Holder) -> Life {
    let Some((machine_then, started_then)) = holder
        .process
        .as_deref()
        .and_then(|process| process.rsplit_once('/'))
    else {
        return Life::Unknown;
    };
    if holder.host != this_process().host || machine().as_deref() != Some(machine_then) {
        return Life::Unknown;
    }
    if started(holder.pid).as_deref() == Some(started_then) {
        Life::Alive
    } else {
        Life::Dead
    }
}

/// This boot of this machine, and the space that process numbers belong to (containers have their own).
fn machine() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let space = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), space.display()))
}

/// Whether a process is stopped, by a signal or a debugger: it does not end before it is continued.
pub(super) fn is_stopped(pid: u32) -> bool {
    fields(pid).is_some_and(|fields| fields.starts_with(['T', 't']))
}

/// What the kernel shows of a process, from the letter of its state on.
fn fields(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The name, in parentheses, may contain anything, parentheses too.
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.trim_start().to_owned())
}

/// When the process started, in the kernel's ticks; `None` where it is gone, or dead and not yet collected.
fn started(pid: u32) -> Option<String> {
    let fields = fields(pid)?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let running = !matches!(*fields.first()?, "Z" | "X");
    running.then(|| fields.get(19).map(ToString::to_string)).flatten()
}

fn workflow_run() -> Option<String> {
    let id = first_set(&["GITHUB_RUN_ID"])?;
    let attempt = first_set(&["GITHUB_RUN_ATTEMPT"]).unwrap_or_else(|| "1".into());
    let server = first_set(&["GITHUB_SERVER_URL"]).unwrap_or_else(|| "https://github.com".into());
    let repository = first_set(&["GITHUB_REPOSITORY"])?;
    Some(format!(
        "{server}/{repository}/actions/runs/{id}/attempts/{attempt}"
    ))
}

fn first_set(names: &[&str]) -> Option<String> {
    names
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_a_dead_one_and_from_one_elsewhere() {
        let us = this_process();
        assert_eq!(life(&us), Life::Alive);

        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let process = format!("{}/{}", machine().unwrap(), started(child.id()).unwrap());
        let held = Holder {
            pid: child.id(),
            process: Some(process),
            ..us.clone()
        };
        assert_eq!((life(&held), is_stopped(held.pid)), (Life::Alive, false));
        let stop = std::process::Command::new("kill")
            .args(["-STOP", &held.pid.to_string()])
            .status();
        assert!(stop.unwrap().success());
        let since = std::time::Instant::now();
        while !is_stopped(held.pid) {
            assert!(
                since.elapsed() < std::time::Duration::from_secs(30),
                "it does not stop"
            );
        }
        assert_eq!(life(&held), Life::Alive);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(life(&held), Life::Dead);

        let same_pid_later = Holder {
            process: Some(format!("{}/1", machine().unwrap())),
            ..us.clone()
        };
        assert_eq!(life(&same_pid_later), Life::Dead);
        let elsewhere = [
            Holder {
                host: "other".into(),
                ..us.clone()
            },
            Holder {
                process: Some("other-boot/pid:[1]/1".into()),
                ..us.clone()
            },
            Holder { process: None, ..us },
        ];
        for holder in elsewhere {
            assert_eq!(life(&holder), Life::Unknown, "{holder:?}");
        }
    }
}
