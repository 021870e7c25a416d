//! The proof that a part of an operation needs before its first live change.

use std::fmt;
use std::sync::Arc;

use anyhow::Result;

/// Proves, with a question to the ledger, that an operation still holds its lock.
#[derive(Clone)]
pub struct LockProof(pub(super) Arc<dyn Fn() -> Result<()> + Send + Sync>);

impl LockProof {
    /// # Errors
    /// Midway (exit 4) where another process holds the operation now.
    pub fn check(&self) -> Result<()> {
        (self.0)()
    }
}

impl fmt::Debug for LockProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockProof")
    }
}
