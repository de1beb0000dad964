//! What L1 writes to vmcs12: controls, its own state as VM exits load it, and state that its guests
//! share.

use spec::manual::descriptor::{
    DATA, System, TSS_LIMIT, UNUSABLE, access_rights, system_access_rights, with_dpl,
};
use spec::manual::paging::format::Format;
use spec::manual::paging::{Mode, Privilege};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr3, Cr4, Cr4Flags};
use x86_64::registers::model_specific::{Efer, EferFlags};

use crate::machine::boot::{CODE_SELECTOR, DATA_SELECTOR, TSS_SELECTOR};
use crate::machine::exception;
use crate::vmx::controls::Controls;
use crate::vmx::field::Field;
use crate::vmx::operation::Vmx;
use crate::vmx::vmcs::vmwrite;

/// CR0 of a guest with paging, WP aside.
const CR0_BASE: Cr0Flags = Cr0Flags::PROTECTED_MODE_ENABLE
    .union(Cr0Flags::MONITOR_COPROCESSOR)
    .union(Cr0Flags::EXTENSION_TYPE)
    .union(Cr0Flags::NUMERIC_ERROR)
    .union(Cr0Flags::PAGING);
/// CR4 of a guest, paging aside.
const CR4_BASE: Cr4Flags = Cr4Flags::OSFXSR.union(Cr4Flags::OSXMMEXCPT_ENABLE);
const EFER_LONG: EferFlags = EferFlags::LONG_MODE_ENABLE.union(EferFlags::LONG_MODE_ACTIVE);
/// RFLAGS with nothing but the bit that is always 1.
pub const RFLAGS_CLEAR: u64 = 1 << 1;
/// DR7's value at reset.
const DR7: u64 = 0x400;

/// Writes the controls that all of L1's guests have.
pub fn write_controls(controls: &Controls) {
    vmwrite(Field::PinBasedControls, controls.pin_based.into());
    vmwrite(Field::ProcessorBasedControls, controls.processor_based.into());
    if let Some(secondary) = controls.secondary {
        vmwrite(Field::SecondaryControls, secondary.into());
    }
    vmwrite(Field::ExitControls, controls.exit.into());
    vmwrite(Field::EntryControls, controls.entry.into());
    for field in [
        Field::Cr3TargetCount,
        Field::ExitMsrStoreCount,
        Field::ExitMsrLoadCount,
        Field::EntryMsrLoadCount,
        Field::EntryInterruptionInfo,
        Field::Cr0Mask,
        Field::Cr4Mask,
    ] {
        vmwrite(field, 0);
    }
}

/// Writes L1's state as VM exits load it, RSP and RIP aside: they are those of
/// [`crate::vmx::enter`].
pub fn write_host_state() {
    for segment in [Field::HostEs, Field::HostSs, Field::HostDs, Field::HostFs, Field::HostGs] {
        vmwrite(segment, DATA_SELECTOR.into());
    }
    vmwrite(Field::HostCs, CODE_SELECTOR.into());
    vmwrite(Field::HostTr, TSS_SELECTOR.into());
    vmwrite(Field::HostCr0, Cr0::read_raw());
    vmwrite(Field::HostCr3, Cr3::read_raw().0.start_address().as_u64());
    vmwrite(Field::HostCr4, Cr4::read_raw());
    vmwrite(Field::HostEfer, Efer::read_raw());
    for field in [
        Field::HostFsBase,
        Field::HostGsBase,
        Field::HostSysenterCs,
        Field::HostSysenterEsp,
        Field::HostSysenterEip,
    ] {
        vmwrite(field, 0);
    }
    vmwrite(Field::HostTrBase, exception::tss_base());
    vmwrite(Field::HostGdtrBase, x86_64::instructions::tables::sgdt().base.as_u64());
    vmwrite(Field::HostIdtrBase, x86_64::instructions::tables::sidt().base.as_u64());
}

/// Sets the register bits of a paging mode and of a mode, but RFLAGS.AC. SMEP and SMAP are left out
/// where they are not offered.
pub fn write_paging(vmx: &Vmx, format: Format, mode: Mode) {
    let mode = mode.on(vmx.offered());
    let mut cr0 = CR0_BASE;
    cr0.set(Cr0Flags::WRITE_PROTECT, mode.wp);
    let mut cr4 = CR4_BASE;
    cr4.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, mode.smep);
    cr4.set(Cr4Flags::SUPERVISOR_MODE_ACCESS_PREVENTION, mode.smap);
    cr4 |= match format {
        Format::Legacy { pse: false } => Cr4Flags::empty(),
        Format::Legacy { pse: true } => Cr4Flags::PAGE_SIZE_EXTENSION,
        Format::Pae | Format::Level4 => Cr4Flags::PHYSICAL_ADDRESS_EXTENSION,
        Format::Level5 => Cr4Flags::PHYSICAL_ADDRESS_EXTENSION | Cr4Flags::L5_PAGING,
    };
    let mut efer = if format.is_long() { EFER_LONG } else { EferFlags::empty() };
    efer.set(EferFlags::NO_EXECUTE_ENABLE, mode.nxe);
    let (cr0, cr4) = vmx.fixed(cr0.bits(), cr4.bits());
    write_control_registers(cr0, cr4, efer.bits());
}

