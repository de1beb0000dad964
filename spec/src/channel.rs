//! The port by which the guest reaches a VMM that knows maskmatch.
//!
//! It is harmless elsewhere: a VMM that does not know the port answers all ones and ignores what is
//! written. L1 and L2 use it alike, and L1 does not intercept it. A write to [`PORT`] asks for one
//! [`Ask`]. When the instruction is over, the VMM has done it or refused it. [`STATUS_PORT`] then
//! says which.

use core::fmt;

use crate::manual::paging::Maxphyaddr;
use crate::manual::pfec::Pfec;

/// The I/O port, accessed with 32 bits.
pub const PORT: u16 = 0x4d4d;
/// The I/O port that gives the [`Status`] of what was asked for last, accessed with 32 bits.
pub const STATUS_PORT: u16 = PORT + 4;
/// The I/O port that gives back what was written to it, inverted and in the same order, 32 bits
/// each.
pub const ECHO_PORT: u16 = PORT + 8;
/// The I/O port, accessed with 8 bits, of a VMM that can move the whole VM to another process while
/// the guest waits. A read gives the move's number, see [`moves`], and a write of that number asks
/// for the next move. When the guest reads another number, it has been moved.
pub const MOVE_PORT: u16 = 0x4d40;
/// What a read of [`PORT`] gives if the VMM knows it: "MASK", little-endian.
pub const SIGNATURE: u32 = u32::from_le_bytes(*b"MASK");
/// Gives the low 32 bits of how many VM exits of this vCPU L0 has taken, L2's included, accessed
/// with 32 bits; all ones where nobody counts.
pub const EXITS_PORT: u16 = PORT + 12;
/// Takes the physical address of a piece of the log in place of its bytes at COM1, written with 32
/// bits: a length of at most [`LINE`] bytes as 32 bits, followed by the bytes. One exit for a line
/// is cheaper than one for each byte.
pub const LINE_PORT: u16 = PORT + 16;
/// The longest piece of the log in bytes.
pub const LINE: usize = 4096;
/// Physical address of a page whose VMM remembers what is written and gives it back.
pub const DEVICE_PAGE: u64 = 0xfeb0_0000;
/// Offset in the device's page of four bytes that nobody writes, and what they hold:
/// [`DEVICE_KNOWN`].
pub const DEVICE_READ: u64 = 0x800;
/// What is at [`DEVICE_READ`].
pub const DEVICE_KNOWN: u32 = 0x100;
/// Offset in the device's page of four bytes that L2 writes and reads back.
pub const DEVICE_WRITE: u64 = 0xc00;
/// The MAXPHYADDR of a guest that has a smaller one than the host.
pub const NARROW: Maxphyaddr = 36;

/// Physical address of a byte that is 0 when [`Ask::Smi`] is done, and that the handler of the SMI
/// sets to 1.
pub const SMI_HANDLED: u64 = 0x3_8010;

