//! In the trace of a single case: what vmcs12 holds that L2's base state does not, and what changed
//! from one VM entry to the next.

use crate::machine::global::Global;
use crate::machine::trace;
use crate::vmx::controls::{PinBased, ProcessorBased, Secondary};
use crate::vmx::field::Field;
use crate::vmx::operation::Vmx;
use crate::vmx::vmcs::read_encoding;

/// Bits 11:10 of the encoding of fields that VM exits write: they are about what was before. SDM vol.
/// 3C, "VMREAD, VMWRITE, and Encodings of VMCS Fields".
const READ_ONLY_TYPE: u32 = 1;

type Values = [Option<u64>; Field::ALL.len()];

/// The fields at the last VM entry, or of the base state; `None` where there is no field.
static BEFORE: Global<Values> = Global::new([None; Field::ALL.len()]);

fn fields() -> impl Iterator<Item = (usize, Field)> {
    let is_read_only = |field| field as u32 >> 10 & 3 == READ_ONLY_TYPE;
    Field::ALL.into_iter().enumerate().filter(move |(_, field)| !is_read_only(*field))
}

#[expect(unsafe_code, reason = "a static that only this module uses")]
fn before() -> &'static mut Values {
    // SAFETY: only the first processor traces, and `begin` and `entry` drop the reference before
    // either is called again.
    unsafe { &mut *BEFORE.get() }
}

/// Begins the trace; the current VMCS holds the base state.
pub fn begin(vmx: &Vmx) {
    trace::turn_on();
    for (number, field) in fields() {
        before()[number] = is_there(field, vmx).then(|| read_encoding(field as u32).ok()).flatten();
    }
}

/// Whether the processor has the field, as its controls tell. To try is no way: VirtualBox 7.2 goes
/// on at another instruction after a VMREAD that fails.
fn is_there(field: Field, vmx: &Vmx) -> bool {
    let has = |secondary| vmx.processor_based(ProcessorBased::empty(), secondary).is_some();
    match field {
        Field::Vpid => has(Secondary::VPID),
        Field::EptPointer
        | Field::GuestPdpte0
        | Field::GuestPdpte1
        | Field::GuestPdpte2
        | Field::GuestPdpte3 => has(Secondary::EPT),
        Field::PreemptionTimer => vmx.allows_pins(PinBased::PREEMPTION_TIMER.bits()),
        Field::GuestSCet | Field::GuestSsp | Field::GuestInterruptSspTable => {
            vmx.entry_with_cet().is_some()
        }
        _ => true,
    }
}

/// Notes a VM entry with the fields of the current VMCS that are not as at the one before, or as in
/// the base state.
pub fn entry() {
    if !trace::is_on() {
        return;
    }
    trace::step(
        &"VM entry; fields of vmcs12 that are not as at the entry before, at first as in the base state:",
    );
    for (number, field) in fields() {
        let Some(before) = &mut before()[number] else { continue };
        let Ok(now) = read_encoding(field as u32) else { continue };
        let was = core::mem::replace(before, now);
        if was != now {
            let encoding = field as u32;
            trace::step(&format_args!("field {encoding:x} value={now:x} before={was:x}"));
        }
    }
}

#[cfg(test)]
mod tests;
