//! What L1 and L2 must see of one case, and what they saw.

use core::fmt;

use crate::channel::{EVENT_ADDRESS, EVENT_PFEC};
use crate::manual::filter::Filter;
use crate::manual::paging::{Access, Privilege};
use crate::manual::pfec::Pfec;
use crate::walk::layout::Header;
use crate::walk::stimulus::Stimulus;

/// RFLAGS with which L2 walks, apart from AC. Every arithmetic flag and DF are set, so that a lost
/// one shows. IF and TF are clear.
pub const WALK_RFLAGS: u64 = 0xcd7;
/// What CR2 holds before each walk's first access: no page under test is there.
pub const CR2_AT_START: u64 = 0x0c2;
/// RFLAGS.TF.
pub const RFLAGS_TF: u64 = 1 << 8;
/// RFLAGS.IF.
pub const RFLAGS_IF: u64 = 1 << 9;
/// RFLAGS.AC.
pub const RFLAGS_AC: u64 = 1 << 18;
/// RFLAGS.RF.
pub const RFLAGS_RF: u64 = 1 << 16;
/// VM-exit interruption information of a #PF: valid, error code valid, hardware exception, vector
/// 14. SDM "Information for VM Exits Due to Vectored Events".
pub const INTERRUPTION_INFO_PF: u64 = 1 << 31 | 1 << 11 | 3 << 8 | 0xe;
/// Bit 31 of the IDT-vectoring information: valid.
pub const IDT_VECTORING_VALID: u64 = 1 << 31;

/// The fields of a VM exit by #PF, in the order in which L1's exit path stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Exit {
    /// VM-exit interruption information, 32 bits.
    pub info: u64,
    /// VM-exit interruption error code, 32 bits.
    pub error_code: u64,
    /// Exit qualification: the linear address. SDM "Basic VM-Exit Information".
    pub qualification: u64,
    /// Guest RIP: the faulting instruction. SDM "Saving RIP, RSP, RFLAGS, and SSP".
    pub rip: u64,
    /// Guest RFLAGS, RF set: "Saving RIP, RSP, RFLAGS, and SSP" requires what the event's delivery
    /// would have pushed.
    pub rflags: u64,
    /// IDT-vectoring information, bit 31: no event was being delivered. "Information for VM Exits
    /// During Event Delivery".
    pub idt_vectoring: u64,
    /// CR2, which a #PF that exits leaves as it was. "Architectural State Before a VM Exit".
    pub cr2: u64,
}

/// What L2's own handler finds when the #PF is delivered to it.
///
/// SDM vol. 3A, "Exception and Interrupt Reference", interrupt 14, and "Exception and Interrupt
/// Handling in 64-bit Mode". The fields are in the order in which L2's handler stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Delivery {
    /// The error code on the stack.
    pub error_code: u64,
    /// CR2: the linear address.
    pub cr2: u64,
    /// RIP on the stack: the faulting instruction.
    pub rip: u64,
    /// CS on the stack.
    pub cs: u64,
    /// RFLAGS on the stack, RF set: SDM vol. 3B, "Instruction-Breakpoint Exception Condition".
    pub rflags: u64,
}

/// One outcome of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The fault caused a VM exit to L1.
    Exit(Exit),
    /// The fault was delivered to L2.
    Delivered(Delivery),
    /// No fault: the access completed.
    Silent,
}

/// Everything that was seen of one case. It is right only if it is one outcome and the
/// instruction's effect fits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// How many VM exits L1 saw, and the last of them.
    pub exits: u64,
    /// The last VM exit's fields, if there was one.
    pub exit: Option<Exit>,
    /// How many faults L2's handler got.
    pub deliveries: u64,
    /// The last fault's fields, if there was one.
    pub delivery: Option<Delivery>,
    /// Whether the instruction had its effect: read the token, ran the code, wrote the number.
    pub executed: bool,
}

impl Observed {
    /// What must be seen if this is the outcome.
    #[must_use]
    pub const fn exactly(outcome: Outcome) -> Self {
        let nothing = Self { exits: 0, exit: None, deliveries: 0, delivery: None, executed: false };
        match outcome {
            Outcome::Exit(exit) => Self { exits: 1, exit: Some(exit), ..nothing },
            Outcome::Delivered(delivery) => {
                Self { deliveries: 1, delivery: Some(delivery), ..nothing }
            }
            Outcome::Silent => Self { executed: true, ..nothing },
        }
    }
}

/// One stimulus with the fields that a fault of it must show, whichever way it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The fault's error code, or `None` if the access is allowed.
    pub pfec: Option<Pfec>,
    /// The linear address that is accessed.
    pub address: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
}

impl Expectation {
    /// What a stimulus must show, given the addresses of the instructions in L2's image.
    #[must_use]
    pub fn new(stimulus: &Stimulus, pfec: Option<Pfec>, ac: bool, l2: &Header) -> Self {
        let rip = match stimulus.access {
            // The fetch itself faults, so its target is the instruction that did not run.
            Access::Fetch => stimulus.address(),
            Access::Read | Access::Write => l2.access[stimulus.loop_number()],
        };
        let cs = match stimulus.privilege {
            Privilege::Supervisor => l2.supervisor_cs,
            Privilege::User => l2.user_cs,
        };
        let rflags = WALK_RFLAGS | RFLAGS_RF | if ac { RFLAGS_AC } else { 0 };
        Self { pfec, address: stimulus.address(), rip, cs, rflags }
    }