crate::listed! {
    /// What the guest can ask the VMM for. To *move* a vCPU: to save all of its state, and to go on
    /// with it in a new VM.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(u32)]
    pub enum Ask {
        /// Track writes to memory, and forget those so far, so that the next write to each page is
        /// seen by L0.
        RearmDirtyLog = 1,
        /// Move; the new vCPU has the MAXPHYADDR that the guest started with, the new VM
        /// KVM_CAP_EXCEPTION_PAYLOAD.
        Move = 2,
        /// Move; the new vCPU has the host's MAXPHYADDR before anything else of its state is set.
        MoveWide = 3,
        /// Move; the new vCPU has MAXPHYADDR [`NARROW`] before anything else of its state is set.
        MoveNarrow = 4,
        /// Give this vCPU MAXPHYADDR [`NARROW`] by KVM_SET_CPUID2.
        Narrow = 5,
        /// Give this vCPU the host's MAXPHYADDR by KVM_SET_CPUID2.
        Widen = 6,
        /// Move, and give the new vCPU MAXPHYADDR [`NARROW`] when all of its state is set, before
        /// its first KVM_RUN.
        MoveThenNarrow = 7,
        /// Move, and give the new vCPU the host's MAXPHYADDR when all of its state is set, before
        /// its first KVM_RUN.
        MoveThenWiden = 8,
        /// Track writes to memory from now on.
        DirtyLogOn = 9,
        /// Stop tracking writes to memory.
        DirtyLogOff = 10,
        /// Take all memory from the VM and give it back.
        RemoveMemory = 11,
        /// Drop all pages of memory from the VMM's page tables, so that L0 has to find each anew;
        /// their contents stay.
        DropPages = 12,
        /// Complete the instruction by a KVM_RUN that enters no guest (`immediate_exit`), then go
        /// on.
        ImmediateExit = 13,
        /// Debug the guest: KVM_SET_GUEST_DEBUG, with interception of #DB and #BP.
        DebugOn = 14,
        /// Stop debugging the guest.
        DebugOff = 15,
        /// A system-management interrupt, whose handler writes to [`SMI_HANDLED`] and goes back by
        /// RSM.
        Smi = 16,
        /// A non-maskable interrupt.
        Nmi = 17,
        /// An INIT signal, from the local APIC's bus.
        Init = 18,
        /// Signals to the vCPU's thread, one after the other.
        KicksOn = 19,
        /// Signals to the vCPU's thread, one after the other; at the first ones the vCPU moves.
        MovesOn = 20,
        /// Stop these signals.
        KicksOff = 21,
        /// A page fault ([`EVENT_PFEC`] at [`EVENT_ADDRESS`]) that is pending: KVM_SET_VCPU_EVENTS
        /// with payload.
        PendingFault = 22,
        /// A page fault that is being delivered: KVM_SET_VCPU_EVENTS without payload.
        InjectedFault = 23,
        /// [`Ask::PendingFault`], then [`Ask::Move`].
        MovePendingFault = 24,
        /// [`Ask::InjectedFault`], then [`Ask::Move`].
        MoveInjectedFault = 25,
        /// Serve exits to user space by one KVM_RUN each, as usual.
        PlainExits = 26,
        /// After each exit to user space, a KVM_RUN that enters no guest (`immediate_exit`).
        ImmediateExits = 27,
        /// As [`Ask::ImmediateExits`], and a move after each of the first ones.
        MovedExits = 28,
        /// Get ready for [`Ask::LatePages`].
        LatePagesReady = 29,
        /// Take all pages of memory away; each comes back when somebody waits for it (userfaultfd).
        LatePages = 30,
        /// Bring all pages back.
        LatePagesEnd = 31,
        /// Move by the VMM's own migration to a file, and go on in another process of it. Asked for
        /// at [`MOVE_PORT`].
        Migrate = 32,
        /// An external interrupt with vector [`INTERRUPT_VECTOR`] for the local APIC 0:
        /// KVM_SIGNAL_MSI.
        Interrupt = 33,
        /// [`Ask::Interrupt`] and [`Ask::PendingFault`].
        InterruptAndFault = 34,
        /// Make one page of memory read-only for the VM (KVM_MEM_READONLY), as [`read_only`] names
        /// it. What the guest writes there exits to the VMM, which writes it.
        ReadOnlyOn = 35,
        /// Make all memory writable again.
        ReadOnlyOff = 36,
        /// Move to a VM without KVM_CAP_EXCEPTION_PAYLOAD; later moves except [`Ask::Move`] go to
        /// such VMs.
        MoveWithoutPayload = 37,
        /// The same; refused with [`Step::SeeWrite`] if no write has exited to the VMM.
        ReadOnlyEnd = 38,
        /// [`Ask::Migrate`], for which nobody waits: L1 asks, and lets L2 walk until it has
        /// happened.
        MigrateMeanwhile = 39,
        /// Move; the new vCPU has Hyper-V's interface with the enlightened VMCS, see
        /// [`crate::manual::enlightened`]. So have those of later moves.
        Enlighten = 40,
        /// Move; the new vCPU, and those of later moves, do not have it.
        Ordinary = 41,
        /// [`Ask::PendingFault`] and [`Ask::Smi`].
        SmiAndFault = 42,
        /// [`Ask::Nmi`] and [`Ask::Smi`].
        SmiAndNmi = 43,
        /// [`Ask::LatePages`]; whenever somebody waits for a page, an SMI comes as a message to the
        /// local APIC 0, and the page after it.
        LatePagesAndSmi = 44,
        /// [`Ask::MovePendingFault`], and then the system registers are set once more.
        MoveFaultThenRegisters = 45,
        /// [`Ask::LatePages`]; the first times that somebody waits for a page, the guest moves, and
        /// the page comes after that.
        LatePagesAndMoves = 46,
        /// Move; before the nested state is restored, L0 gets malformed ones, each of which it must
        /// refuse.
        MoveMalformed = 47,
        /// Move as soon as L2 is being entered and has executed nothing, as signals to the vCPU's
        /// thread find it. Until then it is refused with [`Step::SeeEntry`], and asked for again;
        /// [`Ask::KicksOff`] gives it up.
        MoveAtEntry = 48,
        /// [`Ask::LatePagesAndMoves`], with more moves: pages of L2's user mode are awaited at some.
        LatePagesAndManyMoves = 49,
        /// Look whether the log of writes, which [`Ask::RearmDirtyLog`] began, has the page that
        /// [`logged`] names, and forget what it has. Refused with [`Step::SeeLogged`] if it has not.
        Logged = 50,
        /// A second vCPU in the same VM, which waits for INIT and SIPI. From then on the guest does
        /// not move.
        SecondProcessor = 64,
    }
}

