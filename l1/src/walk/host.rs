//! Accesses that L0 must see for itself, see [`spec::walk::host`]: the pages behind them, and what L2 saw.
#![allow(unsafe_code, reason = "reads and writes memory and devices that L2 accesses too")]

use core::fmt;

use spec::channel::{Ask, DEVICE_PAGE};
use spec::manual::paging::{Access, Privilege};
use spec::walk::host::{HostAccess, Round, Wish};
use spec::walk::layout::TOKEN;
use spec::walk::outcome::Observed;
use spec::walk::setting::SETTINGS;

use crate::machine::channel;
use crate::machine::cpu::Cpu;
use crate::machine::loader::Boot;
use crate::machine::paging::map_host_page;
use crate::walk::guest;
use crate::walk::walker::{self, Walked, Walker};

const PAGE: u64 = 4096;
/// Where fresh memory is run: its last instructions, behind which comes code to come back. `add [rax], al`
/// has two bytes.
const RUN_FIRST: u64 = PAGE - 2;
const RUN_AGAIN: u64 = PAGE - 4;
/// Registers of the local APIC: version, task priority. SDM vol. 3A, table 10-1, "Local APIC Register Address Map".
const APIC_VERSION: u64 = 0x30;
const APIC_TPR: u64 = 0x80;
/// The device remembers what is written from here on; below are the values that it begins with.
const DEVICE_WRITE: u64 = 0x40;
/// More accesses than any wish has.
const MAX_ACCESSES: usize = 16;

/// Usable memory behind the image that nobody has accessed yet.
pub struct FreshMemory {
    next: u64,
    end: u64,
}

unsafe extern "C" {
    static l1_end: u8;
}

impl FreshMemory {
    /// All from the image to the end of the memory that the loader reports.
    pub fn behind_image(boot: &Boot) -> Self {
        Self { next: (&raw const l1_end) as u64, end: boot.free_end() }
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

/// Why a wish cannot be tried here.
#[derive(Clone, Copy, Debug)]
pub enum Unavailable {
    /// So many KiB of fresh memory are wanted.
    Memory(u64),
    /// There is no local APIC in xAPIC mode.
    Apic,
    /// The VMM does not know maskmatch's channel.
    Channel,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(kib) => write!(f, "the guest needs {kib} KiB more memory that was never accessed"),
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

/// The pages of a wish.
pub struct Pages {
    wish: Wish,
    /// The device's page, or the tracked one.
    page: u64,
    /// Fresh memory can be run.
    zeroed: bool,
    laid: [Option<Laid>; MAX_ACCESSES],
}

impl Pages {
    /// The pages of a wish for so many walks, or why it cannot be tried.
    pub fn new(wish: Wish, walks: usize, memory: &FreshMemory, cpu: &Cpu) -> Result<Self, Unavailable> {
        // A page for each privilege and kind of access.
        let wanted = match wish {
            Wish::Touch => 6 * walks as u64,
            Wish::Dirty => 1,
            Wish::Apic | Wish::Device => 0,
        };
        if memory.pages() < wanted {
            return Err(Unavailable::Memory((wanted - memory.pages()) * PAGE / 1024));
        }
        if matches!(wish, Wish::Dirty | Wish::Device) && !channel::present() {
            return Err(Unavailable::Channel);
        }
        let page = match wish {
            Wish::Touch => 0,
            // The last page: behind those that are taken from the front.
            Wish::Dirty => memory.end - PAGE,
            Wish::Apic => cpu.local_apic().ok_or(Unavailable::Apic)?,
            Wish::Device => DEVICE_PAGE,
        };
        Ok(Self { wish, page, zeroed: cpu.has_hypervisor() || channel::present(), laid: [None; MAX_ACCESSES] })
    }

    /// Lays out the accesses of the next walk, or one of them with those to its page before it; returns
    /// how many there are.
    pub fn map(&mut self, walker: &mut Walker, memory: &mut FreshMemory, only: Option<HostAccess>) -> usize {
        let setting = SETTINGS.iter().find(|setting| !setting.mode.smap && !setting.mode.smep && !setting.mode.wp);
        let mode = setting.map_or(spec::walk::setting::BASE.mode, |setting| setting.mode);
        let mut len = 0;
        let mut page = self.page;
        let frame = guest::frame_at(0) as u64;
        let mut addresses = [(0, 0); MAX_ACCESSES];
        for access in self.wish.accesses() {
            if access.access == Access::Fetch && !self.zeroed {
                continue;
            }
            if only.is_some_and(|only| (only.privilege, only.access) != (access.privilege, access.access)) {
                continue;
            }
            if self.wish == Wish::Touch && access.round == Round::First {
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
        if self.wish == Wish::Dirty {
            // If KVM refuses, nothing is tracked, which no guest can tell from tracking that does not show.
            channel::ask(Ask::RearmDirtyLog);
        }
        len
    }

    /// Where in its page an access goes.
    fn offset(&self, HostAccess { privilege, access, round, .. }: HostAccess) -> u64 {
        let again = u64::from(round == Round::Again);
        let user = u64::from(privilege == Privilege::User);
        match (self.wish, access) {
            (_, Access::Fetch) if round == Round::First => RUN_FIRST,
            (_, Access::Fetch) => RUN_AGAIN,
            (Wish::Touch, _) | (Wish::Device, Access::Read) => 8 * again,
            (Wish::Dirty, Access::Read) => 0x100 + 8 * again,
            (Wish::Dirty, Access::Write) => 16 * user + 8 * again,
            (Wish::Apic, Access::Read) => APIC_VERSION,
            (Wish::Apic, Access::Write) => APIC_TPR,
            (Wish::Device, Access::Write) => DEVICE_WRITE + 16 * user + 8 * again,
        }
    }

    /// What was seen of each access of the walk.
    pub fn observed<'a>(&'a self, walked: &'a Walked<'_>) -> impl Iterator<Item = (HostAccess, Observed)> + 'a {
        self.laid.iter().flatten().enumerate().map(|(at, laid)| {
            // SAFETY: the slot was laid out by `map`; L2 does not run.
            let slot = unsafe { walker::slots().add(at).read_volatile() };
            let address = walker::slot_address(at, laid.access.privilege);
            let mut exits = walked.exits.iter().filter(|record| record.slot == address);
            let exit = exits.next_back().map(|record| record.exit);
            let observed = Observed {
                exits: exits.count() as u64 + u64::from(exit.is_some()),
                exit,
                deliveries: slot.faults,
                delivery: (slot.faults != 0).then_some(slot.delivery),
                executed: self.has_effect(*laid, slot.result, walked.number),
            };
            (laid.access, observed)
        })
    }

    /// Whether an access did what it must: read what is there, wrote the walk's number, ran the code.
    fn has_effect(&self, Laid { access, target }: Laid, result: u64, walk: u64) -> bool {
        // SAFETY: the target is memory that is L1's, or a device's register; both can be read by L1.
        let there = unsafe {
            if access.narrow {
                (target as *const u32).read_volatile().into()
            } else {
                (target as *const u64).read_volatile()
            }
        };
        match (self.wish, access.access) {
            (_, Access::Fetch) => result == TOKEN,
            (_, Access::Read) => result == there,
            // The task priority has 8 bits.
            (Wish::Apic, Access::Write) => there & 0xff == walk & 0xff,
            (_, Access::Write) if access.narrow => there == walk & u64::from(u32::MAX),
            (_, Access::Write) => there == walk,
        }
    }
}
