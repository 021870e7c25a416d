//! What it was measured on.

use serde::Serialize;

use xtask::context::Context;
use xtask::report;
use xtask::tools::git::Git;

/// The machine and the program.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub(super) cores: usize,
    /// As the kernel names it; empty where it does not.
    pub(super) processor: String,
    pub(super) memory_bytes: u64,
    /// What is checked out; empty outside of git.
    pub(super) commit: String,
    /// Whether what is checked out was changed since.
    pub(super) uncommitted: bool,
    /// How this program was built.
    pub(super) profile: &'static str,
}

impl Machine {
    pub(super) fn look(ctx: &Context) -> Self {
        let git = Git::open(ctx);
        let after = |file: &str, name: &str| -> Option<String> {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = after("/proc/meminfo", "MemTotal").unwrap_or_default();
        let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        Self {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            processor: after("/proc/cpuinfo", "model name").unwrap_or_default(),
            memory_bytes: kib * 1024,
            commit: git.head().map(|id| id.to_string()).unwrap_or_default(),
            uncommitted: git.uncommitted().map_or(true, |changed| !changed.is_empty()),
            profile: if cfg!(debug_assertions) { "dev" } else { "release" },
        }
    }

    pub(super) fn text(&self) -> String {
        format!(
            "{} cores ({}), {}; commit {}{}; profile {}\n",
            self.cores,
            self.processor,
            report::bytes(self.memory_bytes),
            self.commit,
            if self.uncommitted { " and changes" } else { "" },
            self.profile
        )
    }
}

/// How many processes wanted a core in the last minute; 0 where the kernel does not tell.
pub(super) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|word| word.parse().ok()).unwrap_or(0.0)
}
