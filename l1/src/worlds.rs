//! L1 with ordinary VMCSs, and L1 with enlightened ones: each has what VMX offers it, L2 that walks,
//! and a stage. L0 may offer enlightened VMCSs only in a VM of their own, to which the VMM moves L1
//! and back.

use core::fmt;

use spec::channel::{Ask, Status};
use spec::manual::enlightened::Use;
use spec::manual::paging::Mode;

use crate::machine::channel;
use crate::machine::cpu::Cpu;
use crate::machine::trace;
use crate::scene::stage::Stage;
use crate::turn::Failed;
use crate::vmx::capabilities::Missing;
use crate::vmx::{Capabilities, Vmx, changes, enlightened};
use crate::walk::walker::Walker;

/// What groups use of L1.
pub struct World {
    /// L2 that walks, and VMX.
    pub walker: Walker,
    /// Made for the first group that plays on it.
    pub stage: Option<Stage>,
}

impl World {
    const fn new(walker: Walker) -> Self {
        Self { walker, stage: None }
    }

    /// Makes all VMCSs inactive: none of them is current, and each keeps its fields.
    fn clear(&mut self) -> Result<(), Failed> {
        if let Some(stage) = &mut self.stage {
            stage.clear()?;
        }
        Ok(self.walker.clear()?)
    }
}

/// Both worlds, of which one is there.
pub struct Worlds {
    ordinary: World,
    enlightened: Option<World>,
    is_enlightened: bool,
    /// The VMM moved L1 to where it is.
    is_moved: bool,
}

/// Why there are no enlightened VMCSs.
#[derive(Clone, Copy, Debug)]
pub enum Unavailable {
    /// L0 does not offer them, nor does the VMM.
    NotOffered,
    /// The VMM cannot make the VM.
    Refused(Status),
    /// What VMX offers with them is too little.
    Missing(Missing),
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered => {
                f.write_str("L0 offers no enlightened VMCS (CPUID.40000004H:EAX[14])")
            }
            Self::Refused(status) => status.fmt(f),
            Self::Missing(missing) => missing.fmt(f),
        }
    }
}

impl Worlds {
    /// L1 as it begins, with ordinary VMCSs.
    pub const fn new(walker: Walker) -> Self {
        let ordinary = World::new(walker);
        Self { ordinary, enlightened: None, is_enlightened: false, is_moved: false }
    }

    /// VMX as ordinary VMCSs have it.
    pub fn vmx(&self) -> &Vmx {
        self.ordinary.walker.vmx()
    }

    /// See [`Vmx::offered`](crate::vmx::Vmx::offered).
    pub fn offered(&self) -> Mode {
        self.ordinary.walker.vmx().offered()
    }

    /// The world that groups with such VMCSs need; the walker's VMCS is current.
    pub fn enter(
        &mut self,
        how: Option<Use>,
        cpu: &Cpu,
    ) -> Result<Result<&mut World, Unavailable>, Failed> {
        let Some(how) = how else {
            self.leave_enlightened()?;
            return Ok(Ok(&mut self.ordinary));
        };
        if !self.is_enlightened
            && let Err(reason) = self.enlighten(cpu)?
        {
            return Ok(Err(reason));
        }
        enlightened::use_as(how);
        let walker = &self.ordinary.walker;
        let world = match &mut self.enlightened {
            Some(world) => {
                world.walker.make_current()?;
                world
            }
            none => match Capabilities::of(cpu) {
                Ok(capabilities) => none.insert(World::new(Walker::new(
                    walker.vmx().enlightened(&capabilities),
                    *walker.guest(),
                )?)),
                Err(missing) => return Ok(Err(Unavailable::Missing(missing))),
            },
        };
        if trace::is_on() {
            changes::begin(world.walker.vmx());
        }
        Ok(Ok(world))
    }

    /// Goes where L0 offers enlightened VMCSs.
    fn enlighten(&mut self, cpu: &Cpu) -> Result<Result<(), Unavailable>, Failed> {
        let mut is_offered = enlightened::is_offered(cpu);
        if !is_offered && channel::present() {
            match channel::ask(Ask::Enlighten.word()) {
                Status::Done => {
                    self.is_moved = true;
                    is_offered = enlightened::is_offered(cpu);
                }
                status if status.is_unknown_here() => {}
                status => return Ok(Err(Unavailable::Refused(status))),
            }
        }
        if !is_offered {
            return Ok(Err(Unavailable::NotOffered));
        }
        self.ordinary.clear()?;
        enlightened::turn_on();
        self.is_enlightened = true;
        Ok(Ok(()))
    }

    /// After a group: no enlightened VMCS stays active, so that an ordinary one can be used.
    pub fn rest(&mut self) -> Result<(), Failed> {
        match &mut self.enlightened {
            Some(world) if self.is_enlightened => world.clear(),
            _ => Ok(()),
        }
    }

    /// Goes back to where L1 began, if it is not there.
    pub fn leave_enlightened(&mut self) -> Result<(), Failed> {
        if core::mem::take(&mut self.is_enlightened) {
            enlightened::turn_off();
            self.ordinary.walker.make_current()?;
        }
        if core::mem::take(&mut self.is_moved) {
            match channel::ask(Ask::Ordinary.word()) {
                Status::Done => {}
                status => return Err(Failed::Ask(status)),
            }
        }
        Ok(())
    }
}
