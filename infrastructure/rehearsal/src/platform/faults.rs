//! Faults that a test programs from outside: which call goes wrong, the how-many-th one, and how.

use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use xtask::sync::lock;

use crate::http::{ExitKind, Request, Response};

/// A delayed answer is let go after this even when nobody releases it.
const MAX_HOLD: Duration = Duration::from_mins(2);

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Nothing is done; `status` is answered.
    Status,
    /// Nothing is done before `POST /faults/release`.
    HoldBefore,
    /// It is done; the answer waits for `POST /faults/release`.
    HoldAfter,
    /// It is done, `delay_ms` late.
    Delay,
    /// Nothing is done; the connection is closed.
    Close,
    /// It is done; the connection is closed without an answer.
    DoneThenClose,
    /// It is done; `status` (500 when not given) is answered.
    DoneThenStatus,
    /// It is done; half of the answer is sent.
    Cut,
    /// It is done twice, as when a network repeats a request.
    Twice,
    /// Nothing is done; 200 and something that is not JSON is answered.
    Garbage,
}

/// One programmed fault.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub(super) id: String,
    platform: String,
    /// `*` for any.
    operation: String,
    kind: Kind,
    /// The first matching request that is hit, counted from 1.
    #[serde(default = "one")]
    nth: u64,
    /// How many from there on; 0 for all.
    #[serde(default = "one")]
    times: u64,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// Matching requests so far.
    #[serde(default, skip_deserializing)]
    seen: u64,
    /// Those that were hit.
    #[serde(default, skip_deserializing)]
    hit: u64,
    #[serde(default, skip_deserializing)]
    released: bool,
}

fn one() -> u64 {
    1
}

/// All programmed faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    list: Mutex<Vec<Fault>>,
    changed: Condvar,
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        let mut list = lock(&self.list);
        list.retain(|other| other.id != fault.id);
        list.push(fault);
    }

    pub(super) fn clear(&self) {
        lock(&self.list).clear();
        self.changed.notify_all();
    }

    /// Lets go what that fault holds; all of them without an id.
    pub(super) fn release(&self, id: Option<&str>) {
        for fault in lock(&self.list).iter_mut() {
            if id.is_none_or(|id| id == fault.id) {
                fault.released = true;
            }
        }
        self.changed.notify_all();
    }

    pub(super) fn list(&self) -> Vec<Fault> {
        lock(&self.list).clone()
    }

    /// Counts this request on every fault that matches it and returns the first fault that is due.
    pub(super) fn due(&self, platform: &str, operation: &str) -> Option<Fault> {
        let mut due = None;
        for fault in lock(&self.list).iter_mut() {
            if fault.platform != platform || !(fault.operation == "*" || fault.operation == operation) {
                continue;
            }
            fault.seen += 1;
            let in_range =
                fault.seen >= fault.nth && (fault.times == 0 || fault.seen < fault.nth + fault.times);
            if in_range && due.is_none() {
                fault.hit += 1;
                due = Some(fault.clone());
            }
        }
        due
    }

    /// Answers in the way of the fault.
    pub(super) fn play(
        &self,
        fault: &Fault,
        request: &Request,
        act: &dyn Fn(&Request) -> Response,
    ) -> Response {
        match fault.kind {
            Kind::Status => fault.answer(503),
            Kind::Close => Response::close(),
            Kind::Garbage => Response::bytes(
                200,
                "text/html",
                fault.body.clone().unwrap_or("<html>{".to_owned()),
            ),
            Kind::HoldBefore => {
                self.hold(&fault.id);
                act(request)
            }
            Kind::HoldAfter => {
                let response = act(request);
                self.hold(&fault.id);
                response
            }
            Kind::Delay => {
                std::thread::sleep(Duration::from_millis(fault.delay_ms));
                act(request)
            }
            Kind::DoneThenClose => {
                act(request);
                Response::close()
            }
            Kind::DoneThenStatus => {
                act(request);
                fault.answer(500)
            }
            Kind::Cut => Response {
                ending: ExitKind::Cut,
                ..act(request)
            },
            Kind::Twice => {
                act(request);
                act(request)
            }
        }
    }

    fn hold(&self, id: &str) {
        let deadline = Instant::now() + MAX_HOLD;
        let mut list = lock(&self.list);
        while list.iter().any(|fault| fault.id == id && !fault.released) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            list = self
                .changed
                .wait_timeout(list, left)
                .expect("no thread panics while it holds this lock")
                .0;
        }
    }
}

impl Fault {
    fn answer(&self, default_status: u16) -> Response {
        let status = self.status.unwrap_or(default_status);
        let body = self.body.clone().unwrap_or_else(|| "upstream error".to_owned());
        self.headers.iter().fold(
            Response::bytes(status, "text/plain", body),
            |response, (name, value)| response.header(name, value),
        )
    }
}
