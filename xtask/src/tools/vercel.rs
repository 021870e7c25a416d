//! `vercel`, as of 60.1: the frontend's platform.
//!
//! Traps: exit 0 of `promote` and `rollback` is only a hint, so success is proved by asking which deployment the
//! production domain serves. `promote` of a preview builds a new deployment. `VERCEL_ORG_ID` is ignored by promote,
//! rollback and inspect: `--scope` is always given. `inspect --wait` exits 0 on a timeout. `--token` would show
//! in the list of processes.

mod account;
mod build;
mod project;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use xshell::cmd;

use crate::config;
use crate::context::Context;
use crate::domain::parts::release_variables;
use crate::error::catalogue::tools as errors;
use crate::exec::{Exec, OF_NODE, shell_in};
use crate::lock_proof::LockProof;
use crate::report;
use crate::secret::Secret;
use crate::tools::deployment::{FrontendDeployment, READY};
use crate::tools::fault;
use crate::wait;

pub use account::{ListedProject, listed_projects, production_domain};
pub use project::VercelProject;

/// States that a deployment does not leave by itself. `BLOCKED` needs somebody on the platform.
const FINAL: &[&str] = &[READY, "ERROR", "CANCELED", "CANCELLED", "DELETED", "BLOCKED"];
const QUERY_DEADLINE: Duration = Duration::from_secs(60);
/// How long the CLI waits for the domain; it asks the platform whether its request has ended.
const ALIAS_DEADLINE: Duration = Duration::from_secs(300);
/// How long the domain may still take after the CLI ended well: it ends so, too, where it finds no request of its own yet.
const APPEARS_DEADLINE: Duration = Duration::from_secs(60);
/// The same after the CLI failed: the request may have been heard.
const FAILED_APPEARS_DEADLINE: Duration = Duration::from_secs(10);

/// The project of one frontend.
#[derive(Debug, Clone)]
pub struct Vercel {
    root: PathBuf,
    place: config::VercelConfig,
    deploy_s: u64,
    token: Secret,
    /// What only a build is given: tokens of package registries.
    of_build: Vec<(String, Secret)>,
    /// Needed right before each change: between this and the check of the step are questions to the platform.
    pub(super) proof: LockProof,
}

impl Vercel {
    /// This project; a deployment of it may take `deploy_s`.
    ///
    /// # Errors
    /// Usage (exit 2) where the token, or a secret of its build, is not set.
    pub fn open(ctx: &Context, place: &config::VercelConfig, deploy_s: u64) -> Result<Self> {
        let of_build = place.build_env.iter();
        let of_build = of_build.map(|name| Ok((name.clone(), ctx.secret(name)?)));
        Ok(Self {
            of_build: of_build.collect::<Result<_>>()?,
            root: ctx.root.clone(),
            token: ctx.secret(&place.token)?,
            place: place.clone(),
            deploy_s,
            proof: LockProof::default(),
        })
    }

    /// The deployment that the production domain serves now; `None` where it serves none yet.
    pub fn serving(&self) -> Result<Option<FrontendDeployment>> {
        match self.inspect(&self.place.domain) {
            Ok(deployment) => Ok(Some(deployment)),
            Err(error) if is_unknown(&error) => Ok(None),
            Err(error) => Err(error).context("cannot ask which deployment the production domain serves"),
        }
    }

    /// A deployment by its id or host name.
    pub fn inspect(&self, name: &str) -> Result<FrontendDeployment> {
        let (sh, org) = (&shell_in(&self.root)?, &self.place.org);
        wait::retry(is_transient, || {
            self.prepared(cmd!(sh, "vercel inspect {name} --json --scope {org}"))
                .json::<FrontendDeployment>()
        })
    }

    /// Builds in the folder and uploads the output as a production deployment that no domain serves yet. `known` are
    /// variables whose values the platform does not give back.
    pub fn stage(
        &self,
        folder: &Path,
        known: &BTreeMap<String, Secret>,
        release: &str,
        commit: &str,
    ) -> Result<FrontendDeployment> {
        // One time for all four parts.
        let began = Instant::now();
        let left = || Duration::from_secs(self.deploy_s).saturating_sub(began.elapsed());
        let (sh, org) = (&shell_in(folder)?, &self.place.org);
        let run = |command| self.prepared(command).deadline(left());
        run(cmd!(
            sh,
            "vercel pull --yes --environment=production --scope {org}"
        ))
        .run()?;
        build::fill_in(folder, known)?;
        // The build runs programs of the frontend and of what it depends on: they get no secret of ours. `vercel build` needs
        // no token (vercel/vercel, packages/cli/src/index.ts, `subcommandsWithoutToken`).
        let build = self
            .without_token(cmd!(sh, "vercel build --prod --yes"))
            .foreign()
            .deadline(left());
        // The folder has no `.git` to ask, and a prebuilt frontend gets no `VERCEL_GIT_COMMIT_SHA`.
        let build = release_variables(release, commit)
            .into_iter()
            .fold(build, |build, (name, value)| build.env(name, value));
        self.of_build
            .iter()
            .fold(build, |build, (name, value)| build.secret_env(name, value))
            .run()
            .context("cannot build the frontend")?;
        build::check_output(folder)?;
        if let Some(note) = build::size_note(folder)? {
            report::progress(&note);
        }
        let (ours, sha) = (format!("release={release}"), format!("gitSha={commit}"));
        self.proof.check()?;
        let answer: Value = run(cmd!(
            sh,
            "vercel deploy --prebuilt --prod --skip-domain --archive=tgz --no-wait --json --yes --non-interactive --scope {org} -m {ours} -m {sha}"
        ))
        .json()
        .context("cannot upload the frontend")?;
        // With --non-interactive the deployment is wrapped: {status, deployment, next}.
        let deployment = answer.get("deployment").unwrap_or(&answer);
        let id = deployment["id"]
            .as_str()
            .context("vercel deployed without printing the id")?;
        self.ready(id, left())
    }

