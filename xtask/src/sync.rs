//! Threads of this process: locks between them, and several things done at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;

/// Locks. A panic of another thread while it held the lock does not matter here: what the program locks is whole between
/// any two statements.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a lock guards, once nobody else has it; as with [`lock`], also after a panic.
pub fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The value of a scoped thread; its panic goes on in ours.
pub fn join<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Does the same for each at once, and gives the results in their order.
///
/// # Errors
/// The first one, after all have ended.
pub fn each_at_once<I: Copy + Send + Sync, T: Send>(
    items: &[I],
    act: impl Fn(I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    each_answer(items, act).into_iter().collect()
}

/// The same, with each one's error beside it.
pub fn each_answer<I: Copy + Send + Sync, T: Send>(items: &[I], act: impl Fn(I) -> T + Sync) -> Vec<T> {
    if let [one] = items {
        return vec![act(*one)];
    }
    std::thread::scope(|scope| {
        let act = &act;
        let running: Vec<_> = items.iter().map(|item| scope.spawn(move || act(*item))).collect();
        running.into_iter().map(join).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use anyhow::bail;

    use super::*;

    #[test]
    fn all_are_done_at_once_and_the_results_have_the_order_of_the_items() {
        let together = Barrier::new(3);
        let done = each_at_once(&[1, 2, 3], |number| {
            together.wait();
            Ok(number * 10)
        });
        assert_eq!(done.unwrap(), [10, 20, 30]);
    }

    #[test]
    fn the_first_error_by_the_order_of_the_items_is_reported() {
        let failed = each_at_once(&[1, 2, 3], |number| {
            if number > 1 {
                bail!("{number} failed");
            }
            Ok(number)
        });
        assert_eq!(failed.unwrap_err().to_string(), "2 failed");
    }
}
