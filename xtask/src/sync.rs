//! Locks between threads of this process.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. A panic of another thread while it held the lock does not matter here: what the program locks is whole between
/// any two statements.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a lock guards, once nobody else has it; as with [`lock`], also after a panic.
pub fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}
