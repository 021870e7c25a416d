//! The limit of the job that runs this program: GitHub ends a job that takes longer in the middle of whatever it does. So
//! nothing live is begun that may not end in time. Once begun, it is finished.

use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, Utc};

use crate::context::{Context, env_nonempty};
use crate::error::catalogue::operation as errors;

/// When the job ends, in seconds since 1970: the workflows set it in their first step.
const VARIABLE: &str = "XTASK_JOB_ENDS";
/// Lock, checks and records around the changes.
const AROUND: Duration = Duration::from_mins(2);

/// When the job ends; never, outside of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobLimit {
    ends: Option<Instant>,
    live: Duration,
    before_live: Duration,
}

impl JobLimit {
    /// As the job's environment says.
    ///
    /// # Errors
    /// Exit 2 where the variable holds no time.
    pub fn read(ctx: &Context) -> Result<Self> {
        let budgets = &ctx.config.budgets;
        let slower = ctx.env().deploy_s().max().unwrap_or(0);
        let ends = match env_nonempty(VARIABLE) {
            None => None,
            Some(text) => {
                let time = text
                    .trim()
                    .parse()
                    .ok()
                    .and_then(|s| DateTime::from_timestamp(s, 0));
                let time = time.ok_or_else(|| errors::job_end_invalid(VARIABLE))?;
                // By a clock that nobody sets from here on.
                let left = (time - Utc::now()).to_std().unwrap_or_default();
                Some(Instant::now() + left)
            }
        };
        Ok(Self {
            ends,
            live: Duration::from_secs(slower + budgets.restore_s) + AROUND,
            before_live: Duration::from_secs(budgets.backup_s + budgets.restore_s),
        })
    }

    /// Whether the whole operation fits, so that one that does not is refused before its backup.
    ///
    /// # Errors
    /// Exit 3 where it does not.
    pub fn require_all(&self) -> Result<()> {
        self.require(self.before_live + self.live)
    }

    /// Whether what changes something live fits.
    ///
    /// # Errors
    /// Exit 3 where it does not.
    pub fn require_live(&self) -> Result<()> {
        self.require(self.live)
    }

    fn require(&self, needed: Duration) -> Result<()> {
        let Some(ends) = self.ends else {
            return Ok(());
        };
        let left = ends.saturating_duration_since(Instant::now());
        if left >= needed {
            return Ok(());
        }
        Err(errors::job_ends_too_soon(left.as_secs(), needed.as_secs()).into())
    }
}
