//! The lock while it is held: steps, heartbeat, and the proof before each live change that it is still ours.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::chain::Chain;
use super::{LockTiming, describe};
use crate::domain::ledger::{Body, OperationOutcome};
use crate::domain::operation::OperationId;
use crate::error::CliError;
use crate::error::catalogue::operation as errors;
use crate::sync::lock;

/// How often an event is sent again when the remote cannot be reached.
pub(super) const ATTEMPTS: u32 = 7;

/// The lock of an environment. Dropped without [`OperationLock::finish`], its lease simply runs out.
#[derive(Debug)]
pub struct OperationLock {
    id: OperationId,
    shared: Arc<Shared>,
    /// Dropped, it ends the heartbeat.
    _beating: mpsc::Sender<()>,
}

#[derive(Debug)]
struct Shared {
    id: OperationId,
    fence: u64,
    timing: LockTiming,
    /// One writer at a time: the heartbeat and the steps continue the same chain.
    inner: Mutex<Inner>,
    /// Apart from the chain: who only asks for the time that is left does not wait for a push.
    lease: Mutex<HeldLease>,
}

#[derive(Debug)]
struct Inner {
    chain: Chain,
    ended: bool,
}

#[derive(Debug, Clone, Copy)]
struct HeldLease {
    /// When the last event that arrived was about to be sent: the lease counts from there.
    renewed: Clock,
    /// Whether the ledger has shown another holder.
    lost: bool,
}

/// A moment by both clocks: the one since the start of the machine nobody sets, the other one may be set back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    since_boot: Duration,
    wall: SystemTime,
}

impl Clock {
    pub(super) fn now() -> Self {
        Self {
            since_boot: since_boot(),
            wall: SystemTime::now(),
        }
    }

    /// How long ago it was, by the clock that says more.
    fn age(&self) -> Duration {
        let by_wall = self.wall.elapsed().unwrap_or_default();
        since_boot().saturating_sub(self.since_boot).max(by_wall)
    }

    /// What is left of a lease that began then.
    fn left_of(&self, lease: Duration) -> Duration {
        lease.saturating_sub(self.age())
    }
}

/// Since the machine started, the time in which it slept included: on Linux the monotonic clock stands still then
/// (`clock_gettime(2)`, `CLOCK_BOOTTIME`). Elsewhere the other clock shows it.
fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

