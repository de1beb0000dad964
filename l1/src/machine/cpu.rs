//! The processor: what it can, and turning on what L1 needs.
#![allow(unsafe_code, reason = "reads MSRs, writes control registers")]

use core::arch::asm;
use core::arch::x86_64::CpuidResult;
#[cfg(not(test))]
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::fmt;

use spec::manual::paging::format::Format;
use spec::manual::paging::{Maxphyaddr, Mode};
use spec::scene::Feature;
use spec::scene::environment::Environment;
use x86_64::registers::control::{Cr4, Cr4Flags};
#[cfg(not(test))]
use x86_64::registers::model_specific::Msr;
use x86_64::registers::model_specific::{Efer, EferFlags};

#[cfg(test)]
use crate::fake::{__cpuid, __cpuid_count, Msr};
use crate::machine::channel;

const IA32_APIC_BASE: u32 = 0x1b;
const IA32_XAPIC_DISABLE_STATUS: u32 = 0xbd;
const IA32_ARCH_CAPABILITIES: u32 = 0x10a;
/// In IA32_APIC_BASE: the APIC is enabled; the same, and in x2APIC mode.
const APIC_ENABLED: u64 = 1 << 11;
const APIC_MODE: u64 = APIC_ENABLED | 1 << 10;
/// What CPUID.80000008H is taken to say where it does not exist.
const DEFAULT_MAXPHYADDR: Maxphyaddr = 36;

/// What CPUID says of the features that stimuli and settings depend on.
#[expect(clippy::struct_excessive_bools, reason = "each is one bit of CPUID")]
pub struct Cpu {
    vendor: [u8; 12],
    signature: u32,
    hypervisor: Option<[u8; 12]>,
    /// The width of physical addresses in bits.
    pub maxphyaddr: Maxphyaddr,
    vmx: bool,
    apic: bool,
    nx: bool,
    gbyte_pages: bool,
    pse: bool,
    /// CPUID.1:ECX.
    basic_ecx: u32,
    /// CPUID.(7,0):EBX and ECX.
    structured: (u32, u32),
    /// CPUID.(7,0):EDX.
    structured_edx: u32,
}