/// Writes control registers as L2 has them, and as it reads them.
pub fn write_control_registers(cr0: u64, cr4: u64, efer: u64) {
    vmwrite(Field::GuestCr0, cr0);
    vmwrite(Field::GuestCr4, cr4);
    vmwrite(Field::Cr0ReadShadow, cr0);
    vmwrite(Field::Cr4ReadShadow, cr4);
    vmwrite(Field::GuestEfer, efer);
}

/// Writes a guest's state in which nothing is under way: no event, no blocking, no breakpoint, and
/// SYSENTER leads nowhere.
pub fn write_calm_state() {
    for field in [
        Field::GuestDebugctl,
        Field::GuestInterruptibility,
        Field::GuestActivity,
        Field::GuestPendingDebug,
        Field::GuestSysenterCs,
        Field::GuestSysenterEsp,
        Field::GuestSysenterEip,
    ] {
        vmwrite(field, 0);
    }
    vmwrite(Field::GuestDr7, DR7);
    vmwrite(Field::VmcsLinkPointer, u64::MAX);
}

/// The fields of a segment register.
#[derive(Clone, Copy)]
pub struct SegmentFields {
    /// The selector.
    pub selector: Field,
    limit: Field,
    access: Field,
    base: Field,
}

/// What a segment register holds.
#[derive(Clone, Copy)]
pub struct Segment {
    /// The selector.
    pub selector: u64,
    /// The limit in bytes.
    pub limit: u64,
    /// Access rights, see [`access_rights`].
    pub access: u64,
    /// The base.
    pub base: u64,
}

impl Segment {
    /// A segment from 0 to 4 GiB with a descriptor's access rights.
    pub const fn flat(selector: u64, descriptor: u64) -> Self {
        Self { selector, limit: u32::MAX as u64, access: access_rights(descriptor), base: 0 }
    }

    /// A flat data segment for either CPL: its selector must have an RPL of 3.
    pub const fn any_data(selector: u64) -> Self {
        Self::flat(selector, with_dpl(DATA, Privilege::User))
    }

    /// The task-state segment that TR holds, without an I/O permission bitmap.
    pub const fn busy_tss(selector: u64, base: u64) -> Self {
        Self {
            selector,
            limit: TSS_LIMIT as u64,
            access: system_access_rights(System::BusyTss),
            base,
        }
    }

    /// A segment that cannot be used.
    pub const UNUSABLE: Self = Self { selector: 0, limit: 0, access: UNUSABLE, base: 0 };
}

macro_rules! segments {
    ($($name:ident: $selector:ident $limit:ident $access:ident $base:ident)*) => {
        $(
            #[doc = concat!("The fields of ", stringify!($name), ".")]
            pub const $name: SegmentFields = SegmentFields {
                selector: Field::$selector, limit: Field::$limit, access: Field::$access, base: Field::$base
            };
        )*
    };
}

segments! {
    ES: GuestEs GuestEsLimit GuestEsAccess GuestEsBase
    CS: GuestCs GuestCsLimit GuestCsAccess GuestCsBase
    SS: GuestSs GuestSsLimit GuestSsAccess GuestSsBase
    DS: GuestDs GuestDsLimit GuestDsAccess GuestDsBase
    FS: GuestFs GuestFsLimit GuestFsAccess GuestFsBase
    GS: GuestGs GuestGsLimit GuestGsAccess GuestGsBase
    LDTR: GuestLdtr GuestLdtrLimit GuestLdtrAccess GuestLdtrBase
    TR: GuestTr GuestTrLimit GuestTrAccess GuestTrBase
}

/// The registers of data segments but SS.
pub const DATA_SEGMENTS: [SegmentFields; 4] = [ES, DS, FS, GS];

/// Writes what a segment register holds.
pub fn write_segment(fields: SegmentFields, segment: Segment) {
    vmwrite(fields.selector, segment.selector);
    vmwrite(fields.limit, segment.limit);
    vmwrite(fields.access, segment.access);
    vmwrite(fields.base, segment.base);
}

/// Writes GDTR.
pub fn write_gdtr(base: u64, limit: u64) {
    vmwrite(Field::GuestGdtrBase, base);
    vmwrite(Field::GuestGdtrLimit, limit);
}

/// Writes IDTR.
pub fn write_idtr(base: u64, limit: u64) {
    vmwrite(Field::GuestIdtrBase, base);
    vmwrite(Field::GuestIdtrLimit, limit);
}
