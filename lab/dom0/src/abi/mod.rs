//! Xen's interface for its first domain, as far as it is used here.
//!
//! Each structure names the public header that defines it (`xen/include/public` in Xen's sources,
//! `/usr/include/xen` of Debian's libxen-dev). Fields have the headers' names, and a test compares
//! sizes, offsets and numbers with the headers that are installed. The interfaces of domctl and
//! sysctl change with Xen's version; see [`Version`].

pub mod dm;
pub mod domctl;
pub mod event;
pub mod hvm;
pub mod memory;
pub mod start;

/// The numbers of the hypercalls. `xen.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Hypercall {
    /// Takes and gives memory.
    MemoryOp = 12,
    /// Changes an entry of the caller's own page tables.
    UpdateVaMapping = 14,
    /// Says which Xen this is.
    XenVersion = 17,
    /// The same as [`Hypercall::UpdateVaMapping`], for a page of another domain.
    UpdateVaMappingOtherdomain = 22,
    /// Waits.
    SchedOp = 29,
    /// Event channels.
    EventChannelOp = 32,
    /// Access to I/O ports.
    PhysdevOp = 33,
    /// Parameters of a guest.
    HvmOp = 34,
    /// The whole machine.
    Sysctl = 35,
    /// Other domains.
    Domctl = 36,
    /// What a guest's device model needs.
    DmOp = 41,
}

/// Commands of [`Hypercall::SchedOp`], [`Hypercall::PhysdevOp`], [`Hypercall::HvmOp`] and
/// [`Hypercall::XenVersion`]. `sched.h`, `physdev.h`, `hvm/hvm_op.h`, `version.h`.
pub mod command {
    /// Waits for an event.
    pub const SCHEDOP_POLL: u64 = 3;
    /// Lets the caller access I/O ports.
    pub const PHYSDEVOP_SET_IOPL: u64 = 6;
    /// Sets a parameter of a guest.
    pub const HVMOP_SET_PARAM: u64 = 0;
    /// Gives major and minor version.
    pub const XENVER_VERSION: u64 = 0;
    /// Gives the text after them.
    pub const XENVER_EXTRAVERSION: u64 = 1;
}

/// A version of Xen whose interfaces are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Xen 4.17.
    V4_17,
    /// Xen 4.20, and newer ones as long as the interface keeps its number.
    V4_20,
}

impl Version {
    /// The version of Xen's two numbers, if its interfaces are known.
    #[must_use]
    pub fn of(major: u32, minor: u32) -> Option<Self> {
        match (major, minor) {
            (4, 17) => Some(Self::V4_17),
            (4, 20..) => Some(Self::V4_20),
            _ => None,
        }
    }

    /// XEN_DOMCTL_INTERFACE_VERSION. `domctl.h`.
    #[must_use]
    pub const fn domctl(self) -> u32 {
        match self {
            Self::V4_17 => 0x15,
            Self::V4_20 => 0x17,
        }
    }
}

/// XEN_SYSCTL_INTERFACE_VERSION of all of them. `sysctl.h`.
pub const SYSCTL: u32 = 0x15;

/// The number of a domain.
pub type DomainId = u16;

/// The error of a hypercall, as Linux numbers it. `errno.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u8);

impl Errno {
    /// Try again.
    pub const EAGAIN: Self = Self(11);
    /// Still in use.
    pub const EBUSY: Self = Self(16);
    /// There is no memory.
    pub const ENOMEM: Self = Self(12);
    /// There is nothing at an address.
    pub const EFAULT: Self = Self(14);
    /// Xen was interrupted; go on.
    pub const ERESTART: Self = Self(85);
}

/// Where a structure has room for any command's part.
#[derive(Clone, Copy)]
#[repr(C)]
pub union Room<T: Copy, const WORDS: usize> {
    /// This command's part.
    pub part: T,
    /// All of the room.
    room: [u64; WORDS],
}

impl<T: Copy, const WORDS: usize> Room<T, WORDS> {
    /// The room with a part in it, and zero otherwise.
    #[must_use]
    pub fn with(part: T) -> Self {
        const { assert!(size_of::<T>() <= WORDS * 8) };
        let mut room = Self { room: [0; WORDS] };
        room.part = part;
        room
    }
}

/// The address of something that Xen reads or writes. XEN_GUEST_HANDLE_64 in the headers.
pub type Handle = u64;

#[cfg(test)]
mod tests;
