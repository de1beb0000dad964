//! The time that L2 may run without a VM exit: an L0 that keeps L2 from going on is found out in the
//! case in which it does so.
//!
//! It is the VMX-preemption timer, where the processor has it. It begins anew at each VM entry with
//! what the VMCS holds, so it costs L1 nothing. SDM vol. 3C, "VMX-Preemption Timer".

use core::sync::atomic::{AtomicU32, Ordering};

use crate::vmx::controls::PinBased;
use crate::vmx::exit::REASON_TIMER;
use crate::vmx::field::Field;
use crate::vmx::operation::Vmx;
use crate::vmx::vmcs::{vmread, vmwrite};

/// How often in a row the timer runs out before L2 counts as stopped. A machine that has no time for
/// L0 may let it run out once.
const PERIODS: u32 = 4;
/// A period in ticks of the time stamp counter: a third of a second on fast processors.
const TICKS: u32 = 1 << 30;
/// The same once L2 was stopped: it may be so in many cases.
const TICKS_WHEN_STOPPED: u32 = 1 << 25;

static TICKS_NOW: AtomicU32 = AtomicU32::new(TICKS);

/// Limits the time of L2 in the current VMCS, whose controls are written. Returns its pin-based
/// controls.
pub fn set(vmx: &Vmx) -> u32 {
    let timer = PinBased::PREEMPTION_TIMER.bits();
    let pins = vmread(Field::PinBasedControls) as u32;
    if !vmx.allows_pins(timer) {
        return pins;
    }
    let ticks = TICKS_NOW.load(Ordering::Relaxed) >> vmx.preemption_timer_shift();
    vmwrite(Field::PreemptionTimer, ticks.into());
    vmwrite(Field::PinBasedControls, (pins | timer).into());
    pins | timer
}

/// From now on the limit is short, wherever it is [`set`] again.
pub fn shorten() {
    TICKS_NOW.store(TICKS_WHEN_STOPPED, Ordering::Relaxed);
}

/// A stay of L2, which may take several periods.
#[derive(Default)]
pub struct Stay {
    periods: u32,
}

impl Stay {
    /// Whether the last VM exit came because a period was over, and L2 may go on.
    pub fn goes_on(&mut self) -> bool {
        if vmread(Field::ExitReason) != REASON_TIMER {
            return false;
        }
        self.periods += 1;
        let goes_on = self.periods < PERIODS;
        if !goes_on {
            shorten();
        }
        goes_on
    }
}

#[cfg(test)]
mod tests {
    use super::{PERIODS, Stay};
    use crate::fake::begin;
    use crate::vmx::exit::{REASON_TIMER, REASON_VMCALL};
    use crate::vmx::field::Field;
    use crate::vmx::vmcs::vmwrite;

    #[test]
    fn l2_goes_on_until_the_timer_has_run_out_often() {
        let _turn = begin();
        let mut stay = Stay::default();
        vmwrite(Field::ExitReason, REASON_VMCALL);
        assert!(!stay.goes_on());
        vmwrite(Field::ExitReason, REASON_TIMER);
        for _ in 1..PERIODS {
            assert!(stay.goes_on());
        }
        assert!(!stay.goes_on());
    }
}
