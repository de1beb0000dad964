//! One processor's L1 and L2: a VMCS, entered at one instruction, left at the first fault or after
//! it.
#![allow(unsafe_code, reason = "reads and writes memory that L2 accesses too")]

use core::fmt;
use core::hint::black_box;

use spec::manual::descriptor::{CODE_64, DATA, with_dpl};
use spec::manual::filter::Filter;
use spec::manual::paging::format::Format;
use spec::manual::paging::{Access, Privilege};
use spec::manual::vector::PAGE_FAULT;
use spec::scene::end::EXIT_EXCEPTION;
use spec::smp::shootdown::{Change, SHOT_AFTER, SHOT_BEFORE, SHOT_PAGE, SHOT_RFLAGS, State};
use spec::walk::layout::{Header, TOKEN};
use spec::walk::outcome::{
    CR2_AT_START, Delivery, Exit, INTERRUPTION_INFO_PF, Observed, WALK_RFLAGS,
};
use spec::walk::setting::BASE;
use spec::walk::stimulus::Stimulus;
use x86_64::registers::control::Cr2;

use super::code;
use super::memory::{self, Board, SmpPage};
use crate::machine::cpu::write_cr2;
use crate::vmx::enter::{self, Registers};
use crate::vmx::exit::{LastExit, REASON_VMCALL, current_exit};
use crate::vmx::vmcs12::{self, Segment, write_segment};
use crate::vmx::{Field, FilterFields, VmFail, Vmcs, Vmx, limit, vmread, vmwrite};

/// Interruption information: valid, type and vector.
const EVENT: u64 = 1 << 31 | 0x7ff;
/// How often processor 1's L2 looks for the other's word.
const POLLS_OF_L2: u64 = 20_000_000;
/// Why there is no outcome.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// The VM entry failed.
    Entry(VmFail),
    /// L2 got an exception that it did not expect; its vector.
    Vector(u64),
    /// L2 exited for another reason than #PF or VMCALL.
    Exit(LastExit),
    /// L2 left elsewhere than it should; RIP.
    Elsewhere(u64),
    /// The other processor's L2 did not send the word that was due.
    Late,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry(fail) => fail.fmt(f),
            Self::Vector(vector) => write!(f, "{},vector={vector:x}", self.word()),
            Self::Exit(exit) => write!(f, "{},{exit}", self.word()),
            Self::Elsewhere(rip) => write!(f, "{},rip={rip:x}", self.word()),
            Self::Late => f.write_str(self.word()),
        }
    }
}

