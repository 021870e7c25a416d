//! Work spread over threads, its results in the order of the work, a bounded amount of both under way.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use anyhow::{Result, anyhow};

use crate::sync::lock;

/// Takes the work. Dropping it ends the workers once they have done what was submitted.
#[derive(Debug)]
pub(super) struct Feeder<I, O> {
    jobs: SyncSender<(I, SyncSender<Result<O>>)>,
    order: SyncSender<Receiver<Result<O>>>,
}

/// Gives the results in order. Dropping it makes [`Feeder::submit`] fail.
pub(super) struct Drain<O> {
    order: Receiver<Receiver<Result<O>>>,
}

/// The other side is gone; why, only it knows.
#[derive(Debug)]
pub(super) struct Stopped;

/// Starts `workers` threads; `make` gives each its own function (and with it, its own scratch memory).
pub(super) fn pool<I, O, F>(workers: usize, make: impl Fn() -> F) -> (Feeder<I, O>, Drain<O>)
where
    I: Send + 'static,
    O: Send + 'static,
    F: FnMut(I) -> Result<O> + Send + 'static,
{
    let workers = workers.max(1);
    // `order` bounds everything: a job is sent only after its place in the order was.
    let (order_in, order_out) = sync_channel(workers * 2);
    let (jobs_in, jobs_out) = sync_channel::<(I, SyncSender<Result<O>>)>(workers * 2);
    let jobs_out = Arc::new(Mutex::new(jobs_out));
    for _ in 0..workers {
        let jobs = Arc::clone(&jobs_out);
        let mut work = make();
        std::thread::spawn(move || {
            loop {
                let job = lock(&jobs).recv();
                let Ok((input, result)) = job else { return };
                // Nobody waits for it when the operation was given up.
                let _ = result.send(work(input));
            }
        });
    }
    (
        Feeder {
            jobs: jobs_in,
            order: order_in,
        },
        Drain { order: order_out },
    )
}

impl<I, O> Feeder<I, O> {
    /// Queues work; waits while too much is under way.
    pub(super) fn submit(&self, input: I) -> Result<(), Stopped> {
        let (result_in, result_out) = sync_channel(1);
        self.order.send(result_out).map_err(|_| Stopped)?;
        self.jobs.send((input, result_in)).map_err(|_| Stopped)
    }

    /// Puts a result that needs no work in its place in the order.
    pub(super) fn pass(&self, result: Result<O>) -> Result<(), Stopped> {
        let (result_in, result_out) = sync_channel(1);
        result_in.send(result).map_err(|_| Stopped)?;
        self.order.send(result_out).map_err(|_| Stopped)
    }
}

impl<O> Iterator for Drain<O> {
    type Item = Result<O>;

    fn next(&mut self) -> Option<Result<O>> {
        let result = self.order.recv().ok()?;
        // A worker that panics drops its sender.
        Some(
            result
                .recv()
                .unwrap_or_else(|_| Err(anyhow!("a worker thread stopped without a result"))),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn results_keep_the_order_whoever_is_quicker() {
        let (feeder, drain) = pool(3, || {
            |n: u64| Ok((0..(n * 7919) % 5000).fold(n, |n, _| std::hint::black_box(n)))
        });
        let feeding = std::thread::spawn(move || (0..500).for_each(|n| feeder.submit(n).unwrap()));
        let results: Vec<u64> = drain.map(Result::unwrap).collect();
        feeding.join().unwrap();
        assert_eq!(results, (0..500).collect::<Vec<_>>());
    }

    #[test]
    fn a_panic_is_an_error_in_its_place() {
        let (feeder, drain) = pool(2, || {
            |n: u64| {
                assert_ne!(n, 3, "expected by the test");
                Ok(n)
            }
        });
        for n in 0..4 {
            feeder.submit(n).unwrap();
        }
        drop(feeder);
        let results: Vec<bool> = drain.map(|r| r.is_ok()).collect();
        assert_eq!(results, [true, true, true, false]);
    }

    #[test]
    fn work_under_way_is_bounded_and_ends_with_the_drain() {
        let begun = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&begun);
        let (feeder, drain) = pool(2, move || {
            let count = Arc::clone(&count);
            move |(): ()| {
                count.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        });
        let feeding = std::thread::spawn(move || (0..100).map(|_| feeder.submit(())).find(Result::is_err));
        let mut drain = drain;
        drain.next().unwrap().unwrap();
        drop(drain);
        assert!(
            feeding.join().unwrap().is_some(),
            "submit must fail once nobody takes results"
        );
        assert!(begun.load(Ordering::SeqCst) <= 10);
    }
}
