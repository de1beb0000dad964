//! Several boots at the same time.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::thread;

use spec::catalogue::plan::Profile;

use crate::interrupt;
use crate::request::Request;
use crate::verdict::result::RunResult;
use crate::vmm::Unavailable;

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

/// Runs all sets on all kernels, several boots at the same time. A kernel that cannot be had is a
/// result too.
pub fn on_kernels<K: Sync, S: Sync>(
    request: &Request,
    profile: Profile,
    kernels: &[Result<K, Unavailable>],
    sets: &[S],
    run: impl Fn(&K, &[S]) -> Vec<RunResult> + Sync,
) -> Vec<RunResult> {
    let size = sets_of_boot(profile, sets.len(), kernels.len(), request.jobs.get());
    let boots = kernels.iter().flat_map(|kernel| match kernel {
        Ok(_) => sets.chunks(size).map(|sets| (kernel, sets)).collect(),
        Err(_) => vec![(kernel, sets)],
    });
    let results = each(request.jobs, boots.collect(), |(kernel, sets)| match kernel {
        _ if interrupt::pending() => Vec::new(),
        Ok(ready) => run(ready, sets),
        Err(unavailable) => vec![RunResult::unavailable(unavailable, request.strict)],
    });
    results.into_iter().flatten().collect()
}

/// How many sets a boot of a kernel runs. In the quick profile the boot costs more than a set, so
/// there are only as many boots as jobs. In others each set has a boot, so that a job that is done
/// takes the next.
fn sets_of_boot(profile: Profile, sets: usize, kernels: usize, jobs: usize) -> usize {
    let boots = match profile {
        _ if jobs == 1 => 1,
        Profile::Quick => jobs.div_ceil(kernels.max(1)),
        Profile::Standard | Profile::Exhaustive => sets,
    };
    sets.div_ceil(boots.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::{each, sets_of_boot};
    use spec::catalogue::plan::Profile;
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

    #[test]
    fn quick_boots_as_often_as_there_are_jobs_and_standard_for_each_set() {
        for (profile, sets, kernels, jobs, size) in [
            (Profile::Quick, 4, 1, 1, 4),
            (Profile::Quick, 4, 1, 2, 2),
            (Profile::Quick, 4, 2, 2, 4),
            (Profile::Quick, 4, 1, 16, 1),
            (Profile::Quick, 3, 1, 2, 2),
            (Profile::Standard, 4, 1, 1, 4),
            (Profile::Standard, 4, 1, 2, 1),
        ] {
            assert_eq!(sets_of_boot(profile, sets, kernels, jobs), size, "{sets} {kernels} {jobs}");
        }
    }
}
