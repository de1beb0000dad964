//! Which access through L2's page tables faults, and with what error code.
//!
//! SDM vol. 3A, "Determination of Access Rights", and "Page-Fault Exceptions"; for the paging modes
//! see [`format`](mod@format).

pub mod format;

use core::fmt;

use bitflags::bitflags;

use crate::manual::pfec::Pfec;
use format::Format;

pub mod keys;

bitflags! {
    /// Bits of a paging-structure entry that the walk looks at.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Entry: u64 {
        /// P, bit 0: present.
        const P = 1 << 0;
        /// R/W, bit 1: writes may be allowed to the region.
        const RW = 1 << 1;
        /// U/S, bit 2: user-mode accesses may be allowed to the region.
        const US = 1 << 2;
        /// A, bit 5: accessed.
        const A = 1 << 5;
        /// D, bit 6: dirty, in an entry that maps a page.
        const D = 1 << 6;
        /// PS, bit 7: page size. Reserved (must be 0) in a PML4 entry; PAT in a page-table entry.
        const PS = 1 << 7;
        /// XD, bit 63: execute-disable if IA32_EFER.NXE = 1, else reserved (must be 0).
        const XD = 1 << 63;
    }
}

/// Bits that are reserved in no entry, make none map a large page, and forbid no fetch.
const LEADS_ON: Entry = Entry::P.union(Entry::RW).union(Entry::US).union(Entry::A).union(Entry::D);

/// The levels of a walk, the root first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// PML5 entry: 256 TiB. Only in 5-level paging.
    Pml5e,
    /// PML4 entry: 512 GiB.
    Pml4e,
    /// Page-directory-pointer-table entry: 1 GiB.
    Pdpte,
    /// Page-directory entry: 2 MiB.
    Pde,
    /// Page-table entry: 4 KiB.
    Pte,
}

impl Level {
    /// The levels of 4-level paging in the order of the walk.
    pub const WALK: [Self; 4] = [Self::Pml4e, Self::Pdpte, Self::Pde, Self::Pte];
}

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// A data read.
    Read,
    /// A data write.
    Write,
    /// An instruction fetch.
    Fetch,
}

/// Whether an access is a user-mode or a supervisor-mode access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Privilege {
    /// Made at CPL 0, 1 or 2 (here always 0).
    Supervisor,
    /// Made at CPL 3.
    User,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Fetch => "fetch",
        })
    }
}

impl fmt::Display for Privilege {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Supervisor => "super",
            Self::User => "user",
        })
    }
}

/// The register bits that paging depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one bit of a control register")]
pub struct Mode {
    /// CR0.WP: supervisor writes respect R/W.
    pub wp: bool,
    /// CR4.SMEP: no supervisor fetch from user-mode addresses.
    pub smep: bool,
    /// CR4.SMAP: no supervisor data access to user-mode addresses unless RFLAGS.AC.
    pub smap: bool,
    /// RFLAGS.AC.
    pub ac: bool,
    /// IA32_EFER.NXE: XD is a permission and not reserved.
    pub nxe: bool,
}

impl Mode {
    /// The mode on a processor that has SMEP and SMAP only where `offered` has them.
    #[must_use]
    pub const fn on(self, offered: Self) -> Self {
        Self { smep: self.smep && offered.smep, smap: self.smap && offered.smap, ..self }
    }

    /// No bit.
    pub const NONE: Self = Self { wp: false, smep: false, smap: false, ac: false, nxe: false };

    /// The bits that only one of the two has.
    #[must_use]
    pub const fn xor(self, other: Self) -> Self {
        Self {
            wp: self.wp != other.wp,
            smep: self.smep != other.smep,
            smap: self.smap != other.smap,
            ac: self.ac != other.ac,
            nxe: self.nxe != other.nxe,
        }
    }
}

/// The walk's physical-address width: MAXPHYADDR, from CPUID.80000008H:EAX\[7:0\], at most 52.
pub type Maxphyaddr = u8;

/// Walks the four entries of 4-level paging for one access: see [`walk_in`].
///
/// # Errors
/// The error code of the page fault that the access causes.
pub fn walk(
    entries: [u64; 4],
    access: Access,
    privilege: Privilege,
    mode: Mode,
    maxphyaddr: Maxphyaddr,
) -> Result<(), Pfec> {
    walk_in(Format::Level4, &entries, access, privilege, mode, maxphyaddr)
}

/// Walks the entries of a paging mode for one access.
///
/// `entries` holds the entry of each of [`Format::levels`] that the linear address selects; those
/// after an entry that faults are ignored. Entries that map large pages are understood.
///
/// # Errors
/// The error code of the page fault that the access causes.
pub fn walk_in(
    format: Format,
    entries: &[u64],
    access: Access,
    privilege: Privilege,
    mode: Mode,
    maxphyaddr: Maxphyaddr,
) -> Result<(), Pfec> {
    let code = access_bits(format, access, privilege, mode);
    let mut rights = Entry::RW | Entry::US;
    let mut executable = true;
    for (&level, &raw) in format.levels().iter().zip(entries) {
        let entry = Entry::from_bits_retain(raw & format.entry_mask());
        if !entry.contains(Entry::P) {
            return Err(code);
        }
        if format.is_register(level) {
            continue;
        }
        rights &= entry;
        // Most entries have no other bits.
        if LEADS_ON.contains(entry) {
            continue;
        }
        if entry.bits() & format.reserved(level, entry, mode.nxe, maxphyaddr) != 0 {
            return Err(code | Pfec::P | Pfec::RSVD);
        }
        executable &= !entry.contains(Entry::XD);
        if format.maps_page(level, entry) {
            break;
        }
    }
    if allowed(rights, executable, access, privilege, mode) { Ok(()) } else { Err(code | Pfec::P) }
}

/// The bits of the error code that describe only the access. "Page-Fault Exceptions": W/R, U/S and
/// I/D "describe the access causing the page-fault exception, not the access rights"; I/D needs
/// CR4.SMEP, or CR4.PAE and IA32_EFER.NXE.
fn access_bits(format: Format, access: Access, privilege: Privilege, mode: Mode) -> Pfec {
    let mut code = Pfec::empty();
    code.set(Pfec::WR, access == Access::Write);
    code.set(Pfec::US, privilege == Privilege::User);
    code.set(Pfec::ID, access == Access::Fetch && (mode.nxe && format.has_xd() || mode.smep));
    code
}

/// "Determination of Access Rights", without protection keys and shadow stacks.
fn allowed(
    rights: Entry,
    executable: bool,
    access: Access,
    privilege: Privilege,
    mode: Mode,
) -> bool {
    let writable = rights.contains(Entry::RW);
    let user_address = rights.contains(Entry::US);
    let executable = executable || !mode.nxe;
    match (privilege, access) {
        (Privilege::User, Access::Read) => user_address,
        (Privilege::User, Access::Write) => user_address && writable,
        (Privilege::User, Access::Fetch) => user_address && executable,
        (Privilege::Supervisor, Access::Fetch) => executable && !(user_address && mode.smep),
        (Privilege::Supervisor, Access::Read) => smap_allows(user_address, mode),
        (Privilege::Supervisor, Access::Write) => {
            smap_allows(user_address, mode) && (writable || !mode.wp)
        }
    }
}

/// Explicit supervisor-mode data accesses and SMAP, "Determination of Access Rights".
fn smap_allows(user_address: bool, mode: Mode) -> bool {
    !user_address || !mode.smap || mode.ac
}

#[cfg(test)]
mod tests;
