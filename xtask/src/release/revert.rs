//! Brings every part back to what a release recorded of it, within an operation that stopped midway.

use anyhow::Result;

use super::platforms::{Platforms, each_at_once, frontend_back, join};
use super::steps::backend_back;
use crate::context::Context;
use crate::domain::parts::{OnRailway, OnVercel};
use crate::domain::release::Release;
use crate::domain::step::Step;
use crate::operation::run::Operation;
use crate::tools::railway::Railway;
use crate::tools::vercel::Vercel;

/// The code of an operation that is undone.
#[derive(Debug)]
pub struct CodeBack<'a> {
    pub ctx: &'a Context,
    pub operation: &'a Operation,
    pub platforms: &'a Platforms,
    /// The release that was live before.
    pub before: &'a Release,
}

impl CodeBack<'_> {
    /// A backend that is still starting would replace the one that is rolled back, and run its migrations over the restored
    /// data: wait until it finishes, whatever the result.
    pub fn settle(&self) -> Result<()> {
        let backends: Vec<&Railway> = self.platforms.backends.iter().collect();
        let settled = each_at_once(&backends, |railway| {
            let name = railway.name();
            self.operation.step(Step::UndoSettleBackend.of(name), || {
                railway.settle(self.operation.backend_age(name))
            })
        });
        settled.map(drop)
    }

    /// Every part that the release before has goes back to it. One that it has not stays: there is nothing to bring back.
    pub fn run(&self) -> Result<()> {
        std::thread::scope(|scope| {
            let frontends = scope.spawn(|| self.frontends());
            let (backends, frontends) = (self.backends(), join(frontends));
            frontends.and(backends)
        })
    }

    fn backends(&self) -> Result<()> {
        for group in self.platforms.in_order() {
            let of_before: Vec<(&Railway, &OnRailway)> = group
                .into_iter()
                .filter_map(|railway| Some((railway, self.before.parts.backends.get(railway.name())?)))
                .collect();
            each_at_once(&of_before, |(railway, to)| {
                self.operation.step(Step::UndoBackend.of(railway.name()), || {
                    backend_back(self.ctx, self.operation, railway, to, &self.before.commit)
                })
            })?;
        }
        Ok(())
    }

    fn frontends(&self) -> Result<()> {
        let frontends = self.platforms.frontends.iter();
        let of_before: Vec<(&Vercel, &OnVercel)> = frontends
            .filter_map(|vercel| Some((vercel, self.before.parts.frontends.get(vercel.name())?)))
            .collect();
        let back = each_at_once(&of_before, |(vercel, to)| {
            let step = Step::UndoFrontend.of(vercel.name());
            self.operation.step(step, || frontend_back(vercel, to))
        });
        back.map(drop)
    }
}
