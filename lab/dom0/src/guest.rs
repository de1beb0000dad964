//! The guest: a domain with the image in it, from its making to its end.
//!
//! It is what Xen calls PVH: no firmware and no devices of Xen's but the local APIC, EPT, VMX, and
//! all features of the processor that Xen can give. It has two vCPUs; the second waits for INIT and
//! SIPI.

use core::arch::x86_64::__cpuid;

use dom0::abi::domctl::{
    CreateDomain, DestroyDomain, EMULATE_LAPIC, GRANT_VERSION, HAP, HVM, MaxMem, MaxVcpus,
    NESTED_VIRT, PauseDomain, SetPagingMempool, Tail17, Tail20,
};
use dom0::abi::hvm::{Cpu, LapicRegs, State};
use dom0::abi::{DomainId, Errno, Version};
use spec::pvh;

use crate::hypercall::{Control, populate};
use crate::job::Job;
use crate::memory::{Memory, PAGE};

/// vCPUs.
pub const VCPUS: u32 = 2;
/// What Xen may use for EPT tables, L1's included.
const PAGING: u64 = 8 << 20;
/// Pages beside the memory: those of ioreq servers.
const MORE_MIB: u64 = 2;
/// Memory comes in large pages, which EPT then maps as such.
const LARGE_PAGE_ORDER: u32 = 9;
const LARGE_PAGE_PAGES: u64 = 1 << LARGE_PAGE_ORDER;
/// The most memory, in large pages.
const LARGE_PAGES: usize = 1536;
/// A domain that is torn down may be in use for a moment.
const DESTROY_TRIES: u32 = 100;

/// Where the start information is, and in its page the memory map and the command line.
const START_INFO: u64 = 0x6000;
const MEMORY_MAP: u64 = START_INFO + 0x100;
const CMDLINE: u64 = START_INFO + 0x200;
/// The memory between these is where a PC has its display and its firmware.
const LOW_MEMORY_END: u64 = 0x9_f000;
const HIGH_MEMORY: u64 = 0x10_0000;

/// What failed, and Xen's error.
#[derive(Clone, Copy)]
pub struct Failed(pub &'static str, pub Errno);

impl Failed {
    /// Names what failed.
    pub fn at(what: &'static str) -> impl Fn(Errno) -> Self {
        move |errno| Self(what, errno)
    }
}

/// A guest that is ready to run.
pub struct Guest {
    /// Xen's interface.
    pub control: Control,
    /// Its domain.
    pub domain: DomainId,
    /// Its memory.
    pub memory: Memory,
    /// Whether Xen logs writes to it.
    pub logs_writes: bool,
}

impl Guest {
    /// Makes a domain with the image in it, whose command line this is.
    pub fn build(control: Control, job: &Job<'_>, line: &str) -> Result<Self, Failed> {
        let at = Failed::at;
        let bytes = u64::from(job.memory_mib) << 20;
        let domain = create(control).map_err(at("make a domain"))?;
        // From here on it is torn down when something fails.
        let mut guest =
            Self { control, domain, memory: Memory::of(domain, bytes), logs_writes: false };
        let limit = MaxMem { max_memkb: (bytes >> 10) + (MORE_MIB << 10) };
        control
            .domctl(domain, SetPagingMempool { size: PAGING })
            .map_err(at("give memory for page tables"))?;
        control.domctl(domain, limit).map_err(at("set the most memory"))?;
        control.domctl(domain, MaxVcpus { max: VCPUS }).map_err(at("make vCPUs"))?;
        control.give_all_features(domain).map_err(at("set the CPU policy"))?;
        let count = bytes.div_ceil(LARGE_PAGE_PAGES * PAGE) as usize;
        let mut pages =
            core::array::from_fn::<u64, LARGE_PAGES, _>(|index| index as u64 * LARGE_PAGE_PAGES);
        let pages = pages.get_mut(..count).ok_or(Failed("give so much memory", Errno::ENOMEM))?;
        populate(domain, pages, LARGE_PAGE_ORDER).map_err(at("give memory"))?;
        // What the image has no bytes for is zero, as all memory that Xen gives.
        guest.memory.write(job.address, job.image).map_err(at("load the image"))?;
        guest.write_start_info(line, bytes).map_err(at("write the start information"))?;
        guest.set_vcpus(job.entry).map_err(at("set the vCPUs"))?;
        Ok(guest)
    }

    fn write_start_info(&mut self, line: &str, bytes: u64) -> Result<(), Errno> {
        let range = |addr, end| pvh::Memory {
            addr,
            size: end - addr,
            r#type: pvh::Memory::RAM,
            reserved: 0,
        };
        let map = [range(0, LOW_MEMORY_END), range(HIGH_MEMORY, bytes)];
        let info = pvh::StartInfo {
            magic: pvh::MAGIC,
            version: 1,
            flags: 0,
            nr_modules: 0,
            modlist_paddr: 0,
            cmdline_paddr: CMDLINE,
            rsdp_paddr: 0,
            memmap_paddr: MEMORY_MAP,
            memmap_entries: map.len() as u32,
            reserved: 0,
        };
        self.memory.put(START_INFO, info)?;
        self.memory.put(MEMORY_MAP, map)?;
        self.memory.write(CMDLINE, line.as_bytes())?;
        self.memory.write(CMDLINE + line.len() as u64, &[0])
    }

    /// The first vCPU is at the image's entry. The second has APIC ID 1, where Xen would give 2.
    fn set_vcpus(&mut self, entry: u32) -> Result<(), Errno> {
        let Self { control, domain, .. } = *self;
        // Xen compares it with the processor's.
        let cpuid = __cpuid(1).eax;
        let lapic = control.record(domain, 1, LapicRegs { data: [0; 256] })?.with_id(1);
        control.restore(domain, State::new(1, lapic, cpuid))?;
        control.restore(domain, State::new(0, Cpu::pvh(entry, START_INFO), cpuid))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let Self { control, domain, .. } = *self;
        let _ = control.domctl(domain, PauseDomain);
        let _ = self.memory.release();
        let mut tries = 0;
        loop {
            match control.domctl(domain, DestroyDomain) {
                Err(Errno::ERESTART | Errno::EAGAIN) => {}
                Err(Errno::EBUSY) if tries < DESTROY_TRIES => tries += 1,
                _ => return,
            }
        }
    }
}

/// An empty domain.
fn create(control: Control) -> Result<DomainId, Errno> {
    let tail = Tail17 { emulation_flags: EMULATE_LAPIC, ..Tail17::default() };
    match control.version {
        Version::V4_17 => control.domctl(0, domain(tail)).map(|(domain, _)| domain),
        Version::V4_20 => {
            control.domctl(0, domain(Tail20 { altp2m_opts: 0, tail })).map(|(domain, _)| domain)
        }
    }
}

fn domain<T>(tail: T) -> CreateDomain<T> {
    CreateDomain {
        ssidref: 0,
        // Anything but zero.
        handle: [1; 16],
        flags: HVM | HAP | NESTED_VIRT,
        iommu_opts: 0,
        max_vcpus: VCPUS,
        max_evtchn_port: 1023,
        max_grant_frames: 4,
        max_maptrack_frames: 0,
        grant_opts: GRANT_VERSION,
        tail,
    }
}
