//! Ctrl-C and `kill` end the run in order: no program and no folder of it stays, and what was seen
//! until then is reported. A second signal ends maskmatch at once.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

static PENDING: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
/// The number of the signal that came, or 0.
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// From here on the two signals are only noted. Code that waits must look at [`pending`] now and
/// then.
///
/// # Errors
/// The system refuses a handler.
pub fn watch() -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds nothing pending.
        flag::register_conditional_default(signal, Arc::clone(&PENDING))?;
        flag::register_usize(signal, Arc::clone(&SIGNAL), signal.unsigned_abs() as usize)?;
        flag::register(signal, Arc::clone(&PENDING))?;
    }
    Ok(())
}

/// Whether a signal came.
pub fn pending() -> bool {
    PENDING.load(Ordering::Acquire)
}

/// Ends maskmatch by the signal that came, as a shell expects it; returns if none came.
pub fn end_by_signal() {
    if let Ok(signal @ 1..) = i32::try_from(SIGNAL.load(Ordering::Acquire)) {
        // It fails only for numbers that are no signals.
        let _ = low_level::emulate_default_handler(signal);
    }
}