/// Vector of the external interrupt that the VMM makes.
pub const INTERRUPT_VECTOR: u8 = 0x51;

/// The code's part of what is written to [`PORT`]. The rest is the number of a page.
const CODE_MASK: u32 = 0xff;

/// What is written to [`PORT`] to ask for [`Ask::ReadOnlyOn`] for the page at a physical address
/// below 2^36.
#[must_use]
pub const fn read_only(address: u64) -> u32 {
    of_page(Ask::ReadOnlyOn, address)
}

/// The same for [`Ask::Logged`].
#[must_use]
pub const fn logged(address: u64) -> u32 {
    of_page(Ask::Logged, address)
}

const fn of_page(ask: Ask, address: u64) -> u32 {
    ask.code() | ((address >> 12) as u32) << CODE_MASK.trailing_ones()
}

/// The physical address of the page in what was written to [`PORT`].
#[must_use]
pub const fn page_of(code: u32) -> u64 {
    (code >> CODE_MASK.trailing_ones()) as u64 * 4096
}

/// In what is read from [`MOVE_PORT`]: these bits are [`MOVE_MARK`], the others the move's number.
/// If nobody is there, it reads as ones.
const MOVE_MARK_MASK: u8 = 0xc0;
const MOVE_MARK: u8 = 0x40;

/// What a read of [`MOVE_PORT`] gives after this many moves.
#[must_use]
pub const fn moves(count: u32) -> u8 {
    MOVE_MARK | count as u8 & !MOVE_MARK_MASK
}

/// Whether what was read from [`MOVE_PORT`] is the number of a move.
#[must_use]
pub const fn is_move(byte: u8) -> bool {
    byte & MOVE_MARK_MASK == MOVE_MARK
}

/// Error code of the page fault that the VMM makes: a write of a supervisor, not present.
pub const EVENT_PFEC: Pfec = Pfec::WR;
/// Linear address of the page fault that the VMM makes: nothing is mapped there.
pub const EVENT_ADDRESS: u64 = 0x7f12_3456_7000;

impl Ask {
    /// What is written to [`PORT`].
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// What L1 has L2 ask for: the code, and in bit 32 whether at [`MOVE_PORT`].
    #[must_use]
    pub const fn word(self) -> u64 {
        self as u64 | (matches!(self, Self::Migrate) as u64) << 32
    }

    /// What a code asks for, if this version knows it; [`read_only`] makes codes of its own.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|ask| ask.code() == code & CODE_MASK)
    }
}

