//! The enlightened VMCS, which is read and written in memory: see [`spec::manual::enlightened`].
//! Only the first processor uses it.
#![allow(unsafe_code, reason = "writes an MSR, and memory that L0 uses")]

#[cfg(not(test))]
use core::arch::x86_64::__cpuid;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spec::manual::enlightened::{
    ALL_CLEAN, ASSIST_IN_USE, ASSIST_MSR, CLEAN_FIELDS, CURRENT_VMCS, ENTRY_IS_ENLIGHTENED,
    HIGHEST_LEAF, HINT_ENLIGHTENED_VMCS, HINTS_LEAF, INTERFACE, INTERFACE_LEAF, Place, Use,
    VERSION, VERSIONS_LEAF, place,
};
#[cfg(not(test))]
use x86_64::registers::model_specific::Msr;

#[cfg(test)]
use crate::fake::{__cpuid, Msr};
use crate::machine::cpu::Cpu;
use crate::machine::global::Global;
use crate::machine::page::Page;

static ASSIST_PAGE: Global<Page> = Global::new(Page::EMPTY);
/// The physical address of the current VMCS if it is an enlightened one, else 0.
static CURRENT: AtomicU64 = AtomicU64::new(0);
static USES_CLEAN_FIELDS: AtomicBool = AtomicBool::new(false);

/// Whether L0 offers it. TLFS, "Feature Discovery".
pub fn is_offered(cpu: &Cpu) -> bool {
    let eax = |leaf| __cpuid(leaf).eax;
    cpu.has_hypervisor()
        && eax(HIGHEST_LEAF) >= VERSIONS_LEAF
        && eax(INTERFACE_LEAF) == INTERFACE
        && eax(HINTS_LEAF) & HINT_ENLIGHTENED_VMCS != 0
        && (eax(VERSIONS_LEAF) & 0xff..=eax(VERSIONS_LEAF) >> 8 & 0xff).contains(&VERSION)
}

/// Gives L0 the assist page. L0 offers enlightened VMCSs.
pub fn turn_on() {
    write_assist_msr(ASSIST_PAGE.get() as u64 | ASSIST_IN_USE);
}

/// Takes the assist page back. No enlightened VMCS is active.
pub fn turn_off() {
    leave_current();
    write_assist_msr(0);
}

fn write_assist_msr(value: u64) {
    // SAFETY: `is_offered` saw the interface that has the MSR. The page is a static that is used for
    // nothing else.
    unsafe { Msr::new(ASSIST_MSR).write(value) };
}

/// From now on VMCSs are used in this way.
pub fn use_as(how: Use) {
    USES_CLEAN_FIELDS.store(how.clean_fields, Ordering::Relaxed);
}

/// Makes a page an enlightened VMCS that was never entered.
pub fn prepare(address: u64) {
    // SAFETY: the page is that of a `Region`, which no active VMCS uses.
    unsafe {
        (address as *mut Page).write(Page::EMPTY);
        (address as *mut u32).write_volatile(VERSION);
    }
}

/// Makes the VMCS at an address current: VM entries are its from now on.
pub fn make_current(address: u64) {
    set_entry(1, address);
    CURRENT.store(address, Ordering::Relaxed);
}

/// VM entries are those of an ordinary VMCS from now on.
pub fn leave_current() {
    if CURRENT.swap(0, Ordering::Relaxed) != 0 {
        set_entry(0, 0);
    }
}

fn set_entry(is_enlightened: u8, address: u64) {
    let page = ASSIST_PAGE.get().cast::<u8>();
    // SAFETY: both are within the page; L0 reads them at VM entries.
    unsafe {
        page.add(CURRENT_VMCS).cast::<[u8; 8]>().write_volatile(address.to_le_bytes());
        page.add(ENTRY_IS_ENLIGHTENED).write_volatile(is_enlightened);
    }
}

/// The current VMCS was entered and left: what is in it now is what L0 has.
pub fn entered() {
    set_clean_fields(if USES_CLEAN_FIELDS.load(Ordering::Relaxed) { ALL_CLEAN } else { 0 });
}

