//! Signals to the vCPU's thread, at arbitrary times.

#![allow(unsafe_code, reason = "sends a signal to a thread")]

use crate::vmm::kvm::state::Failed;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use vmm_sys_util::signal::{Killable, SIGRTMIN, block_signal, unblock_signal};

/// The pause before the first signal, and how much longer it gets with each. So the guest makes
/// progress on the slowest machine.
const PAUSE: Duration = Duration::from_micros(200);
const LONGER: Duration = Duration::from_micros(40);

/// What is asked for while signals come.
pub struct Kicks {
    /// How many more signals move the vCPU.
    pub moves: u32,
    /// Only those count that find L2 being entered.
    pub at_entry: bool,
    /// The move that failed.
    pub failed: Option<Failed>,
    /// Sends them until it is dropped; `None` if somebody else does.
    pub _kicker: Option<Kicker>,
}

/// A thread that signals the one that started it, until it goes out of scope.
pub struct Kicker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Holds back the signals to this thread until it goes out of scope.
pub struct Held;

/// Holds back the signals to this thread.
pub fn hold_signals() -> Held {
    // It fails if they are already held back, which is fine.
    let _ = block_signal(SIGRTMIN());
    Held
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = unblock_signal(SIGRTMIN());
    }
}

/// A thread that gets signals. It must join the thread that sends them before it ends.
pub struct Target(libc::pthread_t);

// SAFETY: the handle is that of a thread that lives, as the type's comment demands: `Kicker` and
// `Late`, whose threads send the signals, join them when they are dropped, and both belong to the
// `Machine`, which the thread that is meant owns.
unsafe impl Killable for Target {
    fn pthread_handle(&self) -> libc::pthread_t {
        self.0
    }
}

impl Target {
    /// This thread.
    pub fn this_thread() -> Self {
        // SAFETY: it has no conditions.
        Self(unsafe { libc::pthread_self() })
    }

    /// Signals it.
    pub fn kick(&self) {
        // One that is not sent is simply missing.
        let _ = self.kill(SIGRTMIN());
    }
}

impl Kicker {
    /// Starts.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn start() -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let target = Target::this_thread();
        let thread = thread::Builder::new().name("kicker".into()).spawn(move || {
            let mut pause = PAUSE;
            while !seen.load(Ordering::Acquire) {
                thread::sleep(pause);
                pause += LONGER;
                target.kick();
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Kicker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
