//! One processor's L1 and L2: a VMCS, entered at one instruction, left at the first fault or behind it.
#![allow(unsafe_code, reason = "reads and writes memory that L2 accesses too")]

use core::fmt;
use core::hint::black_box;

use spec::manual::filter::Filter;
use spec::manual::paging::{Access, Privilege};
use spec::scene::end::EXIT_EXCEPTION;
use spec::smp::{Change, SHOT_AFTER, SHOT_BEFORE, SHOT_PAGE, SHOT_RFLAGS, State};
use spec::walk::layout::{Header, TOKEN};
use spec::walk::outcome::{Delivery, Exit, IDT_VECTORING_VALID, INTERRUPTION_INFO_PF, Observed, WALK_RFLAGS};
use spec::walk::setting::BASE;
use spec::walk::stimulus::Stimulus;
use x86_64::registers::control::Cr2;

use super::code;
use super::enter::{self, Registers};
use super::memory::{self, Board, Place};
use crate::vmx::{Field, FilterFields, REASON_VMCALL, VmFail, Vmcs, Vmx, vmread, vmwrite};
use crate::walk::guest::{set_mode, write_controls, write_host_state};
use crate::walk::walker::{CR2_AT_START, write_cr2};

/// Interruption information: valid, type and vector.
const EVENT: u64 = 1 << 31 | 0x7ff;
/// Access rights: flat code of 64 bits, data, a busy TSS, none. The DPL is in bits 6:5.
const CODE: u64 = 0xa09b;
const DATA: u64 = 0xc093;
const BUSY_TSS: u64 = 0x8b;
const UNUSABLE: u64 = 1 << 16;
const DPL3: u64 = 3 << 5;
const DR7: u64 = 0x400;
/// The vector of #PF.
const PAGE_FAULT: u64 = 14;
/// How often processor 1's L2 looks whether it is told something.
const POLLS_OF_L2: u64 = 20_000_000;
/// Where in [`Registers::r8_to_r15`] they are.
const R8: usize = 0;
const R9: usize = 1;
const R10: usize = 2;
const R13: usize = 5;
const R14: usize = 6;
const R15: usize = 7;

/// Why there is no outcome.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// The VM entry failed.
    Entry(VmFail),
    /// L2 got an exception that it did not expect; its vector.
    Vector(u64),
    /// L2 exited for another reason than #PF or VMCALL; reason and qualification.
    Reason(u64, u64),
    /// L2 left elsewhere than it should; RIP.
    Place(u64),
    /// The other processor's L2 did not tell what it was to tell.
    Late,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(fail) => write!(f, "entry-failed,{fail:?}"),
            Self::Vector(vector) => write!(f, "unexpected-vector,vector={vector:x}"),
            Self::Reason(reason, qualification) => {
                write!(f, "unexpected-exit,reason={reason:x},qual={qualification:x}")
            }
            Self::Place(rip) => write!(f, "left-elsewhere,rip={rip:x}"),
            Self::Late => f.write_str("not-told-by-the-other-processor"),
        }
    }
}

/// What was seen of one access, or why nothing was.
pub type Seen = Result<Observed, Trouble>;

/// How one stay in L2 ended.
enum Left {
    /// By #PF: a VM exit.
    Exit(Exit),
    /// In the handler of #PF.
    Delivered(Delivery),
    /// By VMCALL at this RIP, outside the handlers.
    Call(u64),
}

/// A processor's L1 and L2.
pub struct Seat {
    processor: usize,
    vmcs: Vmcs,
    header: Header,
    filter: FilterFields,
}

impl Seat {
    /// Fills the VMCS, which is current on this processor. `root` is what CR3 of L2 holds.
    pub fn new(vmx: &Vmx, vmcs: Vmcs, processor: usize, root: u64) -> Self {
        write_controls(&vmx.controls);
        write_host_state();
        enter::write_host_entry(processor);
        set_mode(vmx, BASE.mode);
        let [gdt, tss, idt] = memory::descriptor_tables(processor);
        let (_, data) = memory::selectors(Privilege::User);
        for (field, value) in [
            (Field::GuestCr3, root),
            (Field::GuestTr, memory::TSS_SELECTOR),
            (Field::GuestTrBase, tss),
            (Field::GuestTrLimit, memory::TSS_LIMIT),
            (Field::GuestTrAccess, BUSY_TSS),
            (Field::GuestLdtr, 0),
            (Field::GuestLdtrBase, 0),
            (Field::GuestLdtrLimit, 0),
            (Field::GuestLdtrAccess, UNUSABLE),
            (Field::GuestGdtrBase, gdt),
            (Field::GuestGdtrLimit, memory::GDT_LIMIT),
            (Field::GuestIdtrBase, idt),
            (Field::GuestIdtrLimit, memory::IDT_LIMIT),
            (Field::GuestCsLimit, u32::MAX.into()),
            (Field::GuestCsBase, 0),
            (Field::GuestSsBase, 0),
            (Field::GuestInterruptibility, 0),
            (Field::GuestActivity, 0),
            (Field::GuestPendingDebug, 0),
            (Field::GuestDr7, DR7),
            (Field::GuestDebugctl, 0),
            (Field::GuestSysenterCs, 0),
            (Field::GuestSysenterEsp, 0),
            (Field::GuestSysenterEip, 0),
            (Field::VmcsLinkPointer, u64::MAX),
        ] {
            vmwrite(field, value);
        }
        for (selector, limit, access, base) in [
            (Field::GuestEs, Field::GuestEsLimit, Field::GuestEsAccess, Field::GuestEsBase),
            (Field::GuestDs, Field::GuestDsLimit, Field::GuestDsAccess, Field::GuestDsBase),
            (Field::GuestFs, Field::GuestFsLimit, Field::GuestFsAccess, Field::GuestFsBase),
            (Field::GuestGs, Field::GuestGsLimit, Field::GuestGsAccess, Field::GuestGsBase),
        ] {
            vmwrite(selector, data);
            vmwrite(limit, u32::MAX.into());
            vmwrite(access, DATA | DPL3);
            vmwrite(base, 0);
        }
        Self { processor, vmcs, header: memory::header(processor), filter: FilterFields::default() }
    }

