//! What reads outside data, each as a function of some bytes: whatever they are, it ends without a panic, in bounded memory,
//! and what it accepts is what it writes again.
//!
//! `cargo xtask ci fuzz` runs them with libFuzzer. The inputs in `corpus/` are run by a test as well.

mod archive;
mod configuration;
mod container;
mod records;

use std::path::PathBuf;

/// Environment variable that names the target for the program.
pub const TARGET_VARIABLE: &str = "FUZZ_TARGET";

/// One reader of outside data.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder below `corpus/`.
    pub name: &'static str,
    /// Reads the bytes.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "archive",
        run: archive::run,
    },
    Target {
        name: "container",
        run: container::run,
    },
    Target {
        name: "metadata",
        run: records::metadata,
    },
    Target {
        name: "ledger-events",
        run: records::ledger_events,
    },
    Target {
        name: "release-records",
        run: records::release_records,
    },
    Target {
        name: "health-toml",
        run: configuration::health,
    },
    Target {
        name: "pipeline-toml",
        run: configuration::pipeline,
    },
];

impl Target {
    /// The target with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }

    /// Folder of the inputs that are kept.
    pub fn corpus(&self) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "corpus", self.name].iter().collect()
    }
}
