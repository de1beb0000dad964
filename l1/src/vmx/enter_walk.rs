//! VM entry for a walk: the hot path.
//!
//! A VM exit by exception is noted as an [`ExitRecord`] and L2 resumed at its R15, all in assembly
//! with few instructions. Any other exit returns as from [`enter`].
//!
//! L2 keeps nothing in R8 to R12 across an exit (see `l2/src/walk.rs`), so the hot path uses them.
//! It touches no other register of L2.
#![allow(unsafe_code, reason = "VMRESUME and the exit path are assembly")]

use core::arch::global_asm;
use core::mem::{offset_of, size_of};

use spec::walk::layout::{ExitRecord, MAX_SLOTS};
use spec::walk::outcome::IDT_VECTORING_VALID;

use crate::machine::global::Global;
use crate::vmx::enter;
use crate::vmx::exit::current_exit;
use crate::vmx::field::Field;
use crate::vmx::vmcs::{VmFail, Vmcs, vmwrite};

/// One more exit than slots: a fault that comes twice shows as one too many.
const RECORDS: usize = MAX_SLOTS + 1;

static RECORDS_OF_WALK: Global<[ExitRecord; RECORDS]> = Global::new([ExitRecord::EMPTY; RECORDS]);

/// Which records the assembly fills.
#[repr(C)]
struct Room {
    /// The next record.
    next: u64,
    /// After the last record.
    end: u64,
}

static ROOM: Global<Room> = Global::new(Room { next: 0, end: 0 });

global_asm!(
    r#"
    .section .text.entry, "ax"
    .globl l1_exit_of_walk
    l1_exit_of_walk:
        # Reason 0 is an exception or an NMI, and a walk's controls let NMIs through.
        mov r8d, {exit_reason}
        vmread r9, r8
        test r9, r9
        jnz l1_exit
        mov r8, [rip + {room} + {next}]
        cmp r8, [rip + {room} + {end}]
        je l1_exit
        mov r9d, {info_field}
        vmread [r8 + {info}], r9
        mov r9d, {error_code_field}
        vmread [r8 + {error_code}], r9
        mov r9d, {qualification_field}
        vmread [r8 + {qualification}], r9
        mov r9d, {rip_field}
        vmread [r8 + {rip}], r9
        mov r10d, {rflags_field}
        vmread [r8 + {rflags}], r10
        mov r10d, {idt_vectoring_field}
        vmread r11, r10
        and r11d, {idt_vectoring_valid}
        mov [r8 + {idt_vectoring}], r11
        mov r10, cr2
        mov [r8 + {cr2}], r10
        mov [r8 + {slot}], rsi
        add r8, {record_size}
        mov [rip + {room} + {next}], r8
        # R9 still has RIP's field.
        vmwrite r9, r15
        vmresume
        # Still here: back to l1_enter's frame, as l1_exit goes.
        mov rsp, [rsp]
        jmp l1_entry_failed
    .text
    "#,
    room = sym ROOM,
    next = const offset_of!(Room, next),
    end = const offset_of!(Room, end),
    exit_reason = const Field::ExitReason as u32,
    info_field = const Field::ExitInterruptionInfo as u32,
    info = const offset_of!(ExitRecord, exit.info),
    error_code_field = const Field::ExitInterruptionErrorCode as u32,
    error_code = const offset_of!(ExitRecord, exit.error_code),
    qualification_field = const Field::ExitQualification as u32,
    qualification = const offset_of!(ExitRecord, exit.qualification),
    rip_field = const Field::GuestRip as u32,
    rip = const offset_of!(ExitRecord, exit.rip),
    rflags_field = const Field::GuestRflags as u32,
    rflags = const offset_of!(ExitRecord, exit.rflags),
    idt_vectoring_field = const Field::IdtVectoringInfo as u32,
    idt_vectoring = const offset_of!(ExitRecord, exit.idt_vectoring),
    idt_vectoring_valid = const IDT_VECTORING_VALID,
    cr2 = const offset_of!(ExitRecord, exit.cr2),
    slot = const offset_of!(ExitRecord, slot),
    record_size = const size_of::<ExitRecord>(),
);

unsafe extern "sysv64" {
    fn l1_exit_of_walk();
}

/// Writes where VM exits of a VMCS, which is current, go: through the hot path if that can read it.
pub fn write_host_entry(vmcs: &Vmcs) {
    if is_noted_one_by_one(vmcs) {
        enter::write_host_entry(vmcs);
    } else {
        enter::write_host_entry_at(vmcs, l1_exit_of_walk as *const () as u64);
    }
}

/// Whether each exit by exception ends [`enter_walk`], too, and is to be [`note`]d.
pub fn is_noted_one_by_one(vmcs: &Vmcs) -> bool {
    vmcs.is_enlightened()
}

/// Enters L2 at its start or at the start of a walk, until an exit that is no exception, or one
/// exception too many. [`exits`] has those by exception on the way.
pub fn enter_walk(vmcs: &mut Vmcs) -> Result<(), VmFail> {
    set_room(end_of_records());
    enter::start(vmcs)
}

/// Enters L2 at the start of a walk, until an exit, whatever it is.
pub fn enter_walk_once(vmcs: &mut Vmcs) -> Result<(), VmFail> {
    set_room(RECORDS_OF_WALK.get() as u64);
    enter::start(vmcs)
}

/// Goes on after an exit at which [`enter_walk`] ended; [`exits`] has those before it, too. R8 to
/// R12 are not L2's.
pub fn resume_walk(vmcs: &mut Vmcs) -> Result<(), VmFail> {
    enter::go_on(vmcs)
}

/// Forgets all records, and makes room up to an address.
fn set_room(end: u64) {
    // SAFETY: the assembly uses the static by address, and only inside `l1_enter`; no reference
    // to it is ever made.
    unsafe { ROOM.get().write(Room { next: RECORDS_OF_WALK.get() as u64, end }) };
}

/// The address after the last record that there can be.
fn end_of_records() -> u64 {
    RECORDS_OF_WALK.get().wrapping_add(1) as u64
}

/// Notes the exit by exception that came after [`enter_walk_once`], and lets L2 go on at its R15
/// when it is resumed, as the hot path does. Whether there is room for the record.
pub fn note(vmcs: &Vmcs) -> bool {
    let room = ROOM.get();
    let registers = enter::left_with(vmcs);
    // SAFETY: L2 does not run, and the record is one of the static's, which are `RECORDS`.
    unsafe {
        if (*room).next == end_of_records() {
            return false;
        }
        ((*room).next as *mut ExitRecord)
            .write(ExitRecord { exit: current_exit(), slot: registers.rsi });
        (*room).next += size_of::<ExitRecord>() as u64;
        (*room).end = (*room).next;
    }
    vmwrite(Field::GuestRip, registers.r15);
    true
}

/// The exits by exception of the last [`enter_walk`], in their order.
pub fn exits(_vmcs: &Vmcs) -> &[ExitRecord] {
    let records = RECORDS_OF_WALK.get();
    // SAFETY: the assembly filled the records from the first up to `next`; the next `enter_walk`,
    // which writes them again, needs the VMCS that the result borrows.
    unsafe {
        let used = ((*ROOM.get()).next - records as u64) as usize / size_of::<ExitRecord>();
        core::slice::from_raw_parts(records.cast::<ExitRecord>(), used)
    }
}
