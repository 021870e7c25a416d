//! The frontends of a deploy: staged, checked, and at the end promoted one after another.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::{AllStaged, Deploy, Staged};
use crate::domain::parts::{OnVercel, UNKNOWN_COMMIT, about};
use crate::domain::step::Step;
use crate::domain::verdict::HealthStatus;
use crate::error::catalogue::tools as errors;
use crate::health::{self, StagedFrontend};
use crate::release::checkout::Checkout;
use crate::release::releases::Releases;
use crate::release::steps::failures;
use crate::release::variables::Variables;
use crate::tools::frontend::FrontendService;

impl Deploy<'_> {
    /// One after another: a build takes all cores of the machine.
    pub(super) fn stage_frontends(&self) -> Result<AllStaged> {
        let mut staged = BTreeMap::new();
        for frontend in &self.platforms.frontends {
            if self.plan.keeps_frontend(frontend.name()) {
                continue;
            }
            self.set_frontend_variables(frontend)?;
            staged.insert(frontend.name().to_owned(), self.stage_frontend(frontend)?);
        }
        Ok(staged)
    }

    /// The build takes them in.
    fn set_frontend_variables(&self, frontend: &FrontendService) -> Result<()> {
        let names = self.plan.variables_of(frontend.name());
        if names.is_empty() {
            return Ok(());
        }
        let step = Step::SetFrontendVariables.of(frontend.name());
        self.operation
            .step(step, || Variables::read(self.ctx)?.set_on_vercel(frontend, names))
    }

    /// A build leaves files in its checkout: each frontend has its own.
    fn stage_frontend(&self, frontend: &FrontendService) -> Result<Staged> {
        self.operation.step(Step::StageFrontend.of(frontend.name()), || {
            let checkout = Checkout::of(self.ctx, &self.plan.commit)?;
            let folder = checkout.frontend(frontend.frontend(), &frontend.project()?)?;
            let (id, known) = (
                self.operation.id.as_str(),
                Variables::read(self.ctx)?.of_frontend(frontend.name()),
            );
            let staged = frontend.stage(&folder, &known, id, &self.plan.commit)?;
            Ok(Staged {
                deployment: staged.id,
                host: staged.url,
            })
        })
    }

    /// A page that does not load is found while nobody sees it.
    pub(super) fn check_staged(&self, frontend: &FrontendService, staged: &Staged) -> Result<()> {
        self.operation
            .step(Step::CheckStagedFrontend.of(frontend.name()), || {
                let request = health::HealthOptions {
                    staged: Some(StagedFrontend {
                        part: frontend.name().to_owned(),
                        url: frontend.staged_url(&staged.host),
                    }),
                    ..Default::default()
                };
                let report = health::run(self.ctx, &request)?;
                match report.verdict {
                    HealthStatus::Healthy => Ok(()),
                    _ if frontend.frontend().vercel().is_some()
                        && failures(&report).iter().any(|failure| failure.contains("401")) =>
                    {
                        Err(errors::vercel_staged_protected(&staged.host).into())
                    }
                    verdict => bail!(
                        "{} is {}: {}",
                        about("the staged frontend", frontend.name()),
                        verdict.word(),
                        failures(&report).join("; ")
                    ),
                }
            })
    }

    pub(super) fn promote(&self, staged: &AllStaged) -> Result<()> {
        for frontend in &self.platforms.frontends {
            if let Some(staged) = staged.get(frontend.name()) {
                self.operation
                    .step(Step::PromoteFrontend.of(frontend.name()), || {
                        frontend.promote(&staged.deployment).map(drop)
                    })?;
            }
        }
        Ok(())
    }

    /// What the frontends serve that were staged and not promoted.
    pub(super) fn frontends_as_they_are(
        &self,
        staged: &AllStaged,
        releases: &Releases,
    ) -> Result<BTreeMap<String, OnVercel>> {
        let before = self.plan.replaces.as_deref().and_then(|tag| releases.find(tag));
        let before = before.map(|before| before.parts.clone().built_from(&before.commit));
        let mut live = BTreeMap::new();
        for frontend in &self.platforms.frontends {
            if !staged.contains_key(frontend.name()) {
                continue;
            }
            let serving = frontend.serving()?;
            let deployment = serving.map(|deployment| deployment.id).unwrap_or_default();
            let recorded = before
                .as_ref()
                .and_then(|parts| parts.frontends.get(frontend.name()));
            let recorded = recorded.filter(|recorded| recorded.deployment == deployment);
            let commit = recorded.and_then(|recorded| recorded.commit.clone());
            let commit = Some(commit.unwrap_or_else(|| UNKNOWN_COMMIT.to_owned()));
            live.insert(frontend.name().to_owned(), OnVercel { deployment, commit });
        }
        Ok(live)
    }
}
