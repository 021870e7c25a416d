//! Rolls every part back to what a release recorded of it, within an operation that stopped midway.

use anyhow::Result;

use super::platforms::{Platforms, frontend_back};
use super::steps::backend_back;
use crate::context::Context;
use crate::domain::parts::OnVercel;
use crate::domain::release::Release;
use crate::domain::step::Step;
use crate::operation::run::Operation;
use crate::sync::{each_at_once, join};
use crate::tools::backend::BackendService;
use crate::tools::frontend::FrontendService;

/// The code of an operation that is undone.
#[derive(Debug)]
pub struct CodeUndo<'a> {
    pub ctx: &'a Context,
    pub operation: &'a Operation,
    pub platforms: &'a Platforms,
    /// The release that was live before.
    pub before: &'a Release,
}

impl CodeUndo<'_> {
    /// A backend that is still starting would replace the one that is rolled back, and run its migrations over the restored
    /// data: wait until it finishes, whatever the result.
    pub fn settle(&self) -> Result<()> {
        let backends: Vec<&BackendService> = self.platforms.backends.iter().collect();
        let settled = each_at_once(&backends, |railway| {
            let name = railway.name();
            self.operation.step(Step::UndoSettleBackend.of(name), || {
                railway.settle(self.operation.backend_age(name))
            })
        });
        settled.map(drop)
    }

    /// Every part that the release before has is rolled back. One that it has not stays as it is.
    pub fn run(&self) -> Result<()> {
        std::thread::scope(|scope| {
            let frontends = scope.spawn(|| self.frontends());
            let (backends, frontends) = (self.backends(), join(frontends));
            frontends.and(backends)
        })
    }

    fn backends(&self) -> Result<()> {
        let of_before = |railway: &BackendService| self.before.parts.backends.get(railway.name());
        let back = self.platforms.backends_in_order(of_before, |railway, to| {
            self.operation.step(Step::UndoBackend.of(railway.name()), || {
                backend_back(self.ctx, self.operation, railway, to, &self.before.commit)
            })
        });
        back.map(drop)
    }

    fn frontends(&self) -> Result<()> {
        let frontends = self.platforms.frontends.iter();
        let of_before: Vec<(&FrontendService, &OnVercel)> = frontends
            .filter_map(|frontend| Some((frontend, self.before.parts.frontends.get(frontend.name())?)))
            .collect();
        let back = each_at_once(&of_before, |(frontend, to)| {
            let step = Step::UndoFrontend.of(frontend.name());
            self.operation.step(step, || frontend_back(frontend, to))
        });
        back.map(drop)
    }
}
