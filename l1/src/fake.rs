//! The processor that tests run on: CPUID, MSRs and a current VMCS that a test fills, and the way
//! from its memory to physical addresses.
//!
//! What no test has set is not there: its MSR raises #GP, which here is a panic.
#![allow(unsafe_code, reason = "an address of the linker's; stands for instructions")]
#![allow(clippy::missing_safety_doc, reason = "the real ones have it")]

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use core::arch::x86_64::CpuidResult;
use spec::scene::guest_memory::L1_BASE;
use spec::scene::place::PAGE;
use spec::scene::tested::FRAME;

use crate::machine::global::Global;
use crate::machine::page::Page;
use crate::vmx::{Field, VmFail};

/// Tests take turns: L1's statics are one processor's.
static TURN: Mutex<()> = Mutex::new(());
static PROCESSOR: Mutex<Processor> = Mutex::new(Processor::NEW);

/// What a processor holds.
pub struct Processor {
    /// CPUID by leaf and subleaf: EAX, EBX, ECX, EDX.
    pub cpuid: BTreeMap<(u32, u32), [u32; 4]>,
    /// MSRs by number.
    pub msrs: BTreeMap<u32, u64>,
    /// Fields of the current VMCS by encoding.
    pub vmcs: BTreeMap<u32, u64>,
    /// VMWRITEs since [`begin`].
    pub vmwrites: usize,
    /// EPT pointers of INVEPT since [`begin`].
    pub invepts: Vec<u64>,
}

impl Processor {
    const NEW: Self = Self {
        cpuid: BTreeMap::new(),
        msrs: BTreeMap::new(),
        vmcs: BTreeMap::new(),
        vmwrites: 0,
        invepts: Vec::new(),
    };
}

/// A new processor. While the result lives, L1's statics are its test's.
pub fn begin() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    *processor() = Processor::NEW;
    turn
}

/// The processor, to be dropped before L1 uses it.
pub fn processor() -> MutexGuard<'static, Processor> {
    PROCESSOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// CPUID; 0 where a test has set nothing.
pub fn __cpuid_count(leaf: u32, subleaf: u32) -> CpuidResult {
    let [eax, ebx, ecx, edx] = processor().cpuid.get(&(leaf, subleaf)).copied().unwrap_or_default();
    CpuidResult { eax, ebx, ecx, edx }
}

/// See [`__cpuid_count`].
pub fn __cpuid(leaf: u32) -> CpuidResult {
    __cpuid_count(leaf, 0)
}

/// An MSR.
pub struct Msr(u32);

impl Msr {
    /// The MSR of a number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// RDMSR.
    pub unsafe fn read(&self) -> u64 {
        let value = processor().msrs.get(&self.0).copied();
        value.unwrap_or_else(|| panic!("#GP: RDMSR of {:x}", self.0))
    }

    /// WRMSR.
    pub unsafe fn write(&mut self, value: u64) {
        let old = processor().msrs.insert(self.0, value);
        let mode = |base: u64| base >> 10 & 3;
        let leaves_x2apic = |old| self.0 == 0x1b && (mode(old), mode(value)) == (3, 2);
        assert!(old.is_some_and(|old| !leaves_x2apic(old)), "#GP: WRMSR of {:x}", self.0);
    }
}

/// VMREAD.
pub fn vmread(field: Field) -> u64 {
    read_encoding(field as u32).unwrap_or_default()
}

/// VMREAD of an encoding.
pub fn read_encoding(encoding: u32) -> Result<u64, VmFail> {
    processor().vmcs.get(&encoding).copied().ok_or(VmFail { word: "vmread-failed", error: None })
}

/// VMWRITE.
pub fn vmwrite(field: Field, value: u64) {
    let mut processor = processor();
    processor.vmcs.insert(field as u32, value);
    processor.vmwrites += 1;
}

/// INVEPT.
#[expect(clippy::unnecessary_wraps, reason = "the real one can fail")]
pub fn invept_of(_: u64, pointer: u64) -> Result<(), VmFail> {
    processor().invepts.push(pointer);
    Ok(())
}

/// What is at [`FRAME`].
static FRAME_MEMORY: Global<Page> = Global::new(Page::EMPTY);

/// Physical address of a static. They are as far from each other as in the image, from [`L1_BASE`]
/// on.
pub fn physical<T>(at: *const T) -> u64 {
    let physical = at as u64 - statics() + L1_BASE;
    assert!((L1_BASE..2 * L1_BASE).contains(&physical), "{physical:x} is not in L1's memory");
    physical
}

/// Where a physical address is.
pub fn mapped<T>(physical: u64) -> *mut T {
    match physical & !(PAGE - 1) {
        FRAME => (FRAME_MEMORY.get() as u64 + physical % PAGE) as *mut T,
        _ if (L1_BASE..2 * L1_BASE).contains(&physical) => {
            (physical - L1_BASE + statics()) as *mut T
        }
        _ => panic!("{physical:x} is not in L1's memory"),
    }
}

/// The page in which statics begin.
fn statics() -> u64 {
    unsafe extern "C" {
        static __bss_start: u8;
    }
    (&raw const __bss_start) as u64 & !(PAGE - 1)
}
