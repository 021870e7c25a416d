//! The product driven from outside in a test environment: releases, rollbacks, approvals, GitHub's settings.

mod adopted;
mod approvals;
mod atlas;
mod checks;
mod github;
mod job_token;
mod layouts;
mod operation;
mod reality;
mod tunnel;
