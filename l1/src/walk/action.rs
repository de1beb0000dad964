//! Host actions, see [`spec::walk::action`]: the guest's MAXPHYADDR around them, and the walk that
//! is judged.

use core::fmt;

use spec::channel::{Ask, Status, Step};
use spec::manual::filter::Filter;
use spec::manual::paging::Maxphyaddr;
use spec::walk::action::{Action, AddressWidth, Event, Then};
use spec::walk::outcome::Observed;
use spec::walk::setting::BASE;
use spec::walk::stimulus::Stimulus;

use crate::machine::apic::Apic;
use crate::machine::channel;
use crate::machine::cpu::Cpu;
use crate::machine::expected::{drop_late_nmis, unblock_nmis};
use crate::walk::async_fault::AsyncFaults;
use crate::walk::broken::{Broken, EntryFailed};
use crate::walk::guest;
use crate::walk::interrupt::Interrupts;
use crate::walk::judge::Judge;
use crate::walk::walker::{self, CR2_AT_START, Walker};

/// Walks that L2 makes until the VM must have moved: many times more than there is time for.
const WALKS_FOR_MOVE: u32 = 1 << 20;

/// Why an action cannot be tried here.
#[derive(Clone, Copy, Debug)]
pub enum Unavailable {
    /// The VMM does not know maskmatch's channel.
    Channel,
    /// The VMM does not move the VM to another process.
    Moves,
    /// There is no local APIC in xAPIC mode.
    Apic,
    /// There are no asynchronous page faults.
    AsyncFaults,
    /// VMX does not offer exits by external interrupts.
    InterruptExiting,
    /// The VMM does not make the guest that the action needs.
    Guest(Status),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel => f.write_str("needs maskmatch's built-in VMM"),
            Self::Moves => f.write_str("needs QEMU: `maskmatch lab --vmm qemu`"),
            Self::Apic => f.write_str("there is no local APIC in xAPIC mode"),
            Self::AsyncFaults => f.write_str(
                "L0 has no asynchronous page faults that exit (KVM_FEATURE_ASYNC_PF_VMEXIT)",
            ),
            Self::InterruptExiting => f.write_str(
                "VMX offers no \"external-interrupt exiting\" or \"acknowledge interrupt on exit\"",
            ),
            Self::Guest(status) => status.fmt(f),
        }
    }
}

/// One action with its accesses.
pub struct Acting {
    action: &'static Action,
    only: Option<Stimulus>,
    /// The guest's MAXPHYADDR before the action and after it.
    before: Maxphyaddr,
    after: Maxphyaddr,
    /// Judges with the MAXPHYADDR that it holds.
    judge: Judge,
    judged: Maxphyaddr,
    /// L0 does not do it, as it may.
    refused: bool,
}

impl Acting {
    /// Finds out the guest's MAXPHYADDR on either side of the action, and leaves the guest as it is
    /// before.
    pub fn new(
        action: &'static Action,
        only: Option<Stimulus>,
        walker: &mut Walker,
        cpu: &Cpu,
    ) -> Result<Self, Unavailable> {
        match action.ask {
            Ask::Migrate | Ask::MigrateMeanwhile if channel::moves().is_none() => {
                return Err(Unavailable::Moves);
            }
            Ask::Migrate | Ask::MigrateMeanwhile => {}
            _ if !channel::present() => return Err(Unavailable::Channel),
            _ => {}
        }
        // What the VMM cannot prepare here is not a fault of L0.
        if let Some(ask) = action.prepare {
            done(asked(ask)).map_err(Unavailable::Guest)?;
        }
        if action.has_interrupt() {
            let apic = Apic::of(cpu).ok_or(Unavailable::Apic)?;
            let interrupts = Interrupts::on(apic, action.interrupt_exiting, walker.vmx());
            walker.expect_interrupts(Some(interrupts.ok_or(Unavailable::InterruptExiting)?));
        }
        if action.has_async_faults() {
            walker.expect_async_faults(Some(AsyncFaults::on(cpu).ok_or(Unavailable::AsyncFaults)?));
        }
        if matches!(action.event, Some(Event::Nmi | Event::SmiAndNmi)) {
            drop_late_nmis(true);
        }
        let after = maxphyaddr(action.after)?;
        let before = maxphyaddr(action.before)?;
        let judge = lay(walker, after, only);
        Ok(Self { action, only, before, after, judge, judged: after, refused: false })
    }