impl OperationLock {
    pub(super) fn start(
        chain: Chain,
        id: OperationId,
        fence: u64,
        timing: LockTiming,
        renewed: Clock,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            id: id.clone(),
            fence,
            timing,
            inner: Mutex::new(Inner { chain, ended: false }),
            lease: Mutex::new(HeldLease { renewed, lost: false }),
        });
        let (beating, stopped) = mpsc::channel();
        let beats = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("heartbeat".into())
            .spawn(move || beats.beat(&stopped))
            .context("cannot start the heartbeat")?;
        Ok(Self {
            id,
            shared,
            _beating: beating,
        })
    }

    pub fn id(&self) -> &OperationId {
        &self.id
    }

    /// The fencing token: grows with every change of holder.
    pub fn fence(&self) -> u64 {
        self.shared.fence
    }

    /// The newest commit of the ledger that is known here.
    pub fn head(&self) -> Option<String> {
        self.shared.lock().chain.head().map(ToString::to_string)
    }

    /// The steps that this operation has recorded, by earlier holders too.
    pub fn steps(&self) -> Vec<crate::domain::ledger::LedgerStep> {
        let inner = self.shared.lock();
        let held = inner.chain.state().held();
        held.map(|operation| operation.steps.clone()).unwrap_or_default()
    }

    /// Records a step that is done, or one that is about to change something live.
    pub fn step(&self, name: &str, facts: Value) -> Result<()> {
        let body = Body::Step {
            name: name.to_owned(),
            facts,
        };
        self.shared
            .append(&mut self.shared.lock(), &body, ATTEMPTS)
            .with_context(|| format!("cannot record the step {name} in the ledger"))
    }

    /// Proves that the lock is still ours, with time left to act: to be called right before each live change.
    pub fn check(&self) -> Result<()> {
        self.shared.check()
    }

    /// A proof for each single change within a step: it asks the remote only where the lease is about to run out.
    pub fn proof(&self) -> impl Fn() -> Result<()> + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.prove()
    }

    /// The same proof as [`Self::check`], for a part of the operation that does not hold the lock itself.
    pub fn checked(&self) -> impl Fn() -> Result<()> + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.check()
    }

    /// Records the end and lets go of the lock.
    pub fn finish(self, outcome: OperationOutcome, facts: Value) -> Result<()> {
        let mut inner = self.shared.lock();
        self.shared
            .append(&mut inner, &Body::Finished { outcome, facts }, ATTEMPTS)
            .context("cannot record the end of the operation in the ledger")?;
        inner.ended = true;
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// The least that must be left of the lease before something live is changed.
    fn margin(&self) -> Duration {
        self.timing.lease / 4
    }

    /// What is left of the lease.
    fn left(&self) -> Duration {
        let lease = *lock(&self.lease);
        if lease.lost {
            return Duration::ZERO;
        }
        lease.renewed.left_of(self.timing.lease)
    }

    /// Nobody can have taken over while the lease runs. A process that was stopped, or whose machine slept, finds here that
    /// it ran out.
    fn prove(&self) -> Result<()> {
        if self.left() >= self.margin() {
            return Ok(());
        }
        self.check()
    }

    fn check(&self) -> Result<()> {
        let mut inner = self.lock();
        let half = self.timing.lease / 2;
        if self.left() >= half
            && let Err(error) = inner.chain.refresh()
        {
            // Nobody can have taken over while the lease runs; and one that stays cut off is found at the half of it.
            crate::report::trace(&format!("the ledger cannot be read now: {error:#}"));
        }
        // Twice: where the clock is set while the first renewal is under way, that one looks old.
        for _ in 0..2 {
            if self.left() < half {
                self.append(&mut inner, &Body::Heartbeat, ATTEMPTS)
                    .context("cannot renew the lease before a live change")?;
            }
        }
        self.still_ours(&inner)?;
        let left = self.left();
        if left < self.margin() {
            return Err(self.too_late(left));
        }
        Ok(())
    }

    /// Appends an event of the holder.
    fn append(&self, inner: &mut Inner, body: &Body, attempts: u32) -> Result<()> {
        loop {
            self.still_ours(inner)?;
            let asked = Clock::now();
            if inner.chain.append(&self.id, self.fence, body.clone(), attempts)? {
                lock(&self.lease).renewed = asked;
                return Ok(());
            }
        }
    }

    fn still_ours(&self, inner: &Inner) -> Result<()> {
        let state = inner.chain.state();
        if state.holds(&self.id, self.fence) {
            return Ok(());
        }
        lock(&self.lease).lost = true;
        let now = state.operations.last();
        let who = now.map_or_else(
            || "somebody else".to_owned(),
            |last| format!("{} ({} {})", describe(&last.holder), last.started.kind, last.id),
        );
        Err(errors::lock_taken_over(&self.id, who).into())
    }

    fn too_late(&self, left: Duration) -> anyhow::Error {
        errors::lease_too_short(left.as_secs(), &self.id).into()
    }

    fn beat(&self, stopped: &mpsc::Receiver<()>) {
        let mut pause = self.timing.heartbeat;
        while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            let mut inner = self.lock();
            if inner.ended {
                return;
            }
            let quiet = lock(&self.lease).renewed.age();
            if quiet < self.timing.heartbeat / 2 {
                // A step has just said that we are alive.
                pause = self.timing.heartbeat;
                continue;
            }
            match self.append(&mut inner, &Body::Heartbeat, 1) {
                Ok(()) => pause = self.timing.heartbeat,
                Err(error) if error.downcast_ref::<CliError>().is_some() => {
                    crate::report::progress(&format!("warning: {error:#}"));
                    return;
                }
                Err(error) => {
                    crate::report::trace(&format!("the heartbeat did not arrive: {error:#}"));
                    pause = self.timing.heartbeat / 4;
                }
            }
        }
    }
}