/// Which groups L1 has not changed, as the current VMCS says.
pub fn clean_fields() -> u16 {
    current().map_or(0, |vmcs| {
        // SAFETY: within the page of the current VMCS; L2 does not run.
        let bytes = unsafe { vmcs.add(CLEAN_FIELDS).cast::<[u8; 2]>().read_volatile() };
        u16::from_le_bytes(bytes)
    })
}

/// Says which groups L1 has not changed.
pub fn set_clean_fields(clean: u16) {
    if let Some(vmcs) = current() {
        let bytes = u32::from(clean).to_le_bytes();
        // SAFETY: as in `clean_fields`.
        unsafe { vmcs.add(CLEAN_FIELDS).cast::<[u8; 4]>().write_volatile(bytes) };
    }
}

/// The current VMCS, if it is an enlightened one.
pub fn current() -> Option<*mut u8> {
    Some(CURRENT.load(Ordering::Relaxed) as *mut u8).filter(|vmcs| !vmcs.is_null())
}

/// Reads a field of the current VMCS, which is `vmcs`, if it has it.
pub fn read(vmcs: *mut u8, encoding: u32) -> Option<u64> {
    let place = place(encoding)?;
    let mut bytes = [0; 8];
    // SAFETY: the field is within the page of the VMCS, which L0 writes only while L2 runs.
    unsafe { vmcs.add(place.offset.into()).copy_to(bytes.as_mut_ptr(), place.size()) };
    Some(u64::from_le_bytes(bytes))
}

/// Writes a field of the current VMCS, which is `vmcs`. Whether it has it.
pub fn write(vmcs: *mut u8, encoding: u32, value: u64) -> bool {
    let Some(place @ Place { offset, group, .. }) = place(encoding) else { return false };
    // SAFETY: as in `read`.
    unsafe { vmcs.add(offset.into()).copy_from(value.to_le_bytes().as_ptr(), place.size()) };
    set_clean_fields(clean_fields() & !group);
    true
}

#[cfg(test)]
mod tests {
    use super::{
        CLEAN_FIELDS, Page, clean_fields, current, entered, leave_current, make_current, prepare,
        read, use_as, write,
    };
    use crate::fake::begin;
    use crate::machine::global::Global;
    use crate::vmx::Field;
    use spec::manual::enlightened::{ALL_CLEAN, Use, VERSION};

    static VMCS: Global<Page> = Global::new(Page::EMPTY);

    #[test]
    fn a_field_is_in_memory_and_no_longer_clean_when_it_was_written() {
        let _turn = begin();
        prepare(VMCS.get() as u64);
        make_current(VMCS.get() as u64);
        let vmcs = current().unwrap();
        let at = |offset: usize| {
            // SAFETY: within the page, which only this test uses.
            let bytes = unsafe { vmcs.add(offset).cast::<[u8; 4]>().read_volatile() };
            u32::from_le_bytes(bytes)
        };
        assert_eq!(at(0), VERSION);
        for clean_fields in [true, false] {
            use_as(Use { clean_fields });
            entered();
            let clean = if clean_fields { ALL_CLEAN } else { 0 };
            assert_eq!(super::clean_fields(), clean);
            assert!(write(vmcs, Field::ExceptionBitmap as u32, 0x4000));
            assert_eq!((at(792), at(796)), (0x4000, 0));
            assert_eq!(read(vmcs, Field::ExceptionBitmap as u32), Some(0x4000));
            assert_eq!(at(CLEAN_FIELDS), u32::from(clean & !(1 << 7)));
            assert!(write(vmcs, Field::PfecMask as u32, u64::MAX));
            assert_eq!((at(376), at(380), super::clean_fields()), (u32::MAX, 0, 0));
        }
        assert!(!write(vmcs, Field::PreemptionTimer as u32, 0));
        leave_current();
        assert_eq!((current(), clean_fields()), (None, 0));
    }
}