    /// Waits until a deployment is ready.
    fn ready(&self, id: &str, deadline: Duration) -> Result<FrontendDeployment> {
        let what = format!("the end of the Vercel deployment {id}");
        let ended = wait::until(&what, deadline, is_transient, || {
            let deployment = self.inspect(id)?;
            let is_final = FINAL.contains(&deployment.ready_state.as_str());
            Ok(is_final.then_some(deployment))
        })?;
        if ended.ready_state != READY {
            bail!(
                "the Vercel deployment {id} ended as {}: see its logs on Vercel",
                ended.ready_state
            );
        }
        Ok(ended)
    }

    /// Gives the production domain to a staged deployment, and proves it by asking the domain.
    pub fn promote(&self, id: &str) -> Result<FrontendDeployment> {
        let assigned_before = self.project()?.auto_assign_custom_domains;
        let promoted = self.point_domain_at(id, "promote")?;
        if assigned_before == Some(false) {
            self.stop_assigning_domains()?;
        }
        Ok(promoted)
    }

    /// Gives the production domain back to an earlier deployment, and proves it. Vercel then stops assigning the
    /// domain to new deployments until the next promotion.
    pub fn roll_back(&self, id: &str) -> Result<FrontendDeployment> {
        self.point_domain_at(id, "rollback")
    }

    fn point_domain_at(&self, id: &str, verb: &str) -> Result<FrontendDeployment> {
        // Already done? The platform answers 409 to a second request.
        if let Some(serving) = self.serving()?.filter(|serving| serving.id == id) {
            return Ok(serving);
        }
        let target = self.inspect(id)?;
        if !target.is_promotable() {
            bail!(
                "the Vercel deployment {id} cannot be given the domain: it is {} for {}",
                target.ready_state,
                target.target.as_deref().unwrap_or("preview")
            );
        }
        let (sh, org) = (&shell_in(&self.root)?, &self.place.org);
        self.proof.check()?;
        let asked = self
            .prepared(cmd!(sh, "vercel {verb} {id} --yes --timeout 5m --scope {org}"))
            .deadline(ALIAS_DEADLINE)
            .output()?;
        if asked.code != Some(0) && needs_better_plan(&asked.stderr_tail) {
            return Err(errors::vercel_plan_too_small(verb, id, asked.error()).into());
        }
        // Neither 0 nor 1 proves anything: the domain is asked.
        let appears = if asked.code == Some(0) {
            APPEARS_DEADLINE
        } else {
            FAILED_APPEARS_DEADLINE
        };
        let proof = wait::until(
            "the change of the production domain",
            appears,
            is_transient,
            || Ok(self.serving()?.filter(|serving| serving.id == id)),
        );
        proof.map_err(|absent| {
            if asked.code == Some(0) {
                absent
            } else {
                asked.error()
            }
        })
    }

    /// Sets one secret variable of production; a build must follow for it to count.
    pub fn set_variable(&self, name: &str, value: &Secret) -> Result<()> {
        let (sh, org) = (&shell_in(&self.root)?, &self.place.org);
        self.proof.check()?;
        // The CLI waits only half a second for stdin: our pipe is filled before it looks.
        self.prepared(cmd!(
            sh,
            "vercel env add {name} production --force --type secret --yes --scope {org}"
        ))
        .stdin(value.expose())
        .run()
        .with_context(|| format!("cannot set the variable {name} on Vercel"))
    }

    fn prepared(&self, command: xshell::Cmd<'_>) -> Exec {
        self.without_token(command)
            .secret_env("VERCEL_TOKEN", &self.token)
    }

    fn without_token(&self, command: xshell::Cmd<'_>) -> Exec {
        Exec::new(command)
            .inherit(OF_NODE)
            .env("VERCEL_ORG_ID", &self.place.org)
            .env("VERCEL_PROJECT_ID", &self.place.project)
            .env("VERCEL_TELEMETRY_DISABLED", "1")
            .env("NO_UPDATE_NOTIFIER", "1")
            .env("CI", "1")
            .deadline(QUERY_DEADLINE)
    }
}

/// What `vercel` writes about a deployment that does not exist.
const UNKNOWN: &[&str] = &["can't find the deployment", "not found"];

fn is_unknown(error: &anyhow::Error) -> bool {
    fault::mentions(error, UNKNOWN)
}

fn is_transient(error: &anyhow::Error) -> bool {
    !is_unknown(error) && fault::is_transient(error, &["not authorized", "not valid", "forbidden"])
}

fn needs_better_plan(stderr: &[String]) -> bool {
    stderr
        .iter()
        .any(|line| line.contains("402") || line.to_lowercase().contains("upgrade"))
}
