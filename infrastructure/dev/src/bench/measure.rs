//! What a child and everything it starts cost: time, processor, memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::Serialize;

use xtask::exec::{Exec, Finished};

/// A run that takes longer hangs.
const DEADLINE: Duration = Duration::from_hours(2);
/// Often enough: what is asked for is each process's own high-water mark. Early at first, for processes that end at once.
const FIRST_SAMPLE: Duration = Duration::from_millis(2);
const SAMPLE_EVERY: Duration = Duration::from_millis(20);
/// Clock ticks of `/proc/*/stat`: 100 a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// The costs of one run.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(super) struct Cost {
    pub elapsed_s: f64,
    /// User and system time of all its processes.
    pub cpu_s: f64,
    /// The largest that all its processes were together, and that one of them was. Counted on Linux only.
    pub rss_together_bytes: u64,
    pub rss_largest_bytes: u64,
}

/// Runs the command and gives what it printed and what it cost; anything but exit 0 is an error.
pub(super) fn run(exec: Exec) -> Result<(String, Cost)> {
    let (finished, cost) = run_to_end(exec)?;
    Ok((finished.checked()?.stdout, cost))
}

/// The same, with the judgement of the exit code left to the caller.
pub(super) fn run_to_end(exec: Exec) -> Result<(Finished, Cost)> {
    let known = descendants(&BTreeSet::new());
    let (stop, stopped) = mpsc::channel::<()>();
    let sampler = std::thread::spawn(move || {
        let mut peak = Peak::default();
        let mut pause = FIRST_SAMPLE;
        while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            peak.sample(&known);
            pause = SAMPLE_EVERY.min(pause * 2);
        }
        peak
    });
    let (started, cpu_before) = (Instant::now(), children_cpu_s());
    let finished = exec.deadline(DEADLINE).output();
    let elapsed_s = started.elapsed().as_secs_f64();
    drop(stop);
    let peak = sampler.join().ok().context("the sampler of memory panicked")?;
    let cost = Cost {
        elapsed_s,
        cpu_s: children_cpu_s() - cpu_before,
        rss_together_bytes: peak.together,
        rss_largest_bytes: peak.largest,
    };
    Ok((finished?, cost))
}

#[derive(Default)]
struct Peak {
    together: u64,
    largest: u64,
}

impl Peak {
    fn sample(&mut self, known: &BTreeSet<u32>) {
        let pids = descendants(known).into_iter().filter(|pid| !is_beginning(*pid));
        let sizes: Vec<(u64, u64)> = pids.filter_map(memory).collect();
        let together = sizes.iter().map(|(now, _)| now).sum();
        let largest = sizes.iter().map(|(_, peak)| *peak).max().unwrap_or(0);
        self.together = self.together.max(together).max(largest);
        self.largest = self.largest.max(largest);
    }
}

/// Whether a process has not yet become the program that it is to be: until then its memory is ours.
fn is_beginning(pid: u32) -> bool {
    let command = |pid: &str| std::fs::read(format!("/proc/{pid}/cmdline")).ok();
    command(&pid.to_string()) == command("self")
}

/// Resident bytes of a process: now, and at most so far.
fn memory(pid: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    };
    Some((kib("VmRSS:")? * 1024, kib("VmHWM:")? * 1024))
}

/// Processes that this one started, directly or not, without the known ones and what those start: servers in the background.
fn descendants(known: &BTreeSet<u32>) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let entries = Path::new("/proc").read_dir().into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some(parent) = stat_field(&format!("/proc/{pid}/stat"), 1) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let (mut found, mut open) = (BTreeSet::new(), vec![std::process::id()]);
    while let Some(pid) = open.pop() {
        let own = children.remove(&pid).unwrap_or_default();
        for child in own.into_iter().filter(|child| !known.contains(child)) {
            found.insert(child);
            open.push(child);
        }
    }
    found
}

/// Processor time of all processes that were waited for, and of those that they waited for.
fn children_cpu_s() -> f64 {
    let ticks: u32 = [13, 14]
        .iter()
        .filter_map(|at| stat_field("/proc/self/stat", *at))
        .sum();
    f64::from(ticks) / TICKS_PER_SECOND
}

/// A field behind the program's name, which may itself hold spaces and parentheses.
fn stat_field(path: &str, at: usize) -> Option<u32> {
    let stat = std::fs::read_to_string(path).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_of_grandchildren_are_counted() {
        let sh = xshell::Shell::new().unwrap();
        // 40 MB of text in a grandchild's memory.
        let script = "bash -c 'x=$(head -c 40000000 /dev/zero | tr \"\\0\" x); echo ${#x}'; true";
        let (printed, cost) = run(Exec::new(xshell::cmd!(sh, "bash -c {script}"))).unwrap();
        assert_eq!(printed.trim(), "40000000");
        assert!(cost.rss_largest_bytes > 40_000_000, "{cost:?}");
        assert!(cost.rss_together_bytes >= cost.rss_largest_bytes, "{cost:?}");
        assert!(cost.cpu_s > 0.0 && cost.elapsed_s > 0.0, "{cost:?}");
    }
}