    /// What the page fault that the VMM makes must show, with L2's IF. See
    /// [`crate::channel::EVENT_PFEC`].
    #[must_use]
    pub fn of_event(rip: u64, cs: u64, interrupts_on: bool) -> Self {
        let rflags = WALK_RFLAGS | RFLAGS_RF | if interrupts_on { RFLAGS_IF } else { 0 };
        Self { pfec: Some(EVENT_PFEC), address: EVENT_ADDRESS, rip, cs, rflags }
    }

    /// What an access at any place must show; `rflags` is RFLAGS as saved, RF included.
    #[must_use]
    pub const fn at(pfec: Option<Pfec>, address: u64, rip: u64, cs: u64, rflags: u64) -> Self {
        Self { pfec, address, rip, cs, rflags }
    }

    /// The fields of a VM exit. `cr2` is what CR2 held before the access.
    #[must_use]
    pub fn exit(&self, cr2: u64) -> Exit {
        Exit {
            info: INTERRUPTION_INFO_PF,
            error_code: self.error_code(),
            qualification: self.address,
            rip: self.rip,
            rflags: self.rflags,
            idt_vectoring: 0,
            cr2,
        }
    }

    /// The fields of a delivery.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        Delivery {
            error_code: self.error_code(),
            cr2: self.address,
            rip: self.rip,
            cs: self.cs,
            rflags: self.rflags,
        }
    }

    /// The one outcome that must happen under L1's filter.
    #[must_use]
    pub fn outcome(&self, filter: Filter, cr2: u64) -> Outcome {
        match self.pfec {
            None => Outcome::Silent,
            Some(pfec) if filter.exits(pfec) => Outcome::Exit(self.exit(cr2)),
            Some(_) => Outcome::Delivered(self.delivery()),
        }
    }

    fn error_code(&self) -> u64 {
        self.pfec.unwrap_or_default().bits().into()
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exit,info={:x},ec={:x},qual={:x},rip={:x},rflags={:x},idt={:x},cr2={:x}",
            self.info,
            self.error_code,
            self.qualification,
            self.rip,
            self.rflags,
            self.idt_vectoring,
            self.cr2
        )
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "delivered,ec={:x},cr2={:x},rip={:x},cs={:x},rflags={:x}",
            self.error_code, self.cr2, self.rip, self.cs, self.rflags
        )
    }
}

/// Outcomes joined by `+`, repeated ones with their number, as in `2*`, then what does not fit
/// them.
impl fmt::Display for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut joint = "";
        for (count, shown) in [
            (self.exits, self.exit.as_ref().map(|e| e as &dyn fmt::Display)),
            (self.deliveries, self.delivery.as_ref().map(|d| d as _)),
        ] {
            let Some(shown) = shown else { continue };
            f.write_str(joint)?;
            if count != 1 {
                write!(f, "{count}*")?;
            }
            write!(f, "{shown}")?;
            joint = "+";
        }
        let faulted = self.exit.is_some() || self.delivery.is_some();
        match (faulted, self.executed) {
            (false, true) => f.write_str("silent"),
            (false, false) => f.write_str("silent+without-effect"),
            (true, true) => f.write_str("+executed"),
            (true, false) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Exit, Expectation, Observed, Outcome, RFLAGS_RF};
    use crate::manual::filter::Filter;
    use crate::walk::layout::Header;
    use crate::walk::setting::BASE;
    use crate::walk::stimulus::Stimulus;
    use std::string::ToString;

    fn header() -> Header {
        Header {
            magic: Header::MAGIC,
            init: 0,
            walk: 0,
            user_start: 0,
            user_end: 0,
            end: 0,
            access: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
            resume: [0; 10],
            asked: 0,
            user_cs: 0x23,
            supervisor_cs: 8,
        }
    }

    #[test]
    fn each_stimulus_has_one_outcome_as_the_rule_says() {
        for stimulus in Stimulus::all(BASE, 40) {
            let pfec = stimulus.pfec(BASE, 40);
            let expectation = Expectation::new(&stimulus, pfec, false, &header());
            let always = expectation.outcome(Filter::ALWAYS, 7);
            let never = expectation.outcome(Filter::NEVER, 7);
            match pfec {
                None => assert_eq!((always, never), (Outcome::Silent, Outcome::Silent)),
                Some(pfec) => {
                    let Outcome::Exit(exit) = always else { panic!("{always:?}") };
                    let Outcome::Delivered(delivery) = never else { panic!("{never:?}") };
                    assert_eq!(exit.info, 0x8000_0b0e);
                    assert_eq!(exit.cr2, 7, "an exit does not write CR2");
                    assert_eq!(delivery.cr2, stimulus.address(), "a delivery does");
                    assert_eq!(exit.error_code, u64::from(pfec.bits()));
                    assert_eq!(exit.rip, delivery.rip);
                    assert_eq!(exit.rflags & RFLAGS_RF, RFLAGS_RF);
                }
            }
        }
    }

    #[test]
    fn what_was_seen_is_told_in_full() {
        let exit = Exit {
            info: 1,
            error_code: 2,
            qualification: 3,
            rip: 4,
            rflags: 5,
            idt_vectoring: 6,
            cr2: 7,
        };
        let seen = Observed::exactly(Outcome::Exit(exit));
        assert_eq!(seen.to_string(), "exit,info=1,ec=2,qual=3,rip=4,rflags=5,idt=6,cr2=7");
        assert_eq!(Observed::exactly(Outcome::Silent).to_string(), "silent");
        assert_eq!(
            Observed { exits: 2, executed: true, ..seen }.to_string().split_once('*').map(|p| p.0),
            Some("2")
        );
        assert!(Observed { executed: true, ..seen }.to_string().ends_with("+executed"));
        let nothing = Observed { executed: false, ..Observed::exactly(Outcome::Silent) };
        assert_eq!(nothing.to_string(), "silent+without-effect");
    }
}
