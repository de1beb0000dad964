//! Several boots at the same time.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many boots run at the same time if nothing is asked for: one for each processor.
pub fn usual_jobs() -> NonZeroUsize {
    thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Does each of the tasks, `jobs` of them at the same time. The results are in the order of the
/// tasks.
pub fn each<T: Send, R: Send>(
    jobs: NonZeroUsize,
    tasks: Vec<T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let workers = jobs.get().min(tasks.len());
    let left = Mutex::new(tasks.into_iter().enumerate());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let one = || {
        let mut done = Vec::new();
        while let Some((at, task)) = next() {
            done.push((at, work(task)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(one)).collect();
        // A panic ends the whole process.
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::each;
    use std::num::NonZeroUsize;
    use std::sync::Barrier;

    #[test]
    fn so_many_run_at_the_same_time_and_their_order_is_kept() {
        // Each waits for another: with one job it would hang.
        let (two, barrier) = (NonZeroUsize::new(2).unwrap(), Barrier::new(2));
        let doubled = each(two, vec![3, 1, 2, 0], |number| {
            barrier.wait();
            number * 2
        });
        assert_eq!(doubled, [6, 2, 4, 0]);
        assert!(each(two, Vec::new(), |(): ()| ()).is_empty());
    }
}