impl Trouble {
    /// The word by which such cases are counted.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Entry(fail) => fail.word,
            Self::Vector(_) => "unexpected-vector",
            Self::Exit(_) => "unexpected-exit",
            Self::Elsewhere(_) => "left-elsewhere",
            Self::Late => "not-told-by-the-other-processor",
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
pub struct SmpVcpu {
    processor: usize,
    vmcs: Vmcs,
    header: Header,
    filter: FilterFields,
}

impl SmpVcpu {
    /// Fills the VMCS, which is current on this processor. `root` is what CR3 of L2 holds.
    pub fn new(vmx: &Vmx, vmcs: Vmcs, processor: usize, root: u64) -> Self {
        vmcs12::write_controls(&vmx.controls);
        limit::set(vmx);
        vmcs12::write_host_state();
        enter::write_host_entry(&vmcs);
        vmcs12::write_paging(vmx, Format::Level4, BASE.mode);
        vmcs12::write_calm_state();
        vmwrite(Field::GuestCr3, root);
        let [gdt, tss, idt] = memory::descriptor_tables(processor);
        vmcs12::write_gdtr(gdt, memory::GDT_LIMIT);
        vmcs12::write_idtr(idt, memory::IDT_LIMIT);
        write_segment(vmcs12::TR, Segment::busy_tss(memory::TSS_SELECTOR, tss));
        write_segment(vmcs12::LDTR, Segment::UNUSABLE);
        let (_, data) = memory::selectors(Privilege::User);
        for fields in vmcs12::DATA_SEGMENTS {
            write_segment(fields, Segment::any_data(data));
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
        let mut registers =
            Registers { rax: number, rbx: TOKEN, rdi: stimulus.address(), ..Registers::ZERO };
        registers.r15 = done;
        self.start(access, stimulus.privilege, WALK_RFLAGS);
        let (left, registers) = self.stay(&registers)?;
        let executed = match stimulus.access {
            // SAFETY: `frame_at` gives a word of this processor's frame, aligned as stimuli's
            // addresses are; its L2 has left, and no other L2 uses the frame.
            Access::Write => unsafe { written.read_volatile() == number },
            Access::Read | Access::Fetch => registers.rax == TOKEN,
        };
        match left {
            Left::Call(rip) if rip != done => Err(Trouble::Elsewhere(rip)),
            left => Ok(observed(&left, executed)),
        }
    }

    /// Processor 0: changes an entry of the page that both L2s use, and sets the flag after it.
    pub fn change(&mut self, change: &Change) -> Result<(), Trouble> {
        let code = code::change();
        let registers = Registers {
            rax: memory::shot_entry(change, change.level, State::New),
            rdi: memory::shot_entry_linear(change.level),
            rsi: SmpPage::Board.linear(self.processor) + Board::Changed.offset(),
            ..Registers::ZERO
        };
        self.start(
            memory::code_at(self.processor, Privilege::Supervisor, code.access),
            Privilege::Supervisor,
            2,
        );
        match self.stay(&registers)?.0 {
            Left::Call(rip)
                if rip == memory::code_at(self.processor, Privilege::Supervisor, code.done) =>
            {
                Ok(())
            }
            Left::Call(rip) => Err(Trouble::Elsewhere(rip)),
            Left::Exit(exit) => Err(Trouble::Elsewhere(exit.rip)),
            Left::Delivered(delivery) => Err(Trouble::Elsewhere(delivery.rip)),
        }
    }

    /// Processor 1: uses the page if it may, waits for the word, invalidates, and accesses the page
    /// before that (unless an interrupt announces the change) and after it.
    pub fn shoot(
        &mut self,
        change: &Change,
        interrupt: bool,
        first_allowed: bool,
        number: u64,
    ) -> [Option<Seen>; 2] {
        let code = code::around_change()[change.access as usize];
        let processor = self.processor;
        let at = |offset| memory::code_at(processor, change.privilege, offset);
        let board = memory::board_at(self.processor, change.privilege);
        let mut registers = Registers {
            rbx: TOKEN,
            rdx: SmpPage::Board.linear(self.processor),
            rsi: board,
            rdi: SHOT_PAGE,
            ..Registers::ZERO
        };
        let (word, next) = if interrupt {
            (Board::Invalidated, code.after)
        } else {
            (Board::Changed, code.before)
        };
        registers.r9 = board + word.offset();
        registers.r10 = at(next);
        registers.r13 = number;
        registers.r14 = POLLS_OF_L2;
        let (late, told, done) = (at(code.late), at(code.told), at(code.done));
        self.start(
            at(if first_allowed { code.use_first } else { code.wait }),
            change.privilege,
            SHOT_RFLAGS,
        );
        let mut seen = [None; 2];
        loop {
            let (left, mut after) = match self.stay(&registers) {
                Ok(stay) => stay,
                Err(trouble) => return or_trouble(seen, interrupt, trouble),
            };
            let completed = interrupt || after.r8 != 0 || seen[0].is_some();
            if !interrupt && seen[0].is_none() && completed {
                let executed = executed(change.access, SHOT_BEFORE, after.r8, number);
                seen[0] = Some(Ok(Observed {
                    exits: 0,
                    exit: None,
                    deliveries: 0,
                    delivery: None,
                    executed,
                }));
            }
            match left {
                Left::Call(rip) if rip == late => {
                    return or_trouble(seen, interrupt, Trouble::Late);
                }
                Left::Call(rip) if rip != done => {
                    return or_trouble(seen, interrupt, Trouble::Elsewhere(rip));
                }
                _ if Board::Used.at().load(core::sync::atomic::Ordering::Relaxed) == 0 => {
                    return or_trouble(
                        seen,
                        interrupt,
                        Trouble::Elsewhere(vmread(Field::GuestRip)),
                    );
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
        write_segment(vmcs12::CS, Segment::flat(cs, with_dpl(CODE_64, privilege)));
        // A delivery from CPL 3 leaves a null SS.
        write_segment(vmcs12::SS, Segment::flat(ss, with_dpl(DATA, privilege)));
        vmwrite(Field::GuestRip, rip);
        vmwrite(Field::GuestRsp, memory::stack_top(self.processor));
        vmwrite(Field::GuestRflags, rflags);
        write_cr2(CR2_AT_START);
    }

    /// Enters L2 until it exits, and says how.
    fn stay(&mut self, registers: &Registers) -> Result<(Left, Registers), Trouble> {
        let registers = enter::enter(&mut self.vmcs, registers).map_err(Trouble::Entry)?;
        let reason = vmread(Field::ExitReason);
        let info = vmread(Field::ExitInterruptionInfo);
        let rip = vmread(Field::GuestRip);
        if reason == u64::from(EXIT_EXCEPTION) && info & EVENT == INTERRUPTION_INFO_PF & EVENT {
            return Ok((Left::Exit(current_exit()), registers));
        }
        if reason != REASON_VMCALL {
            return Err(Trouble::Exit(LastExit::read()));
        }
        let handlers = SmpPage::Handlers.linear(self.processor);
        if !(handlers..handlers + 4096).contains(&rip) {
            return Ok((Left::Call(rip), registers));
        }
        let vector = (rip - handlers) / memory::HANDLER;
        if vector != PAGE_FAULT.into() {
            return Err(Trouble::Vector(vector));
        }
        let rsp = vmread(Field::GuestRsp);
        let frame = memory::stack_words::<4>(self.processor, rsp).ok_or(Trouble::Elsewhere(rip))?;
        let [error_code, rip, cs, rflags] = frame;
        Ok((
            Left::Delivered(Delivery { error_code, cr2: Cr2::read_raw(), rip, cs, rflags }),
            registers,
        ))
    }
}

/// A stay's end as an outcome; a call is silence.
fn observed(left: &Left, executed: bool) -> Observed {
    let nothing = Observed { exits: 0, exit: None, deliveries: 0, delivery: None, executed };
    match left {
        Left::Exit(exit) => Observed { exits: 1, exit: Some(*exit), ..nothing },
        Left::Delivered(delivery) => {
            Observed { deliveries: 1, delivery: Some(*delivery), ..nothing }
        }
        Left::Call(_) => nothing,
    }
}

/// Whether an access to the page that changes had its effect: `rax` is RAX after it.
fn executed(access: Access, offset: u64, rax: u64, number: u64) -> bool {
    match access {
        // SAFETY: the offset is one of `spec::smp`'s, a multiple of 8 below 4096; the L2 that
        // writes there has just left.
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
