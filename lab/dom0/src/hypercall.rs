//! Hypercalls, each with the types of its arguments.
//!
//! The calling convention is that of PV guests in 64-bit mode (`arch-x86/xen-x86_64.h`): SYSCALL
//! with the number in RAX, arguments in RDI, RSI, RDX, R10 and R8; RCX and R11 are lost; a negative
//! RAX is an error. Xen reads and writes this domain's memory at the addresses that it is given.
#![allow(unsafe_code, reason = "Xen reads and writes what it is given the address of")]

use core::arch::asm;

use dom0::abi::dm::{self, DmOp};
use dom0::abi::domctl::{
    self, CpuidLeaf, Domctl, GetCpuPolicy, GetHvmContextPartial, MsrEntry, SetCpuPolicy,
};
use dom0::abi::event::Poll;
use dom0::abi::hvm::{Record, State};
use dom0::abi::memory::{HvmParam, INVLPG, POPULATE_PHYSMAP, Reservation};
use dom0::abi::{DomainId, Errno, Handle, Hypercall, Room, SYSCTL, Version, command};

/// The most leaves and MSRs of a CPU policy.
const LEAVES: usize = 320;
const MSRS: usize = 64;

/// # Safety
/// Addresses among the arguments must be of what the hypercall reads, or of what it writes and
/// nothing else refers to.
unsafe fn call(number: Hypercall, arguments: [u64; 5]) -> Result<u64, Errno> {
    let [rdi, rsi, rdx, r10, r8] = arguments;
    let result: i64;
    // SAFETY: the registers are those of the convention; the rest is the caller's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as u64 => result,
            inlateout("rdi") rdi => _,
            inlateout("rsi") rsi => _,
            inlateout("rdx") rdx => _,
            inlateout("r10") r10 => _,
            inlateout("r8") r8 => _,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    u64::try_from(result).map_err(|_| Errno(result.unsigned_abs() as u8))
}

fn address<T: ?Sized>(of: &mut T) -> Handle {
    (&raw mut *of).cast::<u8>() as u64
}

/// Lets this domain access I/O ports.
pub fn allow_ports() -> Result<(), Errno> {
    let mut iopl = 3u32;
    // SAFETY: `struct physdev_set_iopl` is one word, which Xen reads.
    unsafe {
        call(Hypercall::PhysdevOp, [command::PHYSDEVOP_SET_IOPL, address(&mut iopl), 0, 0, 0])
    }
    .map(drop)
}

/// Xen's major and minor version.
pub fn xen_version() -> Result<(u32, u32), Errno> {
    // SAFETY: this command takes no address.
    let version =
        unsafe { call(Hypercall::XenVersion, [command::XENVER_VERSION, 0, 0, 0, 0]) }? as u32;
    Ok((version >> 16, version & 0xffff))
}

/// What follows them: at most 16 bytes, with a zero at the end.
pub fn xen_extra_version() -> Result<[u8; 16], Errno> {
    let mut text = [0; 16];
    // SAFETY: `xen_extraversion_t` has 16 bytes, which Xen writes.
    unsafe {
        call(Hypercall::XenVersion, [command::XENVER_EXTRAVERSION, address(&mut text), 0, 0, 0])
    }?;
    Ok(text)
}

/// Exchanges the page at one of this domain's addresses.
///
/// # Safety
/// Nothing may refer to what was there, and `page` must be a page of this domain.
pub unsafe fn map(page: u64, entry: u64) -> Result<(), Errno> {
    // SAFETY: Xen takes values only; the page is the caller's.
    unsafe { call(Hypercall::UpdateVaMapping, [page, entry, INVLPG, 0, 0]) }.map(drop)
}

/// The same with a page of another domain, whose number is in `entry` in place of the frame's.
///
/// # Safety
/// As for [`map`].
pub unsafe fn map_foreign(page: u64, entry: u64, of: DomainId) -> Result<(), Errno> {
    let arguments = [page, entry, INVLPG, of.into(), 0];
    // SAFETY: as in `map`.
    unsafe { call(Hypercall::UpdateVaMappingOtherdomain, arguments) }.map(drop)
}

/// Waits until one of these event channels is pending.
pub fn poll(ports: &mut [u32]) -> Result<(), Errno> {
    let mut poll = Poll { ports: address(ports), nr_ports: ports.len() as u32, timeout: 0 };
    // SAFETY: Xen reads the structure and the ports.
    unsafe { call(Hypercall::SchedOp, [command::SCHEDOP_POLL, address(&mut poll), 0, 0, 0]) }
        .map(drop)
}

/// An operation on event channels. `T` is its structure, which has no addresses in it.
pub fn event<T>(operation: u64, argument: &mut T) -> Result<(), Errno> {
    // SAFETY: Xen reads the structure and may write it.
    unsafe { call(Hypercall::EventChannelOp, [operation, address(argument), 0, 0, 0]) }.map(drop)
}

/// Gives memory to a domain: extents of 2^`order` pages that begin at these pages.
pub fn populate(domain: DomainId, first_pages: &mut [u64], order: u32) -> Result<(), Errno> {
    let wanted = first_pages.len() as u64;
    let mut reservation = Reservation {
        extent_start: address(first_pages),
        nr_extents: wanted,
        extent_order: order,
        mem_flags: 0,
        domid: domain,
    };
    // SAFETY: Xen reads the structure and reads and writes the numbers of the pages.
    let given = unsafe {
        call(Hypercall::MemoryOp, [POPULATE_PHYSMAP, address(&mut reservation), 0, 0, 0])
    }?;
    if given == wanted { Ok(()) } else { Err(Errno::ENOMEM) }
}

