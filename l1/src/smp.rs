//! Two processors at once, see [`spec::smp`]: the first runs the groups and judges, the second does the jobs that it gets
//! by the [`mailbox`].
//!
//! The second processor touches its own [`seat`], its own descriptor tables and VMX regions, the mailbox and what the
//! L2s share, and nothing else of L1. It is started for a group and halted behind it.

mod code;
mod enter;
mod mailbox;
mod memory;
mod seat;
mod start;

use core::fmt;

use spec::manual::filter::Filter;
use spec::manual::paging::{Access, Maxphyaddr};
use spec::smp::{Change, MAX_STIMULI, Moment, Partner, Processor, Shot, Smp, SmpProbe, State, Together, stimuli};
use spec::walk::outcome::{Observed, Outcome};
use x86_64::instructions::hlt;

pub use seat::Seen;
pub use start::NoSecond;

use crate::machine::apic::Apic;
use crate::machine::cpu::Cpu;
use crate::machine::exception;
use crate::vmx::Vmx;
use crate::walk::walker::{CR2_AT_START, EntryFailed};
use mailbox::{Job, Results, Stage};
use memory::Board;
use seat::{Seat, Trouble};

/// How often the first processor looks whether the second's L2 has used the page.
const POLLS: u32 = 40_000_000;

/// The two do not go on together.
#[derive(Clone, Copy, Debug)]
pub enum Gone {
    /// It does not answer, or is dead.
    Silent,
    /// One of the L2s waited in vain for the other.
    Late,
}
impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match mailbox::last_words() {
            _ if matches!(self, Self::Late) => f.write_str("one-L2-waited-in-vain-for-the-other"),
            "" => f.write_str("the-second-processor-does-not-answer"),
            why => write!(f, "the-second-processor-died,{}", OneWord(why)),
        }
    }
}

/// A sentence as one word of the log.
struct OneWord<'a>(&'a str);

impl fmt::Display for OneWord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.chars().try_for_each(|c| f.write_char(if c == ' ' { '-' } else { c }))
    }
}

/// Why a group cannot be run.
pub enum Unavailable {
    /// There is no second processor.
    NoSecond(NoSecond),
    /// The first processor's VMCS cannot be used.
    Failed(EntryFailed),
}

/// One case: what may be seen (twice the same where one outcome alone may be), and what was.
pub struct Judged {
    /// The case.
    pub probe: SmpProbe,
    /// What may be seen.
    pub wants: [Observed; 2],
    /// What was.
    pub got: Seen,
}

/// Two processors that work together.
pub struct Pair {
    seat: Seat,
    apic: Apic,
    maxphyaddr: Maxphyaddr,
    number: u64,
}

impl Pair {
    /// Starts the second processor, and makes the first one's VMCS for this current.
    pub fn start(smp: Smp, vmx: &Vmx, cpu: &Cpu) -> Result<Self, Unavailable> {
        let apic = Apic::of(cpu).ok_or(Unavailable::NoSecond(NoSecond::Apic))?;
        memory::build(cpu.maxphyaddr);
        mailbox::set_shared(smp == Smp::Shootdown);
        start::start(apic).map_err(Unavailable::NoSecond)?;
        let vmcs = vmx.smp_vmcs(0).map_err(|fail| Unavailable::Failed(EntryFailed::Entry(fail)))?;
        let seat = Seat::new(vmx, vmcs, 0, memory::root(0));
        Ok(Self { seat, apic, maxphyaddr: cpu.maxphyaddr, number: 0 })
    }

    /// Halts the second processor; whether it does.
    pub fn end(self) -> Result<(), Gone> {
        self.seat.end();
        mailbox::post(Job::Halt);
        let halted = mailbox::wait(POLLS, || matches!(mailbox::stage(), Stage::Halted | Stage::Dead));
        if halted { Ok(()) } else { Err(Gone::Silent) }
    }

