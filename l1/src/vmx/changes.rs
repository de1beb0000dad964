//! In the trace of a single case: what vmcs12 holds that L2's base state does not, and what changed
//! from one VM entry to the next.

use crate::machine::global::Global;
use crate::machine::trace;
use crate::vmx::vmcs::read_encoding;

/// Every encoding that a field can have, in the order of [`encoding`]: 3 bits of index beyond what
/// any field uses are left out. SDM vol. 3C, "VMREAD, VMWRITE, and Encodings of VMCS Fields".
const INDEXES: u32 = 64;
const FIELDS: u32 = 4 * 4 * INDEXES;
/// Fields that VM exits write: they are about what was before.
const READ_ONLY_TYPE: u32 = 1;

/// The fields at the last VM entry, or of the base state; `None` where there is no field.
static BEFORE: Global<[Option<u64>; FIELDS as usize]> = Global::new([None; FIELDS as usize]);

/// The full-width encoding of a number below [`FIELDS`]: width in bits 14:13, type in 11:10, index
/// in 9:1.
const fn encoding(number: u32) -> u32 {
    let (width_and_type, index) = (number / INDEXES, number % INDEXES);
    (width_and_type / 4) << 13 | (width_and_type % 4) << 10 | index << 1
}

fn fields() -> impl Iterator<Item = (usize, u32)> {
    (0..FIELDS)
        .map(|number| (number as usize, encoding(number)))
        .filter(|(_, field)| field >> 10 & 3 != READ_ONLY_TYPE)
}

#[expect(unsafe_code, reason = "a static that only this module uses")]
fn before() -> &'static mut [Option<u64>; FIELDS as usize] {
    // SAFETY: only the first processor traces, and `begin` and `entry` drop the reference before
    // either is called again.
    unsafe { &mut *BEFORE.get() }
}

/// Begins the trace; the current VMCS holds the base state.
pub fn begin() {
    trace::turn_on();
    for (number, field) in fields() {
        before()[number] = read_encoding(field).ok();
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
        let now = read_encoding(field).ok();
        let before = core::mem::replace(&mut before()[number], now);
        if let (Some(before), Some(now)) = (before, now)
            && before != now
        {
            trace::step(&format_args!("field {field:x} value={now:x} before={before:x}"));
        }
    }
}

#[cfg(test)]
mod tests;
