//! Interrupts and NMIs of L1's local APIC for L2. L1 runs with RFLAGS.IF clear, so an interrupt
//! that it sends itself is pending at the VM entry. An NMI is sent by L2, to which the local APIC's
//! page is given for that.
//!
//! After the scene, what L2 did not take is taken here, and comes to nothing.
#![allow(unsafe_code, reason = "loads an IDT; handlers are assembly")]

use core::arch::{asm, global_asm};
use core::mem::MaybeUninit;

use spec::manual::vector::{EXCEPTIONS, NMI};
use spec::scene::Scene;
use spec::scene::event::{Event, EventType, Sender};
use x86_64::VirtAddr;
use x86_64::instructions::port::Port;
use x86_64::instructions::tables::{lidt, sidt};
use x86_64::structures::DescriptorTablePointer;
use x86_64::structures::idt::Entry;

use crate::machine::apic::Apic;
use crate::machine::expected::{drop_late_nmis, unblock_nmis};
use crate::machine::global::Global;

const VECTORS: usize = 256;
/// A vector of its own for a try, before a scene has one.
const TRIED: u8 = 0x31;
/// The interrupt masks of the two 8259A.
const PIC_MASKS: [u16; 2] = [0x21, 0xa1];

/// The IDT while L1 takes what is pending: NMIs, and interrupts of all vectors.
static IDT: Global<MaybeUninit<[Entry<()>; VECTORS]>> = Global::new(MaybeUninit::uninit());
/// Not 0 once one came.
static CAME: Global<u32> = Global::new(0);

global_asm!(
    r#"
    .section .text.pending, "ax"
    .globl stage_interrupt
    stage_interrupt:
        mov dword ptr [rip + {came}], 1
        iretq
    .text
    "#,
    came = sym CAME,
);

unsafe extern "C" {
    fn stage_interrupt();
}

/// Whether an NMI comes right after the instruction that sends it, and an interrupt stays pending
/// and then comes.
pub fn is_possible(apic: Apic) -> bool {
    prepare(apic);
    apic.aim_at_itself();
    let nmi_comes = comes_by(|| apic.nmi());
    apic.interrupt_itself(TRIED);
    nmi_comes && apic.is_requested(TRIED) && take_interrupts(apic, TRIED)
}

/// Makes pending what the scene needs, or lets L2 do so. It is possible.
pub fn make(scene: &Scene, apic: Option<Apic>) {
    let Some((pending, apic)) = scene.pending.zip(apic) else { return };
    match pending.by {
        Sender::Hypervisor => apic.interrupt_itself(pending.event.vector),
        Sender::Guest => {
            drop_late_nmis(true);
            apic.aim_at_itself();
        }
    }
}

/// Takes what L2 did not take, and ends what it did.
pub fn clear(event: &Event, apic: Apic) {
    if event.kind == EventType::Nmi {
        unblock_nmis();
    } else {
        if apic.is_in_service(event.vector) {
            apic.end_of_interrupt();
        }
        if apic.is_requested(event.vector) {
            take_interrupts(apic, event.vector);
        }
    }
    drop_late_nmis(false);
}

/// When an NMI comes that L1 sends itself while NMIs are blocked.
#[derive(Clone, Copy)]
pub enum NmiSeen {
    /// Right away: they are not blocked.
    AtOnce,
    /// After an IRET, as it must.
    AfterIret,
    /// Not even then.
    Never,
}

/// Sends an NMI where the exit by one has blocked others.
pub fn nmi_waits_for_iret(apic: Apic) -> NmiSeen {
    if comes_by(|| apic.nmi()) {
        NmiSeen::AtOnce
    } else if comes_by(unblock_nmis) {
        NmiSeen::AfterIret
    } else {
        NmiSeen::Never
    }
}

/// Interrupts of devices are masked, and the local APIC accepts others.
fn prepare(apic: Apic) {
    for port in PIC_MASKS {
        // SAFETY: the ports are the masks of the two 8259A, or no one's; L1 waits for no interrupt
        // of a device.
        unsafe { Port::<u8>::new(port).write(u8::MAX) };
    }
    apic.enable();
    // What other groups left: an interrupt whose end was not signalled, NMIs that are blocked.
    apic.end_of_interrupt();
    unblock_nmis();
    let handler = VirtAddr::new_truncate(stage_interrupt as *const () as u64);
    // SAFETY: only the first processor has a stage; `comes_by` uses the table by its address, after
    // this loop.
    let idt = unsafe { (*IDT.get()).write([Entry::missing(); VECTORS]) };
    for (vector, gate) in idt.iter_mut().enumerate() {
        if vector == usize::from(NMI) || vector >= usize::from(EXCEPTIONS) {
            // SAFETY: the handler ends by IRETQ, and no vector among these has an error code;
            // `catch_all` set stack 0.
            unsafe { gate.set_handler_addr(handler).set_stack_index(0) };
        }
    }
}

/// Takes interrupts until none is left; whether one came.
fn take_interrupts(apic: Apic, vector: u8) -> bool {
    // SAFETY: `comes_by` loads an IDT with a handler for each vector of an interrupt, which keeps
    // all registers; interrupts are off again after that.
    let came = comes_by(|| unsafe { asm!("sti", "nop", "nop", "cli") });
    if apic.is_in_service(vector) {
        apic.end_of_interrupt();
    }
    came
}

/// Whether an NMI or an interrupt comes to the handler here at once by what is done.
fn comes_by(run: impl FnOnce()) -> bool {
    let old = sidt();
    let own = DescriptorTablePointer {
        limit: (size_of::<[Entry<()>; VECTORS]>() - 1) as u16,
        base: VirtAddr::new_truncate(IDT.get() as u64),
    };
    // SAFETY: both tables are static; in this one no exception has a handler, and none is raised.
    // Only the handler writes the flag.
    unsafe {
        CAME.get().write_volatile(0);
        lidt(&own);
        run();
        let came = CAME.get().read_volatile() == 1;
        lidt(&old);
        came
    }
}
