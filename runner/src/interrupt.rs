//! Signals that end the run in order: no program and no folder of it stays, and what was seen until
//! then is reported. A second SIGINT ends maskmatch at once.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use rustix::process::{Resource, Rlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGXFSZ};
use signal_hook::{flag, low_level};

/// What ends a run. Each but SIGINT does so in order however often it comes: `timeout` sends its
/// signal twice in a row.
const ENDING: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

static PENDING: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
/// The number of the signal that came, or 0.
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// From here on a write beyond the limit of a file's size is an error like any other, not the end.
///
/// # Errors
/// The system refuses a handler.
pub fn outlive_file_size_limit() -> io::Result<()> {
    // A handler, because programs that are started inherit a signal that is ignored.
    flag::register(SIGXFSZ, Arc::default()).map(drop)
}

/// From here on the signals are only noted. Code that waits must look at [`pending`] now and then.
///
/// # Errors
/// The system refuses a handler.
pub fn watch() -> io::Result<()> {
    let ignored = ignored();
    for signal in ENDING.into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0) {
        if signal == SIGINT {
            // Before the flag is set, so that the first one finds nothing pending.
            flag::register_conditional_default(signal, Arc::clone(&PENDING))?;
        }
        flag::register_usize(signal, Arc::clone(&SIGNAL), signal.unsigned_abs() as usize)?;
        flag::register(signal, Arc::clone(&PENDING))?;
    }
    Ok(())
}

/// The signals that whoever started maskmatch had it ignore, a bit each, as `nohup` does.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// Whether a signal came.
pub fn pending() -> bool {
    PENDING.load(Ordering::Acquire)
}

/// Ends maskmatch by the signal that came, as a shell expects it; returns if none came.
pub fn end_by_signal() {
    if let Ok(signal @ 1..) = i32::try_from(SIGNAL.load(Ordering::Acquire)) {
        // SIGQUIT would leave a memory image.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        // It fails only for numbers that are no signals.
        let _ = low_level::emulate_default_handler(signal);
    }
}
