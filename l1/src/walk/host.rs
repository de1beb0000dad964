//! Accesses that L0 must intercept, see [`spec::walk::host`]: the pages for them, and what
//! L2 saw.
#![allow(unsafe_code, reason = "reads and writes memory and devices that L2 accesses too")]

use core::fmt;

use spec::catalogue::machine::Region;
use spec::channel::{Ask, DEVICE_PAGE, Status, Step, logged};
use spec::manual::paging::{Access, Privilege};
use spec::walk::host::{HostAccess, Need, Round};
use spec::walk::layout::TOKEN;
use spec::walk::outcome::Observed;
use spec::walk::setting::SETTINGS;

use crate::machine::channel;
use crate::machine::cpu::Cpu;
use crate::machine::loader::Boot;
use crate::machine::log::log;
use crate::walk::guest;
use crate::walk::tables::map_host_page;
use crate::walk::walker::{self, Walked, Walker};

const PAGE: u64 = 4096;
/// Where fresh memory is run: its last instructions, after which comes code to come back. `add
/// [rax], al` has two bytes.
const RUN_FIRST: u64 = PAGE - 2;
const RUN_AGAIN: u64 = PAGE - 4;
/// Registers of the local APIC: version, task priority. SDM vol. 3A, "The Local APIC Block
/// Diagram".
const APIC_VERSION: u64 = 0x30;
const APIC_TPR: u64 = 0x80;
/// The device remembers what is written from here on; below are the values that it begins with.
const DEVICE_WRITE: u64 = 0x40;
/// More accesses than any need has.
const MAX_ACCESSES: usize = 16;

/// Usable memory after the image that nobody has accessed yet.
pub struct FreshMemory {
    next: u64,
    end: u64,
}

unsafe extern "C" {
    static l1_end: u8;
}

impl FreshMemory {
    /// All from the image to the end of the memory that the loader reports, or to what keeps the
    /// log.
    pub fn after_image(boot: &Boot, log: Option<Region>) -> Self {
        let end = log.map_or(u64::MAX, |log| log.start.into()).min(boot.free_end());
        Self { next: (&raw const l1_end) as u64, end }
    }

    fn pages(&self) -> u64 {
        self.end.saturating_sub(self.next) / PAGE
    }

    fn take(&mut self) -> u64 {
        let page = self.next;
        self.next += PAGE;
        page
    }
}

/// Why a need cannot be tried here.
#[derive(Clone, Copy, Debug)]
pub enum Unavailable {
    /// This many KiB of fresh memory are needed.
    Memory(u64),
    /// There is no local APIC in xAPIC mode.
    Apic,
    /// The VMM does not know maskmatch's channel.
    Channel,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(kib) => {
                write!(f, "the guest needs {kib} KiB more memory that was never accessed")
            }
            Self::Apic => f.write_str("there is no local APIC in xAPIC mode"),
            Self::Channel => f.write_str("needs maskmatch's built-in VMM"),
        }
    }
}

/// One access that is laid out for the next walk.
#[derive(Clone, Copy)]
struct Laid {
    access: HostAccess,
    /// Physical address.
    target: u64,
}

/// The pages of a need.
pub struct Pages {
    need: Need,
    /// The device's page, or the tracked one.
    page: u64,
    /// Fresh memory can be run.
    zeroed: bool,
    laid: [Option<Laid>; MAX_ACCESSES],
    /// L0's log of writes lacks one of the last walk, and whether that was said.
    unlogged: bool,
    noted: bool,
}

impl Pages {
    /// The pages of a need for this many walks, or why it cannot be tried.
    pub fn new(
        need: Need,
        walks: usize,
        memory: &FreshMemory,
        cpu: &Cpu,
    ) -> Result<Self, Unavailable> {
        // A page for each privilege and kind of access.
        let wanted = match need {
            Need::Touch => 6 * walks as u64,
            Need::Dirty => 1,
            Need::Apic | Need::Device => 0,
        };
        if memory.pages() < wanted {
            return Err(Unavailable::Memory((wanted - memory.pages()) * PAGE / 1024));
        }
        if matches!(need, Need::Dirty | Need::Device) && !channel::present() {
            return Err(Unavailable::Channel);
        }
        let page = match need {
            Need::Touch => 0,
            // The last page, after those that are taken from the front.
            Need::Dirty => memory.end - PAGE,
            Need::Apic => cpu.local_apic().ok_or(Unavailable::Apic)?,
            Need::Device => DEVICE_PAGE,
        };
        Ok(Self {
            need,
            page,
            zeroed: cpu.has_hypervisor() || channel::present(),
            laid: [None; MAX_ACCESSES],
            unlogged: false,
            noted: false,
        })
    }