crate::listed! {
    /// The part of an [`Ask`] that failed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(u8)]
    pub enum Step {
        /// To do what is asked for at all: the VMM does not know it, or its host does not offer it.
        Know = 1 => "do here what the test asks for",
        /// L0 does not support a guest with a smaller MAXPHYADDR (KVM_CAP_SMALLER_MAXPHYADDR), or
        /// the host's is not above [`NARROW`].
        SmallerMaxphyaddr = 2 => "give the guest a MAXPHYADDR below the host's",
        /// KVM_RUN that is to complete an instruction.
        Run = 3 => "complete the instruction by KVM_RUN",
        /// To make a VM.
        CreateVm = 4 => "make a VM",
        /// KVM_SET_USER_MEMORY_REGION.
        Memory = 5 => "give memory to the VM",
        /// KVM_SET_CPUID2.
        SetCpuid = 6 => "do KVM_SET_CPUID2",
        /// To save the VM's state: interrupt controllers, timer, clock.
        SaveVm = 7 => "save the VM's devices",
        /// To restore the VM's state.
        RestoreVm = 8 => "restore the VM's devices",
        /// To save the vCPU's registers: general, system, MSRs, FPU, debug, local APIC, MP state.
        SaveVcpu = 9 => "save the vCPU's registers",
        /// To restore the vCPU's registers.
        RestoreVcpu = 10 => "restore the vCPU's registers",
        /// KVM_GET_NESTED_STATE.
        SaveNested = 11 => "do KVM_GET_NESTED_STATE",
        /// KVM_SET_NESTED_STATE.
        RestoreNested = 12 => "do KVM_SET_NESTED_STATE",
        /// KVM_GET_VCPU_EVENTS.
        SaveEvents = 13 => "do KVM_GET_VCPU_EVENTS",
        /// KVM_SET_VCPU_EVENTS.
        RestoreEvents = 14 => "do KVM_SET_VCPU_EVENTS",
        /// KVM_GET_MSRS.
        SaveMsrs = 15 => "do KVM_GET_MSRS",
        /// KVM_SET_MSRS.
        RestoreMsrs = 16 => "do KVM_SET_MSRS",
        /// KVM_GET_DIRTY_LOG.
        DirtyLog = 17 => "do KVM_GET_DIRTY_LOG",
        /// madvise(MADV_DONTNEED).
        DropPages = 18 => "do madvise(MADV_DONTNEED)",
        /// KVM_SET_GUEST_DEBUG.
        Debug = 19 => "do KVM_SET_GUEST_DEBUG",
        /// KVM_SMI, or to write its handler.
        Smi = 20 => "do KVM_SMI",
        /// KVM_NMI.
        Nmi = 21 => "do KVM_NMI",
        /// KVM_SIGNAL_MSI.
        Msi = 22 => "do KVM_SIGNAL_MSI",
        /// To signal the vCPU's thread.
        Kick = 23 => "signal the vCPU's thread",
        /// userfaultfd.
        LatePages = 24 => "use userfaultfd",
        /// To see a write to read-only memory.
        SeeWrite = 25 => "see a write to read-only memory",
        /// To find it in L0's interface.
        Offer = 26 => "have L0 do this",
        /// KVM_CAP_HYPERV_ENLIGHTENED_VMCS.
        Enlighten = 27 => "enable KVM_CAP_HYPERV_ENLIGHTENED_VMCS",
        /// To have KVM_SET_NESTED_STATE refuse what is malformed. The mistake's number is in place of
        /// the error's.
        RefuseNested = 28 => "have KVM_SET_NESTED_STATE refuse malformed state",
        /// To find L2 being entered.
        SeeEntry = 29 => "find L2 being entered",
        /// To find a page in the log of writes.
        SeeLogged = 30 => "find the page in the log of writes",
        /// To make a second vCPU and its thread.
        SecondProcessor = 64 => "make a second vCPU",
        /// To move a guest that has a second vCPU.
        MoveTwo = 65 => "move a guest that has two vCPUs",
    }
    /// What was to be done, as the object of "cannot".
    fn what;
}

/// What became of the last [`Ask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is done.
    Done,
    /// It is not done, and everything is as before.
    Refused {
        /// What failed.
        step: Step,
        /// Linux's number of the error, or 0 if no system call failed.
        errno: u8,
    },
    /// No status: nobody answers on the port, or with a word of a newer version.
    Unknown(u32),
}

