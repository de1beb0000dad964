//! A guest's state as records: `hvm/save.h` and `arch-x86/hvm/save.h`.

/// A record's contents.
pub trait Record {
    /// Its type.
    const CODE: u16;
}

/// `struct hvm_save_descriptor`, which goes before each record.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Descriptor {
    /// [`Record::CODE`].
    pub typecode: u16,
    /// The vCPU.
    pub instance: u16,
    /// Bytes after this.
    pub length: u32,
}

/// A record with its descriptor.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Described<T> {
    descriptor: Descriptor,
    record: T,
}

/// What Xen takes as a guest's state: a header, one record, an end.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct State<T> {
    header: Described<Header>,
    record: Described<T>,
    end: Descriptor,
}

impl<T: Record> State<T> {
    /// A vCPU's record, for a Xen on the processor with this CPUID.1:EAX.
    pub fn new(instance: u16, record: T, cpuid: u32) -> Self {
        Self {
            header: described(
                0,
                Header { magic: MAGIC, version: 1, changeset: 0, cpuid, gtsc_khz: 0 },
            ),
            record: described(instance, record),
            end: Descriptor { typecode: END, instance: 0, length: 0 },
        }
    }
}

fn described<T: Record>(instance: u16, record: T) -> Described<T> {
    Described {
        descriptor: Descriptor { typecode: T::CODE, instance, length: size_of::<T>() as u32 },
        record,
    }
}

/// HVM_FILE_MAGIC.
const MAGIC: u32 = 0x5438_1286;
/// The code of the last descriptor.
const END: u16 = 0;

/// `struct hvm_save_header`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Header {
    /// HVM_FILE_MAGIC.
    pub magic: u32,
    /// HVM_FILE_VERSION.
    pub version: u32,
    /// Which Xen saved it.
    pub changeset: u64,
    /// CPUID.1:EAX.
    pub cpuid: u32,
    /// Zero: the TSC keeps its frequency.
    pub gtsc_khz: u32,
}

impl Record for Header {
    const CODE: u16 = 1;
}

/// `struct hvm_hw_cpu`. What the header names one by one is in arrays here: general registers from
/// RAX to RDI and RSP to R15, debug registers 0 to 3, 6 and 7, and of segments CS, DS, ES, FS, GS, SS, TR, LDTR.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Cpu {
    /// As FXSAVE has it.
    pub fpu_regs: [u8; 512],
    /// RAX, RBX, RCX, RDX, RBP, RSI, RDI, RSP, R8 to R15.
    pub rax: [u64; 16],
    /// RIP.
    pub rip: u64,
    /// RFLAGS.
    pub rflags: u64,
    /// CR0.
    pub cr0: u64,
    /// CR2, CR3 and CR4.
    pub cr2: [u64; 3],
    /// DR0 to DR3.
    pub dr0: [u64; 4],
    /// DR6.
    pub dr6: u64,
    /// DR7.
    pub dr7: u64,
    /// Selectors.
    pub cs_sel: [u32; SEGMENTS],
    /// Limits; after them those of IDTR and GDTR.
    pub cs_limit: [u32; SEGMENTS + 2],
    /// Bases; after them those of IDTR and GDTR.
    pub cs_base: [u64; SEGMENTS + 2],
    /// Access rights.
    pub cs_arbytes: [u32; SEGMENTS],
    /// SYSENTER's, SWAPGS', and SYSCALL's MSRs, IA32_EFER, IA32_TSC_AUX.
    pub sysenter_cs: [u64; 11],
    /// The time stamp counter.
    pub tsc: u64,
    /// No event is pending.
    pub pending_event: u32,
    /// Its error code.
    pub error_code: u32,
    /// Whether `fpu_regs` counts.
    pub flags: u32,
    /// Zero.
    pub pad0: u32,
}

/// How many segment registers a [`Cpu`] has.
const SEGMENTS: usize = 8;

impl Record for Cpu {
    const CODE: u16 = 2;
}

/// CR0.PE and CR0.ET.
const CR0: u64 = 1 << 4 | 1;
/// DR6 and DR7 after reset.
const DR6: u64 = 0xffff_0ff0;
const DR7: u64 = 0x400;
/// Flat segments of 32 bits: read and execute, read and write; and a busy TSS. As in an Xen VMCB: the
/// low byte, then the high four bits of a descriptor's rights.
const CODE: u32 = 0xc9b;
const DATA: u32 = 0xc93;
const TSS: u32 = 0x8b;
const TSS_LIMIT: u32 = 0x67;

impl Cpu {
    /// A vCPU that enters a PVH image: 32-bit protected mode without paging, flat segments, EBX at
    /// the start information (`arch-x86/hvm/start_info.h`).
    #[must_use]
    pub fn pvh(entry: u32, start_info: u64) -> Self {
        let mut rax = [0; 16];
        rax[1] = start_info;
        let mut cs_limit = [u32::MAX; SEGMENTS + 2];
        cs_limit[6..].copy_from_slice(&[TSS_LIMIT, 0, 0, 0]);
        Self {
            fpu_regs: [0; 512],
            rax,
            rip: entry.into(),
            rflags: 2,
            cr0: CR0,
            cr2: [0; 3],
            dr0: [0; 4],
            dr6: DR6,
            dr7: DR7,
            cs_sel: [0; SEGMENTS],
            cs_limit,
            cs_base: [0; SEGMENTS + 2],
            cs_arbytes: [CODE, DATA, DATA, DATA, DATA, DATA, TSS, 0],
            sysenter_cs: [0; 11],
            tsc: 0,
            pending_event: 0,
            error_code: 0,
            flags: 0,
            pad0: 0,
        }
    }
}

/// `struct hvm_hw_lapic_regs`: the local APIC's page.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct LapicRegs {
    /// Its registers.
    pub data: [u32; 256],
}

impl Record for LapicRegs {
    const CODE: u16 = 6;
}

impl LapicRegs {
    /// The same with another APIC ID.
    #[must_use]
    pub fn with_id(mut self, id: u8) -> Self {
        self.data[0x20 / 4] = u32::from(id) << 24;
        self
    }
}

/// XEN_ELFNOTE_PHYS32_ENTRY, in `elfnote.h`.
pub const PHYS32_ENTRY: u32 = 18;
