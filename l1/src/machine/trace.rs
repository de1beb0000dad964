//! The trace of a single case, in lines of the log.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::machine::log::log;

static ON: AtomicBool = AtomicBool::new(false);

/// Whether there is a trace.
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Begins the trace.
pub fn turn_on() {
    ON.store(true, Ordering::Relaxed);
}

/// Notes one step.
pub fn step(what: &dyn fmt::Display) {
    if is_on() {
        log().trace(what);
    }
}
