//! An operation that is caught in the middle: a call of a platform that is held, the process that holds the lock, and what the
//! ledger has of it.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::TestEnv;

/// The one call that is held.
const HELD: &str = "held";

impl TestEnv {
    /// The platform does not begin this call until it is let go.
    pub fn hold(&self, platform: &str, operation: &str) -> Result<()> {
        let fault = json!({"id": HELD, "platform": platform, "operation": operation, "kind": "hold-before"});
        self.control("/faults", &fault)
    }

    /// Whether somebody waits for the call that is held; `None` until then.
    pub fn held(&self) -> Result<Option<()>> {
        let report = self.platform_report()?;
        let faults = report["faults"]
            .as_array()
            .context("the simulator lists no faults")?;
        let hit = faults
            .iter()
            .any(|fault| fault["id"] == HELD && fault["hit"].as_u64() > Some(0));
        Ok(hit.then_some(()))
    }

    /// Lets the call go on.
    pub fn let_go(&self) -> Result<()> {
        self.control("/faults/release", &json!({ "id": HELD }))
    }

    /// `kill -9` of the process that the ledger names as the holder of the lock.
    pub fn kill_holder(&self) -> Result<()> {
        let pid = self.last_operation()?["holder"]["pid"].as_i64();
        let pid = pid.and_then(|pid| i32::try_from(pid).ok());
        let pid = pid
            .and_then(rustix::process::Pid::from_raw)
            .context("the ledger names no process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).context("cannot kill the holder")
    }

    /// The last operation of the ledger.
    pub fn last_operation(&self) -> Result<Value> {
        let ledger = self.xtask_json("ledger", &["ledger"])?;
        let last = ledger["operations"].as_array().and_then(|all| all.last());
        last.cloned().context("the ledger is empty")
    }

    /// The tags of the releases, the newest first.
    pub fn release_tags(&self) -> Result<Vec<String>> {
        let listing = self.xtask_json("releases", &["releases"])?;
        let releases = listing["releases"].as_array().context("no list of releases")?;
        let tag = |one: &Value| one["release"]["tag"].as_str().map(str::to_owned);
        let tags: Option<Vec<String>> = releases.iter().map(tag).collect();
        tags.with_context(|| format!("a release without a tag: {listing}"))
    }
}
