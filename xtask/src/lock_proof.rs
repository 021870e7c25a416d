//! The proof that is needed right before something live is changed.

use std::fmt;
use std::sync::Arc;

use anyhow::Result;

/// Proves that an operation still holds its lock. Without an operation there is nothing to prove.
#[derive(Clone, Default)]
pub struct LockProof(Option<Arc<dyn Fn() -> Result<()> + Send + Sync>>);

impl LockProof {
    pub fn new(check: impl Fn() -> Result<()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(check)))
    }

    /// # Errors
    /// Midway (exit 4) where the lease has run out, or another process holds the operation now.
    pub fn check(&self) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), |check| check())
    }
}

impl fmt::Debug for LockProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LockProof")
    }
}
