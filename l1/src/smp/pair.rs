//! The first processor: gives the second one its jobs, does its own part, and judges.

use core::fmt;

use spec::manual::filter::Filter;
use spec::manual::paging::{Maxphyaddr, Mode};
use spec::smp::case::{Smp, SmpCase, SmpProbe};
use spec::smp::shootdown::{Change, Moment, Shot, changes};
use spec::smp::together::{MAX_STIMULI, Partner, Processor, Together, stimuli, together};
use spec::walk::outcome::{CR2_AT_START, Observed, Outcome};

use super::VMCS_REGIONS;
use super::code;
use super::lockstep::play_all;
use super::mailbox::{self, Job, SecondState};
use super::memory::{self, Board};
use super::start::{self, NoSecond};
use super::vcpu::{Seen, SmpVcpu, Trouble};
use crate::machine::apic::Apic;
use crate::machine::cpu::Cpu;
use crate::vmx::{VmFail, Vmx};

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

impl Gone {
    /// The word by which such cases are counted.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Silent => "second-processor-silent",
            Self::Late => "waited-in-vain",
        }
    }
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
    Failed(VmFail),
}

/// One case: what may be seen (twice the same where only one outcome may be), and what was.
pub struct Judged {
    /// The case.
    pub case: SmpCase,
    /// What may be seen.
    pub wants: [Observed; 2],
    /// What was.
    pub got: Seen,
}

/// Two processors that work together.
pub struct Pair {
    vcpu: SmpVcpu,
    apic: Apic,
    maxphyaddr: Maxphyaddr,
    /// [`Vmx::offered`].
    offered: Mode,
    number: u64,
}

impl Pair {
    /// Starts the second processor, and makes the first one's VMCS for this current.
    pub fn start(smp: Smp, vmx: &Vmx, cpu: &Cpu) -> Result<Self, Unavailable> {
        let apic = Apic::of(cpu).ok_or(Unavailable::NoSecond(NoSecond::Apic))?;
        memory::build(cpu.maxphyaddr);
        mailbox::prepare(smp == Smp::Shootdown);
        start::start(apic).map_err(Unavailable::NoSecond)?;
        let vmcs = vmx.load(&VMCS_REGIONS[0]).map_err(Unavailable::Failed)?;
        let vcpu = SmpVcpu::new(vmx, vmcs, 0, memory::root(0));
        Ok(Self { vcpu, apic, maxphyaddr: cpu.maxphyaddr, offered: vmx.offered(), number: 0 })
    }

    /// Halts the second processor; whether it does.
    pub fn end(self) -> Result<(), Gone> {
        self.vcpu.end();
        mailbox::post(Job::Halt);
        let halted = mailbox::wait(POLLS, || {
            matches!(mailbox::second_state(), SecondState::Halted | SecondState::Dead)
        });
        if halted { Ok(()) } else { Err(Gone::Silent) }
    }

    /// All cases of a filter, or one of them.
    pub fn run(
        &mut self,
        smp: Smp,
        filter: Filter,
        only: Option<SmpCase>,
        mut judged: impl FnMut(Judged),
    ) -> Result<(), Gone> {
        let only = only.map(|case| case.probe);
        let (offered, maxphyaddr) = (self.offered, self.maxphyaddr);
        let mut judged = |one: Judged| {
            let probe = one.case.probe;
            if only.is_none_or(|only| only == probe) && probe.is_same_on(offered, maxphyaddr) {
                judged(one);
            }
        };
        match smp {
            Smp::Filters => {
                for partner in Partner::ALL {
                    if only.is_none_or(
                        |only| matches!(only, SmpProbe::Together(one) if one.partner == partner),
                    ) {
                        self.walk(partner, filter, &mut judged)?;
                    }
                }
            }
            Smp::Shootdown => {
                for change in changes(self.maxphyaddr) {
                    for interrupt in [false, true] {
                        let is_wanted = |shot: Shot| {
                            shot.change == change && (shot.moment == Moment::Interrupt) == interrupt
                        };
                        if only.is_none_or(
                            |only| matches!(only, SmpProbe::Shot(shot) if is_wanted(shot)),
                        ) {
                            self.shoot(change, interrupt, filter, &mut judged)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Both L2s make all accesses, each under its filter, in step; the second begins in the middle.
    fn walk(
        &mut self,
        partner: Partner,
        filter: Filter,
        mut judged: impl FnMut(Judged),
    ) -> Result<(), Gone> {
        self.number += 2;
        let number = self.number;
        mailbox::post(Job::Walk { filter: partner.filter(filter), number: number + 1 });
        let mut first = [None; MAX_STIMULI];
        play_all(&mut self.vcpu, 0, self.maxphyaddr, filter, number, &mut first);
        let second = mailbox::results().ok_or(Gone::Silent)?;
        for (processor, seen) in Processor::ALL.into_iter().zip([&first, &second.walk]) {
            let header = memory::header(processor as usize);
            for (at, stimulus) in stimuli(self.maxphyaddr).enumerate() {
                let access = Together { partner, processor, stimulus };
                let outcome = together(
                    &stimulus,
                    access.filter(filter),
                    &header,
                    CR2_AT_START,
                    self.maxphyaddr,
                );
                judged(Judged {
                    case: SmpCase { probe: SmpProbe::Together(access), filter },
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
        self.vcpu.set_filter(Partner::Inverse.filter(filter));
        let used = || Board::Used.at().load(core::sync::atomic::Ordering::Acquire) != 0;
        let waited = mailbox::wait(POLLS, || used() || mailbox::is_over());
        let changed = if waited && used() { self.vcpu.change(change) } else { Err(Trouble::Late) };
        if interrupt && changed.is_ok() {
            start::interrupt_other(self.apic);
        }
        let results = mailbox::results().ok_or(Gone::Silent)?;
        let code = code::around_change()[change.access as usize];
        let moments = if interrupt {
            [None, Some(Moment::Interrupt)]
        } else {
            [Some(Moment::Before), Some(Moment::After)]
        };
        for ((moment, rip), seen) in
            moments.into_iter().zip([code.before_access, code.after_access]).zip(results.shot)
        {
            let Some(moment) = moment else { continue };
            let shot = Shot { change, moment };
            let rip = memory::code_at(1, change.privilege, rip);
            let (cs, _) = memory::selectors(change.privilege);
            let outcomes: [Outcome; 2] =
                shot.outcomes(filter, rip, cs, CR2_AT_START, self.maxphyaddr);
            let got = match changed {
                Ok(()) => seen.unwrap_or(Err(Trouble::Late)),
                Err(trouble) => Err(trouble),
            };
            let case = SmpCase { probe: SmpProbe::Shot(shot), filter };
            judged(Judged { case, wants: outcomes.map(Observed::exactly), got });
            // Each wait in vain takes long: one is enough.
            if matches!(got, Err(Trouble::Late)) {
                return Err(Gone::Late);
            }
        }
        Ok(())
    }
}
