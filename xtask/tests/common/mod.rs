//! What the flow tests share: a real server in a folder of its own, a repository around it, and `xtask` run in a cleared
//! environment.

#![allow(dead_code, unused_imports, reason = "every test binary uses its own part")]

pub mod crash;
mod data;
mod proxy;
mod server;
mod world;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

pub use data::{change, seed};
pub use proxy::{Fault, Proxy};
pub use server::Server;
pub use world::{DATABASE, World};

/// A program on PATH; its absence fails the test, which would otherwise prove nothing.
pub fn program(names: &[&str]) -> PathBuf {
    let found = names.iter().find_map(|name| which::which(name).ok());
    found.unwrap_or_else(|| panic!("none of {names:?} is on PATH: run the tests by `cargo xtask ci`"))
}

/// A process that is killed, with all that it started, when this value goes.
pub struct Owned(pub Child);

impl Owned {
    pub fn start(command: &mut Command) -> Self {
        let child = command.process_group(0).spawn();
        Self(child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }

    /// SIGKILL to the whole group.
    pub fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.0.wait().ok();
    }

    /// Signals the whole group.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.0.id()).unwrap();
        let group = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process_group(group, signal).ok();
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.kill();
    }
}

pub fn git(dir: &Path, args: &[&str]) {
    let mut command = Command::new("git");
    command
        .args(args)
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    assert!(command.status().unwrap().success(), "git {args:?}");
}

/// What a program said, for a failed assertion.
pub fn told(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{} {}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}

/// Waits until `done`; a deadline instead of a sleep of a guessed length.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !done() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