    /// The action.
    pub fn action(&self) -> &'static Action {
        self.action
    }

    /// Whether the group's accesses have none that was asked for.
    pub fn is_empty(&self) -> bool {
        self.judge.len() == 0
    }

    /// How many cases a walk has.
    pub fn len(&self) -> usize {
        self.judge.len()
    }

    /// The judge of the walk that was made.
    pub fn judge(&mut self) -> &mut Judge {
        &mut self.judge
    }

    /// The guest's MAXPHYADDR after the walk that was made.
    pub fn maxphyaddr(&self) -> Maxphyaddr {
        self.judged
    }

    /// Gets the guest into the state before the action.
    pub fn before(&mut self, walker: &mut Walker) -> Result<(), Status> {
        if self.action.needs_width_before() && !self.refused {
            done(asked(self.action.before.moving()))?;
        }
        if let Some(ask) = self.action.prepare {
            done(asked(ask))?;
        }
        self.judge_with(if self.refused { self.before } else { self.after }, walker);
        Ok(())
    }

    /// Lets L2 ask for the action and makes the walk up to the one that is to be judged. Returns
    /// why there is none, if so, and L0's refusal when it comes for the first time.
    pub fn act(&mut self, filter: Filter, walker: &mut Walker) -> Result<Made, EntryFailed> {
        let mut refusal = None;
        if self.action.ask == Ask::MigrateMeanwhile {
            return Ok(Made { broken: move_meanwhile(filter, walker)?, refusal, walked: true });
        }
        if !self.refused {
            let broken = walker.walk_asking(filter, Some(self.action.ask))?;
            match broken {
                Some(Broken::Refused(status))
                    if self.action.may_be_refused() && status.is_cpuid_refused() =>
                {
                    self.refused = true;
                    self.judge_with(self.before, walker);
                    refusal = Some(status);
                }
                // An INIT signal must end the walk, and then nothing is left of it.
                Some(end) if self.has_init() && end.is_init() => {
                    return Ok(Made { broken: None, refusal, walked: false });
                }
                None if self.has_init() => {
                    return Ok(Made { broken: Some(Broken::NoInit), refusal, walked: false });
                }
                broken => {
                    return Ok(Made {
                        broken,
                        refusal,
                        walked: self.action.then == Then::SameWalk,
                    });
                }
            }
        }
        // L2 asks all the same: a refusal of L0 must not change anything.
        let broken = walker.walk_asking(filter, Some(self.action.ask))?;
        let broken = broken.filter(
            |broken| !matches!(broken, Broken::Refused(status) if status.is_cpuid_refused()),
        );
        Ok(Made { broken, refusal, walked: false })
    }

    /// What L1 writes between the walk that asked and the one that is judged.
    pub fn between(&self, walker: &Walker) {
        walker.rewrite(self.action.then);
    }

    /// Whether the event is an INIT signal.
    pub fn has_init(&self) -> bool {
        self.action.event == Some(Event::Init)
    }

    /// What must be, and what was, of the event that came with the action.
    pub fn event(&self, filter: Filter, walker: &Walker) -> Option<(Observed, Observed)> {
        let event = self.action.event.filter(|event| *event != Event::Init)?;
        let (l2, interrupts_on) = (&walker.guest().header, self.action.interrupts_on());
        let outcome =
            event.outcome(filter, l2.asked, l2.supervisor_cs, CR2_AT_START, interrupts_on);
        Some((Observed::exactly(outcome), walker::observed_event(walker, event)))
    }

    /// Takes back what must not last beyond a walk.
    pub fn undo(&self) -> Result<(), Status> {
        self.action.undo.map_or(Ok(()), |ask| self.undone(asked(ask)))
    }

    /// If L2 made no write, it is right that none was seen.
    fn undone(&self, status: Status) -> Result<(), Status> {
        match status {
            Status::Refused { step: Step::SeeWrite, .. } if !self.judge.writes() => Ok(()),
            status => done(status),
        }
    }

    /// Gets the guest back into the state that it started with.
    pub fn end(&self, walker: &mut Walker, cpu: &Cpu) -> Result<(), Status> {
        walker.expect_interrupts(None);
        walker.expect_async_faults(None);
        if self.action.event == Some(Event::AsyncFaultsAndSmi) {
            // An SMI that came to L1 blocked NMIs there. What RSM leaves of that is not judged.
            unblock_nmis();
        }
        if self.action.changes_width() {
            done(asked(Ask::Move))?;
        }
        guest::relay_pages(cpu.maxphyaddr);
        Ok(())
    }

    fn judge_with(&mut self, maxphyaddr: Maxphyaddr, walker: &mut Walker) {
        if self.judged != maxphyaddr {
            self.judge = lay(walker, maxphyaddr, self.only);
            self.judged = maxphyaddr;
        }
    }
}

/// Lets L2 walk until the VM has moved: the last walk is the one in which it did. Returns why that
/// walk is not complete, if so.
fn move_meanwhile(filter: Filter, walker: &mut Walker) -> Result<Option<Broken>, EntryFailed> {
    let before = channel::moves();
    if let Some(number) = before {
        channel::begin_move(number);
    }
    for _ in 0..WALKS_FOR_MOVE {
        let broken = walker.walk(filter)?;
        if broken.is_some() || channel::moves() != before {
            return Ok(broken);
        }
    }
    Ok(Some(Broken::NotMoved))
}

/// How far [`Acting::act`] came.
pub struct Made {
    /// Why nothing can be judged.
    pub broken: Option<Broken>,
    /// L0's refusal, the first time.
    pub refusal: Option<Status>,
    /// Whether the walk that asked is the one to be judged.
    pub walked: bool,
}

/// The guest's MAXPHYADDR if it has this width.
fn maxphyaddr(width: AddressWidth) -> Result<Maxphyaddr, Unavailable> {
    if width != AddressWidth::AtStart {
        done(asked(width.moving())).map_err(Unavailable::Guest)?;
    }
    Ok(Cpu::identify().maxphyaddr)
}

/// Lays pages and slots for a MAXPHYADDR.
fn lay(walker: &mut Walker, maxphyaddr: Maxphyaddr, only: Option<Stimulus>) -> Judge {
    let offered = walker.vmx().offered();
    let stimuli = Action::stimuli(maxphyaddr).filter(|stimulus| {
        only.is_none_or(|only| only == *stimulus) && stimulus.is_same_on(offered, BASE, maxphyaddr)
    });
    guest::relay_pages(maxphyaddr);
    let judge = Judge::new(BASE, stimuli, &walker.guest().header, maxphyaddr);
    walker.prepare(BASE.mode, judge.stimuli().map(|s| (s.loop_number(), s.address())));
    judge
}

/// Asks the VMM for something, and says what became of it.
fn asked(ask: Ask) -> Status {
    channel::ask(guest::word_of(ask))
}

fn done(status: Status) -> Result<(), Status> {
    if status == Status::Done { Ok(()) } else { Err(status) }
}