    /// Lays out the accesses of the next walk, or one of them with those to its page before it;
    /// returns how many there are.
    pub fn map(
        &mut self,
        walker: &mut Walker,
        memory: &mut FreshMemory,
        only: Option<HostAccess>,
    ) -> usize {
        let setting = SETTINGS
            .iter()
            .find(|setting| !setting.mode.smap && !setting.mode.smep && !setting.mode.wp);
        let mode = setting.map_or(spec::walk::setting::BASE.mode, |setting| setting.mode);
        let mut len = 0;
        let mut page = self.page;
        let frame = guest::frame_at(0) as u64;
        let mut addresses = [(0, 0); MAX_ACCESSES];
        for access in self.need.accesses() {
            if access.access == Access::Fetch && !self.zeroed {
                continue;
            }
            if only.is_some_and(|only| {
                (only.privilege, only.access) != (access.privilege, access.access)
            }) {
                continue;
            }
            if self.need == Need::Touch && access.round == Round::First {
                page = memory.take();
            }
            let offset = self.offset(access);
            let linear = map_host_page(len, page, frame);
            addresses[len] = (access.loop_number(), linear + offset);
            self.laid[len] = Some(Laid { access, target: page + offset });
            len += 1;
        }
        self.laid[len..].fill(None);
        walker.prepare(mode, addresses[..len].iter().copied());
        if self.need == Need::Dirty {
            // If KVM refuses, nothing is tracked, which no guest can tell from tracking that does
            // not show.
            channel::ask(Ask::RearmDirtyLog.word());
        }
        len
    }

    /// Where in its page an access goes.
    fn offset(&self, HostAccess { privilege, access, round, .. }: HostAccess) -> u64 {
        let again = u64::from(round == Round::Again);
        let user = u64::from(privilege == Privilege::User);
        match (self.need, access) {
            (_, Access::Fetch) if round == Round::First => RUN_FIRST,
            (_, Access::Fetch) => RUN_AGAIN,
            (Need::Touch, _) | (Need::Device, Access::Read) => 8 * again,
            (Need::Dirty, Access::Read) => 0x100 + 8 * again,
            (Need::Dirty, Access::Write) => 16 * user + 8 * again,
            (Need::Apic, Access::Read) => APIC_VERSION,
            (Need::Apic, Access::Write) => APIC_TPR,
            (Need::Device, Access::Write) => DEVICE_WRITE + 16 * user + 8 * again,
        }
    }

    /// Asks whether the writes of the walk are in L0's log. Where nobody can say, they count as being
    /// there.
    pub fn look_into_log(&mut self) {
        let mut laid = self.laid.iter().flatten();
        let writes = laid.any(|laid| laid.access.access == Access::Write);
        self.unlogged = self.need == Need::Dirty
            && writes
            && matches!(
                channel::ask(logged(self.page).into()),
                Status::Refused { step: Step::SeeLogged, .. }
            );
        if self.unlogged && !core::mem::replace(&mut self.noted, true) {
            log().note(&"L0's log of writes lacks a page that L2 wrote: the write is lost to L0");
        }
    }

    /// What was seen of each access of the walk. Where L0 tracks writes, one that its log lacks is
    /// without its effect.
    pub fn observed<'a>(
        &'a self,
        walked: &'a Walked<'_>,
    ) -> impl Iterator<Item = (HostAccess, Observed)> + 'a {
        self.laid.iter().flatten().enumerate().map(|(at, laid)| {
            // SAFETY: `laid` has at most `MAX_ACCESSES` entries, fewer than there are slots; L2
            // does not run.
            let slot = unsafe { walker::slots().add(at).read_volatile() };
            let address = walker::slot_address(at, laid.access.privilege);
            let mut exits = walked.exits.iter().filter(|record| record.slot == address);
            let exit = exits.next_back().map(|record| record.exit);
            let observed = Observed {
                exits: exits.count() as u64 + u64::from(exit.is_some()),
                exit,
                deliveries: slot.faults,
                delivery: (slot.faults != 0).then_some(slot.delivery),
                executed: self.has_effect(*laid, slot.result, walked.number)
                    && !(self.unlogged && laid.access.access == Access::Write),
            };
            (laid.access, observed)
        })
    }

    /// Whether an access did what it must: read what is there, wrote the walk's number, ran the
    /// code.
    fn has_effect(&self, Laid { access, target }: Laid, result: u64, walk: u64) -> bool {
        // SAFETY: `Pages::new` took the page from free memory or from the local APIC, or it is
        // `DEVICE_PAGE`: all are below 4 GiB, so mapped, and in no static of L1. The offset is a
        // multiple of the width.
        let there = unsafe {
            if access.is_narrow() {
                (target as *const u32).read_volatile().into()
            } else {
                (target as *const u64).read_volatile()
            }
        };
        match (self.need, access.access) {
            (_, Access::Fetch) => result == TOKEN,
            (_, Access::Read) => result == there,
            // The task priority has 8 bits.
            (Need::Apic, Access::Write) => there & 0xff == walk & 0xff,
            (_, Access::Write) if access.is_narrow() => there == walk & u64::from(u32::MAX),
            (_, Access::Write) => there == walk,
        }
    }
}

#[cfg(test)]
mod tests;