impl Cpu {
    /// Asks CPUID.
    pub fn identify() -> Self {
        let root = __cpuid(0);
        let basic = __cpuid(1);
        let structured = if root.eax >= 7 {
            __cpuid_count(7, 0)
        } else {
            CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 }
        };
        let extended_max = __cpuid(0x8000_0000).eax;
        let extended = if extended_max >= 0x8000_0001 { __cpuid(0x8000_0001).edx } else { 0 };
        let maxphyaddr = if extended_max >= 0x8000_0008 {
            __cpuid(0x8000_0008).eax as Maxphyaddr
        } else {
            DEFAULT_MAXPHYADDR
        };
        let hypervisor = (basic.ecx >> 31 & 1 == 1).then(|| {
            let leaf = __cpuid(0x4000_0000);
            text([leaf.ebx, leaf.ecx, leaf.edx])
        });
        Self {
            vendor: text([root.ebx, root.edx, root.ecx]),
            signature: basic.eax,
            hypervisor,
            maxphyaddr,
            apic: basic.edx >> 9 & 1 == 1,
            vmx: basic.ecx >> 5 & 1 == 1,
            nx: extended >> 20 & 1 == 1,
            gbyte_pages: extended >> 26 & 1 == 1,
            pse: basic.edx >> 3 & 1 == 1,
            basic_ecx: basic.ecx,
            structured: (structured.ebx, structured.ecx),
            structured_edx: structured.edx,
        }
    }

    /// What the processor lacks for a mode of L2, if anything. SMEP and SMAP it may lack, see
    /// [`Vmx::offered`](crate::vmx::Vmx::offered).
    pub fn lacks(&self, mode: Mode) -> Option<&'static str> {
        (mode.nxe && !self.nx).then_some("the CPU lacks NX (CPUID.80000001H:EDX[20])")
    }

    /// What the processor lacks for an environment, if anything.
    pub fn lacks_environment(&self, environment: &Environment) -> Option<&'static str> {
        let la57 = self.structured.1 >> 16 & 1 == 1;
        match environment.format {
            Format::Legacy { pse: true } if !self.pse => Some("the CPU lacks PSE (CPUID.1:EDX[3])"),
            Format::Level5 if !la57 => Some("the CPU lacks 5-level paging (CPUID.(7,0):ECX[16])"),
            _ => self.lacks(environment.mode),
        }
    }

    /// What the processor lacks for a scene that needs a feature, if anything; VMX and L0 may lack
    /// more.
    pub fn lacks_feature(&self, feature: Feature) -> Option<&'static str> {
        let (ebx, ecx) = self.structured;
        let (has, reason) = match feature {
            Feature::Cmpxchg16b => {
                (self.basic_ecx >> 13 & 1 == 1, "the CPU lacks CMPXCHG16B (CPUID.1:ECX[13])")
            }
            Feature::Xsave => {
                (self.basic_ecx >> 26 & 1 == 1, "the CPU lacks XSAVE (CPUID.1:ECX[26])")
            }
            Feature::Pcid => {
                (self.basic_ecx >> 17 & 1 == 1, "the CPU lacks PCIDs (CPUID.1:ECX[17])")
            }
            Feature::Invpcid | Feature::InvpcidExiting | Feature::InvpcidWithoutExits => {
                (ebx >> 10 & 1 == 1, "the CPU lacks INVPCID (CPUID.(7,0):EBX[10])")
            }
            Feature::Pku => (ecx >> 3 & 1 == 1, "the CPU lacks PKU (CPUID.(7,0):ECX[3])"),
            Feature::Pks => (ecx >> 31 & 1 == 1, "the CPU lacks PKS (CPUID.(7,0):ECX[31])"),
            Feature::ShadowStack => {
                (ecx >> 7 & 1 == 1, "the CPU lacks shadow stacks (CPUID.(7,0):ECX[7])")
            }
            Feature::GbytePages => {
                (self.gbyte_pages, "the CPU lacks 1-GByte pages (CPUID.80000001H:EDX[26])")
            }
            Feature::LocalApic => {
                (self.local_apic().is_some(), "there is no local APIC in xAPIC mode")
            }
            // VMX and L0 have them, or not.
            Feature::ForcedEmulation
            | Feature::DescriptorTableExiting
            | Feature::Cr3WithoutExits
            | Feature::CodeByVector
            | Feature::Moves
            | Feature::ExecuteOnly
            | Feature::Invept
            | Feature::InveptOfAll
            | Feature::AnyInvvpid
            | Feature::Invvpid(_) => (true, ""),
            Feature::Channel => (channel::present(), "needs maskmatch's built-in VMM"),
        };
        (!has).then_some(reason)
    }

    /// Whether the hypervisor that is there has this name.
    pub fn is_under(&self, name: &[u8; 12]) -> bool {
        self.hypervisor.as_ref() == Some(name)
    }

    /// Whether a VMM says that it is there; it gives memory that holds 0.
    pub fn has_hypervisor(&self) -> bool {
        self.hypervisor.is_some()
    }

    /// The physical address of the local APIC's page, if that is in use (not in x2APIC mode, not
    /// off). SDM vol. 3A, "Enabling or Disabling the Local APIC".
    pub fn local_apic(&self) -> Option<u64> {
        if !self.apic {
            return None;
        }
        // SAFETY: CPUID reports an APIC, and a processor with one and long mode has IA32_APIC_BASE;
        // a read has no effect.
        let base = unsafe { Msr::new(IA32_APIC_BASE).read() };
        (base & APIC_MODE == APIC_ENABLED).then_some(base & 0xf_ffff_f000)
    }

    /// Puts the local APIC from x2APIC mode into xAPIC mode, if the processor allows that. Firmware
    /// of machines with many processors leaves it there, and so does a Linux that enters L1 by
    /// kexec. SDM vol. 3A, "x2APIC State Transitions".
    pub fn leave_x2apic(&self) {
        if !self.apic {
            return;
        }
        // SAFETY: for IA32_APIC_BASE as in `local_apic`. CPUID reports IA32_ARCH_CAPABILITIES, and
        // that IA32_XAPIC_DISABLE_STATUS, before they are read. The transitions by the disabled
        // APIC are legal unless that MSR forbids them. L1 uses the APIC only after this.
        unsafe {
            let mut base = Msr::new(IA32_APIC_BASE);
            let mode = base.read();
            let has_capabilities = self.structured_edx >> 29 & 1 == 1;
            let is_locked = has_capabilities
                && Msr::new(IA32_ARCH_CAPABILITIES).read() >> 21 & 1 == 1
                && Msr::new(IA32_XAPIC_DISABLE_STATUS).read() & 1 == 1;
            if mode & APIC_MODE == APIC_MODE && !is_locked {
                base.write(mode & !APIC_MODE);
                base.write(mode & !APIC_MODE | APIC_ENABLED);
            }
        }
    }

    /// Whether the processor has VMX.
    pub fn has_vmx(&self) -> bool {
        self.vmx
    }

    /// Turns on VMX and NX for L1.
    pub fn enable_features(&self) {
        // SAFETY: L1 comes here with VMX only, and CPUID reports the others. None of the bits
        // changes what L1's own accesses do: its page tables have neither XD nor protection keys.
        unsafe {
            Cr4::update(|cr4| *cr4 |= Cr4Flags::VIRTUAL_MACHINE_EXTENSIONS);
            if self.nx {
                Efer::update(|efer| *efer |= EferFlags::NO_EXECUTE_ENABLE);
            }
            // WRPKRU needs it; L1 has no user-mode pages.
            if self.structured.1 >> 3 & 1 == 1 {
                Cr4::update(|cr4| *cr4 |= Cr4Flags::PROTECTION_KEY_USER);
            }
        }
    }
}

/// The time stamp counter. On Bochs it counts instructions.
pub fn tsc() -> u64 {
    // SAFETY: every processor with long mode has RDTSC, and CR4.TSD is 0.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Writes CR2.
pub fn write_cr2(value: u64) {
    // SAFETY: CR2 has no effect on anything. L1's handlers read it after a fault of L1, which
    // writes it anew.
    unsafe { asm!("mov cr2, {0}", in(reg) value, options(nomem, nostack, preserves_flags)) }
}

/// Three registers as twelve characters.
fn text(registers: [u32; 3]) -> [u8; 12] {
    let mut bytes = [0; 12];
    for (chunk, register) in bytes.chunks_exact_mut(4).zip(registers) {
        chunk.copy_from_slice(&register.to_le_bytes());
    }
    bytes
}

/// A name from CPUID as one word.
struct Word<'a>(&'a [u8; 12]);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0.iter().take_while(|&&byte| byte != 0) {
            fmt::Write::write_char(f, if byte.is_ascii_graphic() { byte.into() } else { '?' })?;
        }
        Ok(())
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cpu={} signature={:x} maxphyaddr={}",
            Word(&self.vendor),
            self.signature,
            self.maxphyaddr
        )?;
        match &self.hypervisor {
            Some(name) => write!(f, " hypervisor={}", Word(name)),
            None => f.write_str(" hypervisor=none"),
        }
    }
}

#[cfg(test)]
mod tests;
