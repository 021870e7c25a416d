//! What the platforms and the storages answer in a few seconds. A list of releases is read in an emergency, when one of them may
//! be away: what is known without it is shown, and what could not be asked is named.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::backup;
use crate::context::Context;
use crate::domain::release::Release;
use crate::exec;
use crate::release::platforms::Serving;
use crate::tools::railway::Railway;
use crate::tools::vercel::Vercel;

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
    let backend = in_background(ctx, |ctx| Railway::open(&ctx)?.active());
    let frontend = in_background(ctx, |ctx| Vercel::open(&ctx)?.serving());
    let images = each(ctx, offered, |ctx, release: &Release| {
        let deployment =
            Railway::open(ctx).and_then(|railway| railway.deployment(&release.railway.deployment));
        // One that the platform does not know any more is gone.
        let kept = deployment.is_ok_and(|deployment| deployment.can_rollback == Some(true));
        (release.tag.clone(), Some(kept))
    });
    let days = each(ctx, backups, |ctx, id: &String| (id.clone(), days_left(ctx, id)));
    let mut asked = Asked::default();
    let backend = asked.answer(&backend, until, "Railway (what the backend serves)");
    let frontend = asked.answer(&frontend, until, "Vercel (what the frontend serves)");
    // Without an answer to this, none about an image is one.
    let is_railway_there = backend.is_some();
    asked.serving = backend
        .zip(frontend)
        .map(|(backend, frontend)| Serving { backend, frontend });
    if is_railway_there {
        asked.images = asked.collect(&images, until, "Railway (which images it has)");
    }
    asked.days_left = asked.collect(&days, until, "the storages of backups");
    if !asked.unanswered.is_empty() {
        exec::end_children();
    }
    asked
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
