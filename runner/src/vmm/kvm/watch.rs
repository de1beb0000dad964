//! The other thread of a run: it feeds the sink, watches the clock, and ends the vCPU's thread when it must.

use crate::interrupt;
use crate::vmm::kvm::machine::Machine;
use crate::vmm::{End, Flow, Outcome, Sink, Unavailable};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use vmm_sys_util::signal::{Killable, SIGRTMIN, register_signal_handler};

/// How often the clock is looked at, and how often the vCPU is kicked until it stops.
const TICK: Duration = Duration::from_millis(20);

/// The kick: that it arrives is all, since it makes KVM_RUN return.
extern "C" fn kicked(_: i32, _: *mut libc::siginfo_t, _: *mut std::ffi::c_void) {}

/// Runs the machine to its end.
///
/// # Errors
/// There can be no thread, or no signal handler.
pub fn run(
    machine: Machine,
    serial: &Receiver<Vec<u8>>,
    limit: Duration,
    sink: &mut dyn Sink,
) -> Result<Outcome, Unavailable> {
    register_signal_handler(SIGRTMIN(), kicked)
        .map_err(|error| Unavailable::failed("handle the signal that stops a vCPU", error))?;
    let start = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&stop);
    let vcpu = thread::Builder::new()
        .name("vcpu0".into())
        .spawn(move || machine.run(&seen))
        .map_err(|error| Unavailable::failed("start the vCPU's thread", error))?;
    let vcpu = Running { vcpu: Some(vcpu), stop };

    let mut wanted = true;
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
            }
            // The vCPU's thread is done, and everything that it sent was received.
            Err(RecvTimeoutError::Disconnected) => break None,
        }
    };
    // A thread that ended by itself is joined without a kick.
    let end = vcpu.end(serial, &mut |bytes| {
        // After "stop" the sink has its end; after the time limit it still gets what was under way.
        if wanted && sink.bytes(bytes) == Flow::Stop {
            wanted = false;
        }
    });
    let end = early.unwrap_or_else(|| end.unwrap_or_else(|| End::Crashed("the vCPU's thread panicked".into())));
    Ok(Outcome { end, instructions: None })
}

/// The vCPU's thread; it is ended when this goes out of scope.
struct Running {
    vcpu: Option<JoinHandle<End>>,
    stop: Arc<AtomicBool>,
}

impl Running {
    /// Stops the thread if it still runs, hands over what it still sends, and says how it ended.
    fn end(mut self, serial: &Receiver<Vec<u8>>, rest: &mut dyn FnMut(&[u8])) -> Option<End> {
        let vcpu = self.vcpu.take()?;
        self.stop.store(true, Ordering::Release);
        let mut next_kick = Instant::now() + TICK;
        loop {
            // Not more often: a thread that is kicked all the time gets nothing done, not even its own end.
            if Instant::now() >= next_kick {
                // An error means that the thread is gone already.
                let _ = vcpu.kill(SIGRTMIN());
                next_kick = Instant::now() + TICK;
            }
            // The queue may be full, and the thread wait for room in it.
            match serial.recv_timeout(TICK) {
                Ok(bytes) => rest(&bytes),
                Err(RecvTimeoutError::Timeout) => {}
                // The guest runs no more; the rest is giving back what the VM had.
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        vcpu.join().ok()
    }
}

impl Drop for Running {
    /// Reached with a thread only if the sink panics: the thread then ends by itself at its next exit.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(vcpu) = &self.vcpu {
            let _ = vcpu.kill(SIGRTMIN());
        }
    }
}
