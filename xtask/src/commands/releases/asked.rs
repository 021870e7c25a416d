//! What the platforms and the storages answer in a few seconds. A list of releases is read in an emergency, when one of them may
//! be away: what is known without it is shown, and what could not be asked is named.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::backup;
use crate::context::Context;
use crate::domain::parts::about;
use crate::domain::release::Release;
use crate::exec;
use crate::release::platforms::Serving;
use crate::tools::backend::BackendService;
use crate::tools::frontend::FrontendService;

/// The list is there within ten seconds.
const LIMIT: Duration = Duration::from_secs(8);

/// The answers, as far as they came.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// `None` where one of the platforms did not answer.
    pub serving: Option<Serving>,
    /// By tag: whether the platform has the image still.
    pub images: BTreeMap<String, bool>,
    /// By backup: days until it may be pruned.
    pub days_left: BTreeMap<String, i64>,
    /// What could not be asked, and why.
    pub unanswered: Vec<String>,
}

/// Asks everything at once. `offered` are the releases whose image matters.
pub(super) fn ask(ctx: &Context, offered: Vec<Release>, backups: Vec<String>) -> Asked {
    let until = Instant::now() + LIMIT;
    let environment = ctx.env();
    let backends: Vec<_> = environment
        .backends
        .iter()
        .cloned()
        .map(|backend| {
            (
                backend.name.clone(),
                in_background(ctx, move |ctx| BackendService::open(&ctx, &backend)?.active()),
            )
        })
        .collect();
    let frontends: Vec<_> = environment
        .frontends
        .iter()
        .cloned()
        .map(|frontend| {
            (
                frontend.name.clone(),
                in_background(ctx, move |ctx| FrontendService::open(&ctx, &frontend)?.serving()),
            )
        })
        .collect();
    let images = each(ctx, offered, |ctx, release: &Release| {
        (release.tag.clone(), Some(has_images(ctx, release)))
    });
    let days = each(ctx, backups, |ctx, id: &String| (id.clone(), days_left(ctx, id)));
    let mut asked = Asked::default();
    let mut serving = Serving::default();
    let (mut is_railway_there, mut is_vercel_there) = (true, true);
    for (name, answer) in backends {
        let who = format!("Railway (what {} serves)", about("the backend", &name));
        let active = asked.answer(&answer, until, &who);
        is_railway_there &= active.is_some();
        serving.backends.extend(active.map(|active| (name, active)));
    }
    for (name, answer) in frontends {
        let who = format!("Vercel (what {} serves)", about("the frontend", &name));
        let deployment = asked.answer(&answer, until, &who);
        is_vercel_there &= deployment.is_some();
        serving
            .frontends
            .extend(deployment.map(|deployment| (name, deployment)));
    }
    asked.serving = (is_railway_there && is_vercel_there).then_some(serving);
    // Without an answer to this, none about an image is one.
    if is_railway_there {
        asked.images = asked.collect(&images, until, "Railway (which images it has)");
    }
    asked.days_left = asked.collect(&days, until, "the storages of backups");
    if !asked.unanswered.is_empty() {
        exec::end_children();
    }
    asked
}

/// Whether the platform has the image of each backend still. One that it does not know any more is gone.
fn has_images(ctx: &Context, release: &Release) -> bool {
    let mut backends = ctx.env().backends.iter();
    backends.all(|backend| {
        let Some(recorded) = release.parts.backends.get(&backend.name) else {
            return true;
        };
        let deployment =
            BackendService::open(ctx, backend).and_then(|railway| railway.deployment(&recorded.deployment));
        deployment.is_ok_and(|deployment| deployment.can_rollback == Some(true))
    })
}

impl Asked {
    fn answer<T>(&mut self, answer: &Receiver<Result<T>>, until: Instant, who: &str) -> Option<T> {
        let left = until.saturating_duration_since(Instant::now());
        let late = || anyhow::anyhow!("no answer within {} s", LIMIT.as_secs());
        match answer.recv_timeout(left).unwrap_or_else(|_| Err(late())) {
            Ok(value) => Some(value),
            Err(error) => {
                self.unanswered.push(format!("{who}: {error:#}"));
                None
            }
        }
    }

    /// The answers up to the deadline; the sender is gone when all are there.
    fn collect<T>(
        &mut self,
        answers: &Receiver<(String, Option<T>)>,
        until: Instant,
        who: &str,
    ) -> BTreeMap<String, T> {
        let mut known = BTreeMap::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match answers.recv_timeout(left) {
                Ok((name, value)) => known.extend(value.map(|value| (name, value))),
                Err(mpsc::RecvTimeoutError::Disconnected) => return known,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let late = format!("{who}: not all answers within {} s", LIMIT.as_secs());
                    self.unanswered.push(late);
                    return known;
                }
            }
        }
    }
}

fn in_background<T: Send + 'static>(
    ctx: &Context,
    ask: impl FnOnce(Context) -> Result<T> + Send + 'static,
) -> Receiver<Result<T>> {
    let (answer, answers) = mpsc::channel();
    let ctx = ctx.clone();
    // Nobody may wait any more when it answers.
    std::thread::spawn(move || answer.send(ask(ctx).context("cannot be asked")).ok());
    answers
}

fn each<Q: Send + 'static, T: Send + 'static>(
    ctx: &Context,
    questions: Vec<Q>,
    ask: impl Fn(&Context, &Q) -> (String, Option<T>) + Send + 'static,
) -> Receiver<(String, Option<T>)> {
    let (answer, answers) = mpsc::channel();
    let ctx = ctx.clone();
    std::thread::spawn(move || {
        questions
            .iter()
            .try_for_each(|question| answer.send(ask(&ctx, question)))
    });
    answers
}

/// `None` where no storage has the backup any more.
fn days_left(ctx: &Context, id: &str) -> Option<i64> {
    let taken = backup::find(ctx, id).ok()?.metadata.timestamp;
    let until = taken + chrono::TimeDelta::days(i64::from(ctx.config.backup.retention_days));
    Some((until - chrono::Utc::now()).num_days())
}