    /// Clears the VMCS.
    pub fn end(mut self) {
        // One that cannot be cleared is gone with VMXOFF all the same.
        let _ = self.vmcs.clear();
    }

    /// Sets the filter; writes what changes.
    pub fn set_filter(&mut self, filter: Filter) {
        self.filter.set(filter, 0);
    }

    /// Makes one access to a page under test. `number` is what a write writes.
    pub fn play(&mut self, stimulus: &Stimulus, number: u64) -> Seen {
        let at = stimulus.loop_number();
        let (access, done) = (self.header.access[at], self.header.resume[at]);
        let written = memory::frame_at(self.processor, stimulus.address());
        let mut registers = Registers { rax: number, rbx: TOKEN, rdi: stimulus.address(), ..Registers::ZERO };
        registers.r8_to_r15[R15] = done;
        self.start(access, stimulus.privilege, WALK_RFLAGS);
        let (left, registers) = self.stay(&registers)?;
        let executed = match stimulus.access {
            // SAFETY: the word is in this processor's frame; its L2 does not run.
            Access::Write => unsafe { written.read_volatile() == number },
            Access::Read | Access::Fetch => registers.rax == TOKEN,
        };
        match left {
            Left::Call(rip) if rip != done => Err(Trouble::Place(rip)),
            left => Ok(observed(&left, executed)),
        }
    }

    /// Processor 0: changes an entry of the page that both L2s use, and sets the flag behind it.
    pub fn change(&mut self, change: &Change) -> Result<(), Trouble> {
        let code = code::change();
        let registers = Registers {
            rax: memory::shot_entry(change, change.level, State::New),
            rdi: memory::shot_entry_linear(change.level),
            rsi: Place::Board.linear(self.processor) + Board::Changed.offset(),
            ..Registers::ZERO
        };
        self.start(memory::code_at(self.processor, Privilege::Supervisor, code.access), Privilege::Supervisor, 2);
        match self.stay(&registers)?.0 {
            Left::Call(rip) if rip == memory::code_at(self.processor, Privilege::Supervisor, code.done) => Ok(()),
            Left::Call(rip) => Err(Trouble::Place(rip)),
            Left::Exit(exit) => Err(Trouble::Place(exit.rip)),
            Left::Delivered(delivery) => Err(Trouble::Place(delivery.rip)),
        }
    }

    /// Processor 1: uses the page if it may, waits to be told, invalidates, and accesses the page before that (unless
    /// an interrupt tells) and behind it.
    pub fn shoot(&mut self, change: &Change, interrupt: bool, first_allowed: bool, number: u64) -> [Option<Seen>; 2] {
        let code = code::around()[change.access as usize];
        let processor = self.processor;
        let at = |offset| memory::code_at(processor, change.privilege, offset);
        let board = memory::board_at(self.processor, change.privilege);
        let mut registers = Registers {
            rbx: TOKEN,
            rdx: Place::Board.linear(self.processor),
            rsi: board,
            rdi: SHOT_PAGE,
            ..Registers::ZERO
        };
        let (word, next) = if interrupt { (Board::Invalidated, code.after) } else { (Board::Changed, code.before) };
        registers.r8_to_r15[R9] = board + word.offset();
        registers.r8_to_r15[R10] = at(next);
        registers.r8_to_r15[R13] = number;
        registers.r8_to_r15[R14] = POLLS_OF_L2;
        let (late, told, done) = (at(code.late), at(code.told), at(code.done));
        self.start(at(if first_allowed { code.use_first } else { code.wait }), change.privilege, SHOT_RFLAGS);
        let mut seen = [None; 2];
        loop {
            let (left, mut after) = match self.stay(&registers) {
                Ok(stay) => stay,
                Err(trouble) => return or_trouble(seen, interrupt, trouble),
            };
            let completed = interrupt || after.r8_to_r15[R8] != 0 || seen[0].is_some();
            if !interrupt && seen[0].is_none() && completed {
                let executed = executed(change.access, SHOT_BEFORE, after.r8_to_r15[R8], number);
                seen[0] = Some(Ok(Observed { exits: 0, exit: None, deliveries: 0, delivery: None, executed }));
            }
            match left {
                Left::Call(rip) if rip == late => return or_trouble(seen, interrupt, Trouble::Late),
                Left::Call(rip) if rip != done => return or_trouble(seen, interrupt, Trouble::Place(rip)),
                _ if Board::Used.at().load(core::sync::atomic::Ordering::Relaxed) == 0 => {
                    return or_trouble(seen, interrupt, Trouble::Place(vmread(Field::GuestRip)));
                }
                left if completed => {
                    let executed = executed(change.access, SHOT_AFTER, after.rax, number);
                    seen[1] = Some(Ok(observed(&left, executed)));
                    return seen;
                }
                left => {
                    let executed = executed(change.access, SHOT_BEFORE, after.rax, number);
                    seen[0] = Some(Ok(observed(&left, executed)));
                    after.rax = 0;
                    registers = after;
                    self.start(told, change.privilege, SHOT_RFLAGS);
                }
            }
        }
    }

