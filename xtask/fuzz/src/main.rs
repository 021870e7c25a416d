//! The program that libFuzzer drives: `FUZZ_TARGET=metadata xtask-fuzz [libFuzzer's options] FOLDER…`.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use xtask_fuzz::{TARGET_VARIABLE, TARGETS, Target};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var(TARGET_VARIABLE).unwrap_or_default();
    Target::named(&name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("set {TARGET_VARIABLE} to one of: {}", names.join(", "));
        std::process::exit(2)
    })
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
