//! The proof, before each single change of the live database, that the operation still holds its lock.
//!
//! A process that was stopped (a suspended laptop, SIGSTOP) longer than its lease may find, when it wakes, that another one
//! has resumed or undone its operation. A step that was checked when it began has many renames: each is checked here, by
//! the lease and by a token in the database, which the one that takes over replaces before its own first change.

use std::fmt;

use anyhow::{Context as _, Result};
use mongodb::bson::{Document, doc};
use mongodb::error::{ErrorKind, WriteFailure};

use super::{DUPLICATE_KEY, Live};
use crate::domain::operation::OperationId;
use crate::error::catalogue::operation as errors;
use crate::lock_proof::LockProof;

/// `_id` of the token, beside the numbered lines of a plan.
pub(super) const TOKEN_ID: &str = "lock";

/// What proves that an operation may change the database.
#[derive(Clone)]
pub struct Fence {
    /// The operation that holds the lock.
    pub operation: OperationId,
    /// Its fencing token: grows with every change of holder.
    pub token: u64,
    /// Fails once the lease has run out.
    pub proof: LockProof,
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.token)
    }
}

impl Live {
    /// The same database; each change of it needs the proof from here on.
    #[must_use]
    pub fn fenced(mut self, fence: Fence) -> Self {
        self.fence = Some(fence);
        self
    }

    /// Writes the token into this collection, in place of an earlier holder's, whose changes end with that.
    ///
    /// # Errors
    /// The lock was taken over (exit 4) where the collection has a later token.
    pub fn claim(&mut self, collection: &str) -> Result<()> {
        let Some(fence) = self.fence.clone() else {
            return Ok(());
        };
        fence.proof.check()?;
        let token = i64::try_from(fence.token)?;
        let earlier = doc! { "_id": TOKEN_ID, "token": { "$lte": token } };
        let own = doc! { "$set": { "token": token, "operation": fence.operation.as_str() } };
        let name = collection.to_owned();
        let claimed = self.ask(move |_, database| {
            let target = database.collection::<Document>(&name);
            target.update_one(earlier.clone(), own.clone()).upsert(true).run()
        });
        match claimed {
            Ok(_) => {}
            // The collection has a later token: what was meant for an earlier one would be inserted beside it.
            Err(error) if error.downcast_ref().is_some_and(is_duplicate) => return Err(fence.lost()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot write `{}.{collection}`", self.name()));
            }
        }
        self.claimed = Some(collection.to_owned());
        Ok(())
    }

    /// To be called right before a change.
    pub(super) fn prove(&self) -> Result<()> {
        let Some(fence) = &self.fence else {
            return Ok(());
        };
        fence.proof.check()?;
        let Some(collection) = &self.claimed else {
            return Ok(());
        };
        let name = collection.clone();
        let found = self
            .ask(move |_, database| {
                let target = database.collection::<Document>(&name);
                target.find_one(doc! { "_id": TOKEN_ID }).run()
            })
            .with_context(|| format!("cannot read `{}.{collection}`", self.name()))?;
        let token = found.and_then(|found| found.get_i64("token").ok());
        if token == Some(i64::try_from(fence.token)?) {
            return Ok(());
        }
        Err(fence.lost())
    }
}

fn is_duplicate(error: &mongodb::error::Error) -> bool {
    matches!(
        error.kind.as_ref(),
        ErrorKind::Write(WriteFailure::WriteError(failed)) if failed.code == DUPLICATE_KEY
    )
}

impl Fence {
    fn lost(&self) -> anyhow::Error {
        errors::lock_taken_over(&self.operation, "another process").into()
    }
}