    /// Puts L2 at an instruction.
    fn start(&mut self, rip: u64, privilege: Privilege, rflags: u64) {
        let (cs, ss) = memory::selectors(privilege);
        let dpl = if privilege == Privilege::User { DPL3 } else { 0 };
        for (field, value) in [
            (Field::GuestCs, cs),
            (Field::GuestSs, ss),
            (Field::GuestCsAccess, CODE | dpl),
            // A delivery from CPL 3 leaves a null SS.
            (Field::GuestSsAccess, DATA | dpl),
            (Field::GuestSsLimit, u32::MAX.into()),
            (Field::GuestRip, rip),
            (Field::GuestRsp, memory::stack_top(self.processor)),
            (Field::GuestRflags, rflags),
        ] {
            vmwrite(field, value);
        }
        write_cr2(CR2_AT_START);
    }

    /// Enters L2 until it leaves, and tells how.
    fn stay(&mut self, registers: &Registers) -> Result<(Left, Registers), Trouble> {
        let registers = enter::enter(self.processor, &mut self.vmcs, registers).map_err(Trouble::Entry)?;
        let reason = vmread(Field::ExitReason);
        let info = vmread(Field::ExitInterruptionInfo);
        let rip = vmread(Field::GuestRip);
        let qualification = vmread(Field::ExitQualification);
        if reason == u64::from(EXIT_EXCEPTION) && info & EVENT == INTERRUPTION_INFO_PF & EVENT {
            let exit = Exit {
                info,
                error_code: vmread(Field::ExitInterruptionErrorCode),
                qualification,
                rip,
                rflags: vmread(Field::GuestRflags),
                idt_vectoring: vmread(Field::IdtVectoringInfo) & IDT_VECTORING_VALID,
                cr2: Cr2::read_raw(),
            };
            return Ok((Left::Exit(exit), registers));
        }
        if reason != REASON_VMCALL {
            return Err(Trouble::Reason(reason, qualification));
        }
        let handlers = Place::Handlers.linear(self.processor);
        if !(handlers..handlers + 4096).contains(&rip) {
            return Ok((Left::Call(rip), registers));
        }
        let vector = (rip - handlers) / memory::HANDLER;
        if vector != PAGE_FAULT {
            return Err(Trouble::Vector(vector));
        }
        let rsp = vmread(Field::GuestRsp);
        let frame = memory::stack_words::<4>(self.processor, rsp).ok_or(Trouble::Place(rip))?;
        let [error_code, rip, cs, rflags] = frame;
        Ok((Left::Delivered(Delivery { error_code, cr2: Cr2::read_raw(), rip, cs, rflags }), registers))
    }
}

/// A stay's end as an outcome; a call is silence.
fn observed(left: &Left, executed: bool) -> Observed {
    let nothing = Observed { exits: 0, exit: None, deliveries: 0, delivery: None, executed };
    match left {
        Left::Exit(exit) => Observed { exits: 1, exit: Some(*exit), ..nothing },
        Left::Delivered(delivery) => Observed { deliveries: 1, delivery: Some(*delivery), ..nothing },
        Left::Call(_) => nothing,
    }
}

/// Whether an access to the page that changes had its effect: `rax` is RAX behind it.
fn executed(access: Access, offset: u64, rax: u64, number: u64) -> bool {
    match access {
        // SAFETY: the word is in a static; it is written by the L2 that has just left.
        Access::Write => unsafe { black_box(memory::shot_word(offset)).read_volatile() == number },
        Access::Read | Access::Fetch => rax == TOKEN,
    }
}

/// The accesses that are left cannot be judged.
fn or_trouble(mut seen: [Option<Seen>; 2], interrupt: bool, trouble: Trouble) -> [Option<Seen>; 2] {
    for (at, one) in seen.iter_mut().enumerate() {
        if one.is_none() && !(interrupt && at == 0) {
            *one = Some(Err(trouble));
        }
    }
    seen
}