/// EINVAL, by which KVM says that it does not allow something.
pub const EINVAL: u8 = 22;
/// Marks a refusal, so that all ones and 0 are none.
const REFUSED: u32 = 0x5246_0000;
const REFUSED_MASK: u32 = 0xffff_0000;

impl Status {
    /// The word on [`STATUS_PORT`].
    #[must_use]
    pub const fn word(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::Refused { step, errno } => REFUSED | (step as u32) << 8 | errno as u32,
            Self::Unknown(word) => word,
        }
    }

    /// The status of a word.
    #[must_use]
    pub fn from_word(word: u32) -> Self {
        let step = Step::ALL.into_iter().find(|step| *step as u32 == word >> 8 & 0xff);
        match (word, step) {
            (0, _) => Self::Done,
            (word, Some(step)) if word & REFUSED_MASK == REFUSED => {
                Self::Refused { step, errno: word as u8 }
            }
            _ => Self::Unknown(word),
        }
    }

    /// Whether what was asked for does not exist here, which is no fault of L0.
    #[must_use]
    pub fn is_unknown_here(self) -> bool {
        matches!(self, Self::Refused { step: Step::Know | Step::Offer, .. })
    }

    /// Whether L0 itself refused a change of CPUID, as its documentation allows.
    #[must_use]
    pub fn is_cpuid_refused(self) -> bool {
        self == Self::Refused { step: Step::SetCpuid, errno: EINVAL }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Refused { step: Step::SmallerMaxphyaddr, .. } => {
                f.write_str("needs an L0 that supports a guest MAXPHYADDR below its own, as kvm_intel with allow_smaller_maxphyaddr=1")
            }
            Self::Refused { step: Step::RefuseNested, errno } => {
                write!(f, "KVM_SET_NESTED_STATE takes malformed state, mistake {errno}")
            }
            Self::Refused { step, errno: 0 } => write!(f, "the VMM cannot {}", step.what()),
            Self::Refused { step, errno: EINVAL } => write!(f, "the VMM cannot {}: EINVAL", step.what()),
            Self::Refused { step, errno } => write!(f, "the VMM cannot {}: errno {errno}", step.what()),
            Self::Unknown(word) => write!(f, "the VMM's answer {word:#x} is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ask, EINVAL, Status, Step, is_move, moves, page_of, read_only};
    use std::string::ToString;

    #[test]
    fn codes_and_words_are_read_as_written() {
        for ask in Ask::ALL {
            assert_eq!(Ask::from_code(ask.code()), Some(ask));
        }
        assert_eq!(Ask::from_code(0), None);
        assert_eq!(Ask::from_code(read_only(0x21_7000)), Some(Ask::ReadOnlyOn));
        assert_eq!(page_of(read_only(0x21_7000)), 0x21_7000);
        for step in Step::ALL {
            let status = Status::Refused { step, errno: EINVAL };
            assert_eq!(Status::from_word(status.word()), status);
        }
        assert_eq!(Status::from_word(Status::Done.word()), Status::Done);
        assert_eq!(Status::from_word(u32::MAX), Status::Unknown(u32::MAX));
    }

    #[test]
    fn a_move_changes_what_is_read() {
        for count in 0..200 {
            assert!(is_move(moves(count)));
            assert_ne!(moves(count), moves(count + 1));
        }
        assert!(!is_move(0) && !is_move(u8::MAX));
        assert_eq!((Ask::Migrate.word(), Ask::Move.word()), (1 << 32 | 32, 2));
    }

    #[test]
    fn every_failure_has_a_sentence() {
        for step in Step::ALL {
            let sentence = Status::Refused { step, errno: 4 }.to_string();
            let ends = match step {
                Step::SmallerMaxphyaddr => "allow_smaller_maxphyaddr=1",
                Step::RefuseNested => "mistake 4",
                _ => ": errno 4",
            };
            assert!(sentence.ends_with(ends), "{sentence}");
        }
        let refused = Status::Refused { step: Step::SetCpuid, errno: EINVAL };
        assert!(refused.is_cpuid_refused());
        assert_eq!(refused.to_string(), "the VMM cannot do KVM_SET_CPUID2: EINVAL");
        assert!(!Status::Refused { step: Step::SetCpuid, errno: 12 }.is_cpuid_refused());
    }
}