/// Sets a parameter of a guest.
pub fn set_param(domain: DomainId, index: u32, value: u64) -> Result<(), Errno> {
    let mut param = HvmParam { domid: domain, pad: 0, index, value };
    // SAFETY: Xen reads the structure.
    unsafe { call(Hypercall::HvmOp, [command::HVMOP_SET_PARAM, address(&mut param), 0, 0, 0]) }
        .map(drop)
}

/// A command of a guest's device model. Returns its part as Xen left it.
pub fn dm<T: DmOp>(domain: DomainId, part: T) -> Result<T, Errno> {
    let mut operation = dm::Call { op: T::OP, pad: 0, u: Room::with(part) };
    let size = size_of_val(&operation) as u64;
    let mut buffer = dm::Buffer { h: address(&mut operation), size };
    // SAFETY: Xen reads the buffer, and reads and writes the operation that it points at.
    unsafe { call(Hypercall::DmOp, [domain.into(), 1, address(&mut buffer), 0, 0]) }?;
    // SAFETY: Xen wrote no more than this command's part.
    Ok(unsafe { operation.u.part })
}

/// Xen's interface for other domains, in the version that it has.
#[derive(Clone, Copy)]
pub struct Control {
    /// The version.
    pub version: Version,
}

impl Control {
    /// A command about a domain, and what Xen left of it: the domain's number and the part.
    ///
    /// # Safety
    /// Addresses in the part must be of what the command reads, or of what it writes and nothing
    /// else refers to.
    unsafe fn command<T: Domctl>(self, domain: DomainId, part: T) -> Result<(DomainId, T), Errno> {
        let mut command = domctl::Call {
            cmd: T::COMMAND,
            interface_version: self.version.domctl(),
            domain,
            pad: [0; 3],
            u: Room::with(part),
        };
        // SAFETY: Xen reads and writes the structure; the rest is the caller's.
        unsafe { call(Hypercall::Domctl, [address(&mut command), 0, 0, 0, 0]) }?;
        // SAFETY: Xen wrote no more than this command's part.
        Ok((command.domain, unsafe { command.u.part }))
    }

    /// A command whose part has no addresses in it.
    pub fn domctl<T: Domctl + Plain>(
        self,
        domain: DomainId,
        part: T,
    ) -> Result<(DomainId, T), Errno> {
        // SAFETY: there are no addresses in it.
        unsafe { self.command(domain, part) }
    }

    /// A record of a vCPU's state.
    pub fn record<T: Record>(self, domain: DomainId, vcpu: u16, mut record: T) -> Result<T, Errno> {
        let get = GetHvmContextPartial {
            r#type: T::CODE.into(),
            instance: vcpu.into(),
            bufsz: size_of::<T>() as u64,
            buffer: address(&mut record),
        };
        // SAFETY: Xen writes at most `bufsz` bytes, of a type that takes any value.
        unsafe { self.command(domain, get) }?;
        Ok(record)
    }

    /// Sets a part of a guest's state.
    pub fn restore<T: Record>(self, domain: DomainId, mut state: State<T>) -> Result<(), Errno> {
        let set =
            domctl::SetHvmContext { size: size_of_val(&state) as u32, buffer: address(&mut state) };
        // SAFETY: Xen reads `size` bytes.
        unsafe { self.command(domain, set) }.map(drop)
    }

    /// Gives a domain all features of the processor that Xen can give.
    pub fn give_all_features(self, domain: DomainId) -> Result<(), Errno> {
        let (mut leaves, mut msrs) = ([CpuidLeaf::default(); LEAVES], [MsrEntry::default(); MSRS]);
        let (leaves, msrs) = (address(&mut leaves), address(&mut msrs));
        let policy = GetCpuPolicy {
            index: domctl::HVM_MAX,
            nr_leaves: LEAVES as u32,
            nr_msrs: MSRS as u32,
            rsvd: 0,
            leaves,
            msrs,
        };
        let mut get = domctl::Sysctl {
            cmd: domctl::GET_CPU_POLICY,
            interface_version: SYSCTL,
            u: Room::with(policy),
        };
        // SAFETY: Xen writes at most as many leaves and MSRs as it is told there is room for.
        unsafe { call(Hypercall::Sysctl, [address(&mut get), 0, 0, 0, 0]) }?;
        // SAFETY: Xen wrote no more than this command's part.
        let GetCpuPolicy { nr_leaves, nr_msrs, .. } = unsafe { get.u.part };
        let set = SetCpuPolicy { nr_leaves, nr_msrs, leaves, msrs, ..SetCpuPolicy::default() };
        // SAFETY: Xen reads what it has just written.
        unsafe { self.command(domain, set) }.map(drop)
    }
}

/// A command whose part has no addresses in it.
pub trait Plain {}

impl<T> Plain for domctl::CreateDomain<T> {}
impl Plain for domctl::DestroyDomain {}
impl Plain for domctl::PauseDomain {}
impl Plain for domctl::UnpauseDomain {}
impl Plain for domctl::DomainInfo {}
impl Plain for domctl::MaxMem {}
impl Plain for domctl::MaxVcpus {}
impl Plain for domctl::SetDebugging {}
impl Plain for domctl::SendTrigger {}
impl Plain for domctl::SetPagingMempool {}
// Its address stays zero.
impl Plain for domctl::ShadowOp {}
