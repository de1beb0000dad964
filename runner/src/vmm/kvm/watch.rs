//! The other thread of a run: it feeds the sink, watches the clock, and ends the vCPU's thread when
//! it must. While the guest writes nothing, it has the vCPU's thread look whether L2 goes on.

use crate::interrupt;
use crate::vmm::kvm::machine::Machine;
use crate::vmm::kvm::serve::Wishes;
use crate::vmm::kvm::stay;
use crate::vmm::{End, Flow, Outcome, Sink, Unavailable};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

/// How often to look at the clock, and how often to kick the vCPU until it stops.
const TICK: Duration = Duration::from_millis(20);

/// The handler of the kick does nothing: the signal itself makes KVM_RUN return.
extern "C" fn kicked(_: i32, _: *mut libc::siginfo_t, _: *mut std::ffi::c_void) {}

/// Runs the machine to its end.
///
/// # Errors
/// No thread can be started, or no signal handler set.
pub fn run(
    machine: Machine,
    serial: &Receiver<Vec<u8>>,
    limit: Duration,
    sink: &mut dyn Sink,
) -> Result<Outcome, Unavailable> {
    register_signal_handler(SIGRTMIN(), kicked)
        .map_err(|error| Unavailable::failed("handle the signal that stops a vCPU", error))?;
    let start = Instant::now();
    let wishes = Arc::new(Wishes::default());
    let seen = Arc::clone(&wishes);
    let vcpu = thread::Builder::new()
        .name("vcpu0".into())
        .spawn(move || machine.run(&seen))
        .map_err(|error| Unavailable::failed("start the vCPU's thread", error))?;
    let vcpu = Running { vcpu: Some(vcpu), wishes };

    let mut wanted = true;
    let mut next_look = start + stay::PAUSE;
    let early = loop {
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            break Some(End::TimedOut(limit));
        }
        if interrupt::pending() {
            break Some(End::Stopped);
        }
        match serial.recv_timeout(left.min(TICK)) {
            Ok(bytes) => {
                next_look = Instant::now() + stay::PAUSE;
                if sink.bytes(&bytes) == Flow::Stop {
                    wanted = false;
                    break Some(End::Stopped);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                if sink.bytes(&[]) == Flow::Stop {
                    wanted = false;
                    break Some(End::Stopped);
                }
                if Instant::now() >= next_look {
                    next_look = Instant::now() + stay::PAUSE;
                    vcpu.look();
                }
            }
            // The vCPU's thread is done, and everything that it sent was received.
            Err(RecvTimeoutError::Disconnected) => break None,
        }
    };
    // A thread that ended by itself is joined without a kick.
    let end = vcpu.end(serial, &mut |bytes| {
        // After "stop" the sink has what it needs. After the time limit it still gets what was in
        // the queue.
        if wanted && sink.bytes(bytes) == Flow::Stop {
            wanted = false;
        }
    });
    let end = early.unwrap_or_else(|| {
        end.unwrap_or_else(|| End::Crashed("the vCPU's thread panicked".into()))
    });
    Ok(Outcome { end, instructions: None })
}

/// The vCPU's thread; it is ended when this goes out of scope.
struct Running {
    vcpu: Option<JoinHandle<End>>,
    wishes: Arc<Wishes>,
}

impl Running {
    /// Has the thread look whether L2 goes on.
    fn look(&self) {
        self.wishes.look.store(true, Ordering::Release);
        if let Some(vcpu) = &self.vcpu {
            // An error means that the thread is already gone.
            let _ = vcpu.kill(SIGRTMIN());
        }
    }

    /// Stops the thread if it still runs, passes on what it still sends, and says how it ended.
    fn end(mut self, serial: &Receiver<Vec<u8>>, rest: &mut dyn FnMut(&[u8])) -> Option<End> {
        let vcpu = self.vcpu.take()?;
        self.wishes.stop.store(true, Ordering::Release);
        let mut next_kick = Instant::now() + TICK;
        loop {
            // No more often than that: a thread that is kicked all the time cannot even end.
            if Instant::now() >= next_kick {
                // An error means that the thread is already gone.
                let _ = vcpu.kill(SIGRTMIN());
                next_kick = Instant::now() + TICK;
            }
            // The queue may be full, and the thread may wait for room in it.
            match serial.recv_timeout(TICK) {
                Ok(bytes) => rest(&bytes),
                Err(RecvTimeoutError::Timeout) => {}
                // The guest no longer runs; what remains is to free the VM's resources.
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        vcpu.join().ok()
    }
}

impl Drop for Running {
    /// Reached with a thread only if the sink panics: the thread then ends by itself at its next
    /// exit.
    fn drop(&mut self) {
        self.wishes.stop.store(true, Ordering::Release);
        if let Some(vcpu) = &self.vcpu {
            let _ = vcpu.kill(SIGRTMIN());
        }
    }
}
