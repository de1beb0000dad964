//! An IRET of L2's that leads from CPL 0 to CPL 3, and what a VM exit finds there.

use super::parts::{IRET, Part, READ, WRITE};
use crate::manual::descriptor::{CODE_64, DATA, access_rights, with_dpl};
use crate::manual::paging::Access;
use crate::manual::paging::Entry;
use crate::manual::paging::Privilege::{Supervisor, User};
use crate::scene::end::Word::{self, Cs, CsAccess, Interruptibility, Rflags, Rsp, Ss, SsAccess};
use crate::scene::expect::selectors;
use crate::scene::place::Kind;
use crate::scene::place::Place::{Code1, Data0};
use crate::scene::{Fault, stack_of};
use crate::walk::outcome::RFLAGS_RF;

/// Where IRET leads, on a page that is a user's then.
pub const TARGET: u64 = Code1.linear();
pub const STACK_3: u64 = stack_of(User);
const CS_3: u64 = selectors(User).0;
const SS_3: u64 = selectors(User).1;
const STACK: u64 = stack_of(Supervisor);
const CS_RIGHTS: u64 = access_rights(with_dpl(CODE_64, User));
const SS_RIGHTS: u64 = access_rights(with_dpl(DATA, User));

/// A user-mode page in a scene of CPL 0.
pub const USER: Kind = Kind { with: Entry::US, ..Kind::GOOD };

/// The code at [`TARGET`], in little-endian order: an access of two bytes, and VMCALL.
pub const USER_READ: u64 = then_vmcall(READ);
pub const USER_WRITE: u64 = then_vmcall(WRITE);

const fn then_vmcall(Part(access, _): Part) -> u64 {
    0xc1_010f << 16 | (access[1] as u64) << 8 | access[0] as u64
}

/// The memory of a scene that ends with [`IRET`]: its stack, the code at [`TARGET`], and a value of
/// [`Data0`].
pub const fn to_user(code: u64, data: u64) -> [(u64, u64); 7] {
    const _: () = assert!(IRET.0.len() == 2, "REX.W and the opcode");
    [
        (STACK, TARGET),
        (STACK + 8, CS_3),
        (STACK + 16, 2),
        (STACK + 24, STACK_3),
        (STACK + 32, SS_3),
        (TARGET, code),
        (Data0.linear(), data),
    ]
}

/// What the fault at [`TARGET`] finds.
pub const AT_FAULT: &[(Word, u64)] = &[
    (Rsp, STACK_3),
    (Rflags, 2 | RFLAGS_RF),
    (Cs, CS_3),
    (Ss, SS_3),
    (CsAccess, CS_RIGHTS),
    (SsAccess, SS_RIGHTS),
    (Interruptibility, 0),
];

/// What the VMCALL after it finds.
pub const AT_END: &[(Word, u64)] = &[
    (Word::Rip, TARGET + 2),
    (Rsp, STACK_3),
    (Rflags, 2),
    (Cs, CS_3),
    (Ss, SS_3),
    (CsAccess, CS_RIGHTS),
    (SsAccess, SS_RIGHTS),
];

/// The fault of the access at [`TARGET`].
pub const fn fault(address: u64, access: Access) -> Fault {
    Fault { address, access, privilege: User, rip: Some(TARGET) }
}
