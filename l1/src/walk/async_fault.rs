//! KVM's asynchronous page faults: while L0 fetches a page that L2's user mode needs, L1 gets a #PF
//! exit in place of L2's wait, and an interrupt when the page is there.
//!
//! They are not faults of L2, so no filter applies: L1 has enabled them, as exits (bit 2 of the
//! MSR). The MSRs and the area are in Linux's `Documentation/virt/kvm/x86/msr.rst`,
//! MSR_KVM_ASYNC_PF_EN.
#![allow(unsafe_code, reason = "MSRs, and an area that KVM writes")]

use core::arch::x86_64::__cpuid;
use core::hint::spin_loop;

use spec::channel::INTERRUPT_VECTOR;
use spec::walk::outcome::Exit;
use x86_64::registers::model_specific::Msr;

use crate::machine::cpu::Cpu;
use crate::machine::global::Global;
use crate::machine::log::log;
use crate::machine::trace;
use crate::vmx::exit::current_exit;
use crate::vmx::{Field, vmread};

/// CPUID leaf of KVM's features, and the bits: asynchronous page faults, as VM exits, ready by
/// interrupt.
const FEATURES: u32 = 0x4000_0001;
const NEEDED: u32 = 1 << 4 | 1 << 10 | 1 << 14;
const KVM: [u8; 12] = *b"KVMKVMKVM\0\0\0";
const MSR_ENABLE: u32 = 0x4b56_4d02;
const MSR_VECTOR: u32 = 0x4b56_4d06;
const MSR_ACKNOWLEDGE: u32 = 0x4b56_4d07;
/// In the first: on, only in user mode; of L2 as VM exits; ready by interrupt.
const ENABLED: u64 = 1 | 1 << 2 | 1 << 3;
/// In the area's flags: the page is not present.
const NOT_PRESENT: u32 = 1;

/// The bits of a token in which KVM has the vCPU's number, 0 of this one. No page under test begins
/// where they are 0.
const TOKEN_CPU: u64 = 0xfff;
/// The token of the news that is for all pages: KVM sends it when this is enabled, and so when a
/// new VM gets the MSR. Linux, `arch/x86/kernel/kvm.c`, `kvm_async_pf_task_wake`.
const TOKEN_ALL: u32 = u32::MAX;

/// How often to look for the news of pages.
const POLLS: u32 = 1 << 22;

/// What KVM writes.
#[repr(C, align(64))]
struct Area {
    flags: u32,
    /// Of the page that is there, until it is acknowledged.
    token: u32,
    rest: [u32; 14],
}

static AREA: Global<Area> = Global::new(Area { flags: 0, token: 0, rest: [0; 14] });

/// More exits than pages that L2's user mode uses.
const MAX_MISSING: usize = 16;

/// The asynchronous faults of a walk.
#[derive(Clone, Copy, Default)]
pub struct AsyncFaults {
    /// How many exits came.
    exits: u32,
    /// Their tokens, 0 where the news that the page is there has come.
    missing: [u32; MAX_MISSING],
    /// There were more than fit.
    overflowed: bool,
    /// The last exit by a fault of L2's own while the area said that a page is not present.
    taken_for_one: Option<Exit>,
}

impl AsyncFaults {
    /// Enables them, if L0 is a KVM that has them.
    pub fn on(cpu: &Cpu) -> Option<Self> {
        if !cpu.is_under(&KVM) || __cpuid(FEATURES).eax & NEEDED != NEEDED {
            return None;
        }
        wrmsr(MSR_VECTOR, INTERRUPT_VECTOR.into());
        wrmsr(MSR_ENABLE, AREA.get() as u64 | ENABLED);
        Some(Self::default())
    }

    /// Disables them.
    pub fn off() {
        wrmsr(MSR_ENABLE, 0);
    }

    /// Whether the #PF exit that came is one of them. L2 goes on where it was.
    pub fn take(&mut self) -> bool {
        // SAFETY: computes an address, reads nothing.
        let flags = unsafe { &raw mut (*AREA.get()).flags };
        // SAFETY: a word of a static, by a pointer; while L1 runs KVM writes no word of the area
        // but the token.
        if unsafe { flags.read_volatile() } != NOT_PRESENT {
            return false;
        }
        // SAFETY: as above.
        unsafe { flags.write_volatile(0) };
        let (error_code, token) =
            (vmread(Field::ExitInterruptionErrorCode), vmread(Field::ExitQualification));
        if error_code != 0 || token & TOKEN_CPU != 0 {
            self.taken_for_one = Some(current_exit());
            return false;
        }
        trace::step(&format_args!("asynchronous page fault, token {token:x}"));
        self.exits += 1;
        match self.missing.iter_mut().find(|token| **token == 0) {
            Some(free) => *free = token as u32,
            None => self.overflowed = true,
        }
        true
    }

    /// The exit that L1 would take for an asynchronous page fault by what KVM writes, though it is
    /// not.
    pub fn taken_for_one(self) -> Option<Exit> {
        self.taken_for_one
    }

    /// An interrupt came: a page is there, unless [`AsyncFaults::complete`] has seen it already.
    pub fn ready(&mut self) {
        // SAFETY: computes an address, reads nothing.
        let token = unsafe { &raw mut (*AREA.get()).token };
        // SAFETY: a word of a static, by a pointer; a volatile read of what KVM may write at any
        // time.
        let came = unsafe { token.read_volatile() };
        if came != 0 {
            // SAFETY: as above; KVM writes no next one until this is acknowledged.
            unsafe { token.write_volatile(0) };
            trace::step(&format_args!("asynchronous page fault over, token {came:x}"));
            // KVM also sends news of a page that came before L1 could learn that it was missing.
            if came == TOKEN_ALL {
                self.missing.fill(0);
            } else if let Some(token) = self.missing.iter_mut().find(|token| **token == came) {
                *token = 0;
            }
            wrmsr(MSR_ACKNOWLEDGE, 1);
        }
    }

    /// Whether for each that came there was news that its page is there. L2 need not wait for the
    /// news, so some may be pending when its walk is over. How many come depends on how soon pages
    /// are there.
    pub fn complete(mut self) -> bool {
        let is_missing = |faults: &Self| faults.missing.iter().any(|&token| token != 0);
        for _ in 0..POLLS {
            if !is_missing(&self) {
                break;
            }
            self.ready();
            spin_loop();
        }
        if self.exits == 0 {
            log().note(&"no asynchronous page fault came: each page was there in time");
        }
        !is_missing(&self) && !self.overflowed
    }
}

fn wrmsr(msr: u32, value: u64) {
    // SAFETY: `AsyncFaults::on` asked CPUID for the feature whose MSRs these are; what is written
    // lets KVM write to `AREA`, which is a static that Rust accesses by pointers only.
    unsafe {
        Msr::new(msr).write(value);
    }
}