    /// All cases of a filter, or one of them.
    pub fn run(
        &mut self,
        smp: Smp,
        filter: Filter,
        only: Option<SmpProbe>,
        mut judged: impl FnMut(Judged),
    ) -> Result<(), Gone> {
        match smp {
            Smp::Filters => {
                for partner in Partner::ALL {
                    if only.is_none_or(|only| matches!(only, SmpProbe::Together(case) if case.partner == partner)) {
                        self.walk(partner, filter, |case| {
                            if only.is_none_or(|only| only == case.probe) {
                                judged(case);
                            }
                        })?;
                    }
                }
            }
            Smp::Shootdown => {
                for change in spec::smp::changes(self.maxphyaddr) {
                    for interrupt in [false, true] {
                        let is_wanted =
                            |shot: Shot| shot.change == change && (shot.moment == Moment::Interrupt) == interrupt;
                        if only.is_none_or(|only| matches!(only, SmpProbe::Shot(shot) if is_wanted(shot))) {
                            self.shoot(change, interrupt, filter, |case| {
                                if only.is_none_or(|only| only == case.probe) {
                                    judged(case);
                                }
                            })?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Both L2s make all accesses, each under its filter, in step; the second begins in the middle.
    fn walk(&mut self, partner: Partner, filter: Filter, mut judged: impl FnMut(Judged)) -> Result<(), Gone> {
        self.number += 2;
        let number = self.number;
        mailbox::post(Job::Walk { filter: partner.filter(filter), number: number + 1 });
        let mut first = [None; MAX_STIMULI];
        play_all(&mut self.seat, 0, self.maxphyaddr, filter, number, &mut first);
        let second = mailbox::results().ok_or(Gone::Silent)?;
        for (processor, seen) in Processor::ALL.into_iter().zip([&first, &second.walk]) {
            let header = memory::header(processor as usize);
            for (at, stimulus) in stimuli(self.maxphyaddr).enumerate() {
                let probe = SmpProbe::Together(Together { partner, processor, stimulus });
                let outcome =
                    spec::smp::together(&stimulus, probe.filter(filter), &header, CR2_AT_START, self.maxphyaddr);
                judged(Judged {
                    probe,
                    wants: [Observed::exactly(outcome); 2],
                    got: seen[at].unwrap_or(Err(Trouble::Late)),
                });
            }
        }
        Ok(())
    }

    /// The first processor's L2 changes an entry of a page that the second one's L2 uses.
    fn shoot(
        &mut self,
        change: &'static Change,
        interrupt: bool,
        filter: Filter,
        mut judged: impl FnMut(Judged),
    ) -> Result<(), Gone> {
        self.number += 1;
        memory::lay_out(change);
        mailbox::post(Job::Shoot { filter, change, interrupt, number: self.number });
        self.seat.set_filter(Partner::Inverse.filter(filter));
        let used = || Board::Used.at().load(core::sync::atomic::Ordering::Acquire) != 0;
        let waited = mailbox::wait(POLLS, || used() || mailbox::is_over());
        let changed = if waited && used() { self.seat.change(change) } else { Err(Trouble::Late) };
        if interrupt && changed.is_ok() {
            start::interrupt_other(self.apic);
        }
        let results = mailbox::results().ok_or(Gone::Silent)?;
        let code = code::around()[change.access as usize];
        let moments =
            if interrupt { [None, Some(Moment::Interrupt)] } else { [Some(Moment::Before), Some(Moment::After)] };
        for ((moment, rip), seen) in moments.into_iter().zip([code.before_access, code.after_access]).zip(results.shot)
        {
            let Some(moment) = moment else { continue };
            let shot = Shot { change, moment };
            let rip = memory::code_at(1, change.privilege, rip);
            let (cs, _) = memory::selectors(change.privilege);
            let outcomes: [Outcome; 2] = shot.outcomes(filter, rip, cs, CR2_AT_START, self.maxphyaddr);
            let got = match changed {
                Ok(()) => seen.unwrap_or(Err(Trouble::Late)),
                Err(trouble) => Err(trouble),
            };
            judged(Judged { probe: SmpProbe::Shot(shot), wants: outcomes.map(Observed::exactly), got });
            // Each wait in vain takes long: one is enough.
            if matches!(got, Err(Trouble::Late)) {
                return Err(Gone::Late);
            }
        }
        Ok(())
    }
}

/// Makes all accesses, each when the other processor is as far.
fn play_all(
    seat: &mut Seat,
    processor: usize,
    maxphyaddr: Maxphyaddr,
    filter: Filter,
    number: u64,
    seen: &mut [Option<Seen>; MAX_STIMULI],
) {
    seen.fill(None);
    seat.set_filter(filter);
    let count = stimuli(maxphyaddr).count();
    let from = processor * count / 2;
    let order = stimuli(maxphyaddr).enumerate().skip(from).chain(stimuli(maxphyaddr).enumerate().take(from));
    for (at, stimulus) in order {
        if !mailbox::meet(processor) {
            return;
        }
        seen[at] = Some(seat.play(&stimulus, number));
    }
}

/// The second processor's story, from 64-bit mode on.
pub extern "sysv64" fn second_main() -> ! {
    exception::catch_all(1);
    let cpu = Cpu::identify();
    let Some(apic) = Apic::of(&cpu) else { died(&NoSecond::Apic) };
    let capabilities = match cpu.vmx_capabilities() {
        Ok(capabilities) => capabilities,
        Err(missing) => died(&missing),
    };
    cpu.enable_features();
    let vmx = match Vmx::enter_on(1, &capabilities) {
        Ok(vmx) => vmx,
        Err(failed) => died(&failed),
    };
    apic.enable();
    let root = memory::root(usize::from(!mailbox::is_shared()));
    let vmcs = match vmx.smp_vmcs(1) {
        Ok(vmcs) => vmcs,
        Err(fail) => died(&EntryFailed::Entry(fail)),
    };
    let mut seat = Seat::new(&vmx, vmcs, 1, root);
    mailbox::set_stage(Stage::Ready);
    loop {
        match mailbox::take() {
            Job::Walk { filter, number } => {
                let maxphyaddr = cpu.maxphyaddr;
                mailbox::done(|results| play_all(&mut seat, 1, maxphyaddr, filter, number, &mut results.walk));
            }
            Job::Shoot { filter, change, interrupt, number } => {
                seat.set_filter(filter);
                let first_allowed = change.pfec(State::Old, cpu.maxphyaddr).is_none();
                let shot = seat.shoot(change, interrupt, first_allowed, number);
                if interrupt {
                    apic.end_of_interrupt();
                }
                mailbox::done(|results: &mut Results| results.shot = shot);
            }
            Job::Halt => break,
        }
    }
    seat.end();
    vmx.leave();
    mailbox::set_stage(Stage::Halted);
    halt()
}

/// The second processor cannot go on.
pub fn died(why: &dyn fmt::Display) -> ! {
    mailbox::die(why);
    halt()
}

/// Waits for INIT.
fn halt() -> ! {
    x86_64::instructions::interrupts::disable();
    loop {
        hlt();
    }
}

const _: () = assert!(Access::Read as usize == 0 && Access::Write as usize == 1 && Access::Fetch as usize == 2);
