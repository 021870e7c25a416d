//! Waiting for deployments of a backend.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::BackendService;
use crate::error::catalogue::tools as errors;
use crate::tools::deployment::{BackendDeployment, Phase};
use crate::{report, wait};

/// What a deployment that was begun long ago is still given, so that one that has come up meanwhile is found.
const LEAST: Duration = Duration::from_mins(1);

impl BackendService {
    /// Waits for the verdict of a deployment that was begun `age` ago.
    ///
    /// # Errors
    /// For every status but a good one, with what it means.
    pub fn wait(&self, id: &str, age: Duration) -> Result<BackendDeployment> {
        let deadline = left_after(self.config.deploy_s, age);
        let (mut last, began) = (String::new(), Instant::now());
        let what = format!("the end of {} deployment {id}", self.whose());
        let ended = wait::until(
            &what,
            deadline,
            |error| self.is_transient(error),
            || {
                let deployment = self.waited(id, deadline.saturating_sub(began.elapsed()))?;
                last.clone_from(&deployment.status);
                Ok(deployment.phase().is_final().then_some(deployment))
            },
        );
        let ended = ended.map_err(|error| match Phase::of(&last) {
            Phase::Unknown if !last.is_empty() => error.context(format!(
                "its status is {last}, which this program has no meaning for"
            )),
            _ => error,
        })?;
        self.judge(ended)
    }

    fn judge(&self, ended: BackendDeployment) -> Result<BackendDeployment> {
        let (id, status) = (&ended.id, &ended.status);
        match ended.phase() {
            Phase::Good => Ok(ended),
            Phase::Failed => bail!(
                "{} deployment {id} ended as {status}: see its logs{}",
                self.whose(),
                self.on()
            ),
            Phase::Skipped => Err(errors::railway_skipped(id).into()),
            Phase::Blocked => Err(errors::railway_needs_approval(id).into()),
            Phase::Replaced | Phase::Pending | Phase::Unknown => {
                let serving = self
                    .active()
                    .context("cannot ask what took the place of the deployment")?;
                let serving = serving.map_or("nothing".to_owned(), |serving| serving.id);
                Err(errors::railway_replaced(id, status, serving).into())
            }
        }
    }

    /// Waits until no deployment is building or starting any more. One with a status that this program has no meaning for
    /// is waited for as long, and then counts as ended: an undo must be possible beside it. The operation began a backend `age` ago.
    pub fn settle(&self, age: Duration) -> Result<()> {
        let deadline = left_after(self.config.deploy_s, age);
        let mut strange = false;
        let settled = wait::until(
            "the end of the deployment under way",
            deadline,
            |error| self.is_transient(error),
            || {
                let pending = self.pending()?;
                strange = !pending.is_empty() && pending.iter().all(|one| one.phase() == Phase::Unknown);
                Ok(pending.is_empty().then_some(()))
            },
        );
        if settled.is_err() && strange {
            report::progress("  a deployment has a status of no known meaning: not waited for any longer");
            return Ok(());
        }
        settled
    }

    /// Deployments that are building or starting, the newest first. One of unknown status counts while none that came after
    /// it serves.
    pub fn pending(&self) -> Result<Vec<BackendDeployment>> {
        let mut served_since = false;
        let all = self.deployments()?.into_iter();
        let pending = all.filter(|deployment| {
            let phase = deployment.phase();
            served_since |= phase == Phase::Good;
            phase == Phase::Pending || (phase == Phase::Unknown && !served_since)
        });
        Ok(pending.collect())
    }

    /// Whether a deployment waits for the approval of somebody, and goes live with it.
    pub fn has_blocked(&self) -> Result<bool> {
        let all = self.deployments()?;
        Ok(all.iter().any(|deployment| deployment.phase() == Phase::Blocked))
    }
}

/// What is left for a deployment that was begun this long ago: it has its time once, however often it is waited for.
fn left_after(deploy_s: u64, age: Duration) -> Duration {
    let whole = Duration::from_secs(deploy_s);
    whole.saturating_sub(age).max(LEAST.min(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_that_has_had_its_time_is_not_given_it_again() {
        let left_s = |deploy_s, age_s| left_after(deploy_s, Duration::from_secs(age_s)).as_secs();
        assert_eq!(left_s(600, 0), 600);
        assert_eq!(left_s(600, 420), 180);
        assert_eq!(left_s(600, 601), 60);
        assert_eq!(left_s(600, 86_400), 60);
        assert_eq!(left_s(45, 86_400), 45);
    }
}
