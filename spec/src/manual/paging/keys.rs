//! Protection keys. SDM vol. 3A, "Protection Keys", and "Page-Fault Exceptions", PK flag.

use super::format::Format;
use super::{Access, Entry, Mode, Privilege, access_bits};
use crate::manual::pfec::Pfec;

/// The rights registers in force: `None` where CR4.PKE or CR4.PKS is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Keys {
    /// PKRU, for user-mode addresses: access-disable of key i in bit 2i, write-disable in bit 2i +
    /// 1.
    pub user: Option<u32>,
    /// IA32_PKRS, for supervisor-mode addresses, with the same layout.
    pub supervisor: Option<u32>,
}

/// The protection key of the entry that maps a page: bits 62:59.
const fn key_of(leaf: u64) -> u32 {
    (leaf >> 59 & 0xf) as u32
}

impl Keys {
    /// The result of a walk, with protection keys applied. `leaf` maps the page, `user_address`
    /// says whether U/S is 1 in every entry of the walk.
    ///
    /// # Errors
    /// The error code of the page fault that the access causes.
    pub fn check(
        self,
        walked: Result<(), Pfec>,
        leaf: u64,
        user_address: bool,
        access: Access,
        privilege: Privilege,
        mode: Mode,
    ) -> Result<(), Pfec> {
        if !self.refuse(leaf, user_address, access, privilege, mode) {
            return walked;
        }
        match walked {
            // Only a translation has a key.
            Err(code) if !code.contains(Pfec::P) || code.contains(Pfec::RSVD) => walked,
            Err(code) => Err(code | Pfec::PK),
            // Keys exist only in IA-32e mode, and refuse only data accesses.
            Ok(()) => {
                Err(access_bits(Format::Level4, access, privilege, mode) | Pfec::P | Pfec::PK)
            }
        }
    }

    fn refuse(
        self,
        leaf: u64,
        user_address: bool,
        access: Access,
        privilege: Privilege,
        mode: Mode,
    ) -> bool {
        let register = if user_address { self.user } else { self.supervisor };
        let Some(register) = register else { return false };
        let rights = register >> (2 * key_of(leaf));
        let (access_disable, write_disable) = (rights & 1 == 1, rights >> 1 & 1 == 1);
        match access {
            Access::Fetch => false,
            Access::Read => access_disable,
            Access::Write => {
                access_disable || write_disable && (privilege == Privilege::User || mode.wp)
            }
        }
    }
}

/// Whether an entry that maps a page makes it a shadow-stack page, if all entries above allow
/// writes: R/W is 0 and the dirty flag is 1. SDM vol. 3A, "Determination of Access Rights".
#[must_use]
pub const fn is_shadow_stack(leaf: u64) -> bool {
    leaf & Entry::RW.bits() == 0 && leaf & Entry::D.bits() != 0
}

/// The result of a shadow-stack access in user mode or in supervisor mode. `read` is the result of
/// a data read of the same address. "Determination of Access Rights" and "Page-Fault Exceptions",
/// SS flag.
///
/// # Errors
/// The error code of the page fault that the access causes.
pub fn shadow_stack_access(
    read: Result<(), Pfec>,
    leaf: u64,
    user_address: bool,
    access: Access,
    privilege: Privilege,
) -> Result<(), Pfec> {
    let mut kind = Pfec::SS;
    kind.set(Pfec::WR, access == Access::Write);
    match read {
        Err(code) => Err(code | kind),
        Ok(()) if is_shadow_stack(leaf) && user_address == (privilege == Privilege::User) => Ok(()),
        Ok(()) => {
            kind.set(Pfec::US, privilege == Privilege::User);
            Err(kind | Pfec::P)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Keys, shadow_stack_access};
    use crate::manual::paging::{Access, Mode, Privilege};
    use crate::manual::pfec::Pfec;

    const MODE: Mode = Mode { wp: true, smep: true, smap: true, ac: true, nxe: true };
    const KEY3: u64 = 3 << 59 | 7;
    const AD3: Keys = Keys { user: Some(1 << 6), supervisor: None };
    const WD3: Keys = Keys { user: Some(1 << 7), supervisor: None };

    fn code(
        keys: Keys,
        walked: Result<(), Pfec>,
        access: Access,
        privilege: Privilege,
        wp: bool,
    ) -> Option<u32> {
        keys.check(walked, KEY3, true, access, privilege, Mode { wp, ..MODE })
            .err()
            .map(|code| code.bits())
    }

    #[test]
    fn access_disable_refuses_data_and_write_disable_refuses_writes() {
        use Access::{Fetch, Read, Write};
        use Privilege::{Supervisor, User};
        for (keys, access, privilege, wp, want) in [
            (AD3, Read, User, true, Some(0x25)),
            (AD3, Write, User, true, Some(0x27)),
            (AD3, Fetch, User, true, None),
            (AD3, Read, Supervisor, false, Some(0x21)),
            (AD3, Write, Supervisor, false, Some(0x23)),
            (WD3, Read, User, true, None),
            (WD3, Write, User, false, Some(0x27)),
            (WD3, Write, Supervisor, true, Some(0x23)),
            (WD3, Write, Supervisor, false, None),
            (Keys::default(), Write, User, true, None),
        ] {
            assert_eq!(
                code(keys, Ok(()), access, privilege, wp),
                want,
                "{keys:?} {access} {privilege} {wp}"
            );
        }
    }

    #[test]
    fn a_key_needs_a_translation() {
        let check = |walked| code(AD3, Err(walked), Access::Read, Privilege::User, true);
        assert_eq!(check(Pfec::US), Some(0x04));
        assert_eq!(check(Pfec::US | Pfec::P | Pfec::RSVD), Some(0x0d));
        assert_eq!(check(Pfec::US | Pfec::P), Some(0x25));
    }

    #[test]
    fn the_register_depends_on_the_address() {
        let keys = Keys { user: None, supervisor: Some(1 << 6) };
        let check =
            |user| keys.check(Ok(()), KEY3, user, Access::Read, Privilege::Supervisor, MODE).err();
        assert_eq!((check(true), check(false)), (None, Some(Pfec::P | Pfec::PK)));
    }

    #[test]
    fn a_shadow_stack_access_wants_a_shadow_stack() {
        let check = |read, leaf, user, access| {
            shadow_stack_access(read, leaf, user, access, Privilege::User)
                .err()
                .map(|code| code.bits())
        };
        assert_eq!(check(Ok(()), 0x65, true, Access::Write), None);
        assert_eq!(check(Ok(()), 0x67, true, Access::Write), Some(0x47));
        assert_eq!(check(Ok(()), 0x25, true, Access::Read), Some(0x45));
        assert_eq!(check(Err(Pfec::US), 0, true, Access::Write), Some(0x46));
        assert_eq!(check(Ok(()), 0x65, false, Access::Read), Some(0x45));
    }
}
