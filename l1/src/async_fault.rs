//! KVM's asynchronous page faults: while L0 fetches a page that L2's user mode needs, L1 gets a #PF exit in place of L2's wait,
//! and an interrupt when the page is there.
//!
//! They are no faults of L2, so no filter is asked: L1 has enabled them, as exits (bit 2 of the MSR). The MSRs and the area are in
//! Linux's `Documentation/virt/kvm/x86/msr.rst`, MSR_KVM_ASYNC_PF_EN.
#![allow(unsafe_code, reason = "MSRs, and an area that KVM writes")]

use core::arch::asm;
use core::arch::x86_64::__cpuid;
use core::hint::spin_loop;

use spec::channel::INTERRUPT_VECTOR;

use crate::cpu::Cpu;
use crate::global::Global;
use crate::output::log;
use crate::vmx::{Field, vmread};

/// CPUID leaf of KVM's features, and the bits: asynchronous page faults, as VM exits, ready by interrupt.
const FEATURES: u32 = 0x4000_0001;
const NEEDED: u32 = 1 << 4 | 1 << 10 | 1 << 14;
const KVM: [u8; 12] = *b"KVMKVMKVM\0\0\0";
const MSR_ENABLE: u32 = 0x4b56_4d02;
const MSR_VECTOR: u32 = 0x4b56_4d06;
const MSR_ACKNOWLEDGE: u32 = 0x4b56_4d07;
/// In the first: on, in user mode alone; of L2 as VM exits; ready by interrupt.
const ENABLED: u64 = 1 | 1 << 2 | 1 << 3;
/// In the area's flags: the page is not present.
const NOT_PRESENT: u32 = 1;

/// How long to wait for the news of pages, in looks.
const POLLS: u32 = 1 << 22;

/// The token by which KVM says, when it is enabled, that whoever waits need not: for what nobody waits here.
const ALL: u32 = u32::MAX;

/// What KVM writes.
#[repr(C, align(64))]
struct Area {
    flags: u32,
    /// Of the page that is there, until it is acknowledged.
    token: u32,
    rest: [u32; 14],
}

static AREA: Global<Area> = Global::new(Area { flags: 0, token: 0, rest: [0; 14] });

/// The asynchronous faults of a walk.
#[derive(Clone, Copy, Default)]
pub struct AsyncFaults {
    /// Exits for pages that were not there, and how many of these came.
    missing: u32,
    came: u32,
    /// The tokens of both, which must be the same.
    tokens: u64,
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
        // SAFETY: computes an address.
        let flags = unsafe { &raw mut (*AREA.get()).flags };
        // SAFETY: KVM does not write while L1 runs but for a token.
        let asynchronous =
            unsafe { flags.read_volatile() } == NOT_PRESENT && vmread(Field::ExitInterruptionErrorCode) == 0;
        if asynchronous {
            // SAFETY: as above.
            unsafe { flags.write_volatile(0) };
            self.missing += 1;
            self.tokens ^= vmread(Field::ExitQualification);
        }
        asynchronous
    }

    /// An interrupt came: a page is there, unless [`AsyncFaults::complete`] has seen it already.
    pub fn ready(&mut self) {
        // SAFETY: computes an address.
        let token = unsafe { &raw mut (*AREA.get()).token };
        // SAFETY: KVM writes the next one when this is acknowledged.
        let came = unsafe { token.read_volatile() };
        if came != 0 {
            // SAFETY: as above.
            unsafe { token.write_volatile(0) };
            if came != ALL {
                self.tokens ^= u64::from(came);
                self.came += 1;
            }
            wrmsr(MSR_ACKNOWLEDGE, 1);
        }
    }

    /// Whether some came, and for each the news that its page is there. L2 needs not wait for the news, so some may be
    /// under way when its walk is over.
    pub fn complete(mut self) -> bool {
        for _ in 0..POLLS {
            if self.missing == self.came {
                break;
            }
            self.ready();
            spin_loop();
        }
        let Self { missing, came, tokens } = self;
        let complete = missing > 0 && missing == came && tokens == 0;
        if !complete {
            log().note(&format_args!(
                "asynchronous page faults: {missing} exits, news of {came} pages, tokens differ in {tokens:x}"
            ));
        }
        complete
    }
}

fn wrmsr(msr: u32, value: u64) {
    // SAFETY: KVM has these MSRs, as CPUID told, and they change nothing but what KVM writes to `AREA`.
    unsafe {
        asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack, preserves_flags));
    }
}
