//! Making and managing other domains: `domctl.h`; and asking for Xen's CPU policies: `sysctl.h`.

use super::{DomainId, Handle, Room};

/// A command about a domain.
pub trait Domctl: Copy {
    /// Its number.
    const COMMAND: u32;
}

/// `struct xen_domctl`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Call<T: Copy> {
    /// [`Domctl::COMMAND`].
    pub cmd: u32,
    /// See [`super::Version::domctl`].
    pub interface_version: u32,
    /// The domain. Of a new one, Xen writes the number here.
    pub domain: DomainId,
    /// Zero.
    pub pad: [u16; 3],
    /// The command's part.
    pub u: Room<T, 16>,
}

/// `struct xen_domctl_createdomain`. Its end differs by version: [`Tail17`] or [`Tail20`].
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct CreateDomain<T> {
    /// Zero.
    pub ssidref: u32,
    /// A number that tools know the domain by.
    pub handle: [u8; 16],
    /// Flags below.
    pub flags: u32,
    /// Zero.
    pub iommu_opts: u32,
    /// The most vCPUs.
    pub max_vcpus: u32,
    /// The highest event channel.
    pub max_evtchn_port: u32,
    /// Pages that it may lend.
    pub max_grant_frames: i32,
    /// Pages that it may borrow.
    pub max_maptrack_frames: i32,
    /// Version of the grant table.
    pub grant_opts: u32,
    /// The rest.
    pub tail: T,
}

/// The end of [`CreateDomain`] in Xen 4.17.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Tail17 {
    /// Zero.
    pub vmtrace_size: u32,
    /// Zero.
    pub cpupool_id: u32,
    /// The devices that Xen emulates: [`EMULATE_LAPIC`].
    pub emulation_flags: u32,
    /// Zero.
    pub misc_flags: u32,
}

/// The end of [`CreateDomain`] in Xen 4.20.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Tail20 {
    /// Zero.
    pub altp2m_opts: u32,
    /// As before.
    pub tail: Tail17,
}

/// XEN_DOMCTL_CDF_hvm.
pub const HVM: u32 = 1 << 0;
/// XEN_DOMCTL_CDF_hap: EPT.
pub const HAP: u32 = 1 << 1;
/// XEN_DOMCTL_CDF_nested_virt.
pub const NESTED_VIRT: u32 = 1 << 6;
/// XEN_X86_EMU_LAPIC, in `arch-x86/xen.h`.
pub const EMULATE_LAPIC: u32 = 1 << 0;
/// XEN_DOMCTL_GRANT_version(1).
pub const GRANT_VERSION: u32 = 1;

impl<T: Copy> Domctl for CreateDomain<T> {
    const COMMAND: u32 = 1;
}

/// XEN_DOMCTL_destroydomain.
#[derive(Clone, Copy)]
pub struct DestroyDomain;

impl Domctl for DestroyDomain {
    const COMMAND: u32 = 2;
}

/// XEN_DOMCTL_pausedomain.
#[derive(Clone, Copy)]
pub struct PauseDomain;

impl Domctl for PauseDomain {
    const COMMAND: u32 = 3;
}

/// XEN_DOMCTL_unpausedomain.
#[derive(Clone, Copy)]
pub struct UnpauseDomain;

impl Domctl for UnpauseDomain {
    const COMMAND: u32 = 4;
}

/// The beginning of `struct xen_domctl_getdomaininfo`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct DomainInfo {
    /// Its number.
    pub domain: DomainId,
    /// Zero.
    pub pad1: u16,
    /// [`SHUTDOWN`] and [`DYING`], and from bit [`REASON_SHIFT`] on why.
    pub flags: u32,
}

/// XEN_DOMINF_dying.
pub const DYING: u32 = 1 << 0;
/// XEN_DOMINF_shutdown.
pub const SHUTDOWN: u32 = 1 << 2;
/// XEN_DOMINF_shutdownshift.
pub const REASON_SHIFT: u32 = 16;
/// XEN_DOMINF_shutdownmask.
pub const REASON_MASK: u32 = 0xff;
/// SHUTDOWN_reboot, in `sched.h`: after a triple fault.
pub const REASON_REBOOT: u32 = 1;
/// SHUTDOWN_crash: Xen itself gave the domain up.
pub const REASON_CRASH: u32 = 3;

impl Domctl for DomainInfo {
    const COMMAND: u32 = 5;
}

/// `struct xen_domctl_max_mem`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MaxMem {
    /// KiB.
    pub max_memkb: u64,
}

impl Domctl for MaxMem {
    const COMMAND: u32 = 11;
}

/// `struct xen_domctl_max_vcpus`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct MaxVcpus {
    /// How many there are.
    pub max: u32,
}

impl Domctl for MaxVcpus {
    const COMMAND: u32 = 15;
}

/// `struct xen_domctl_shadow_op`, by which Xen logs writes to memory.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct ShadowOp {
    /// One of the operations below.
    pub op: u32,
    /// Zero.
    pub mode: u32,
    /// Zero.
    pub mb: u32,
    /// Zero: the log itself is of no use here.
    pub dirty_bitmap: Handle,
    /// Zero.
    pub pages: u64,
    /// What Xen counted.
    pub stats: [u32; 2],
}

impl ShadowOp {
    /// XEN_DOMCTL_SHADOW_OP_OFF.
    pub const OFF: u32 = 0;
    /// XEN_DOMCTL_SHADOW_OP_ENABLE_LOGDIRTY.
    pub const ENABLE_LOGDIRTY: u32 = 2;
    /// XEN_DOMCTL_SHADOW_OP_CLEAN: writes so far are forgotten.
    pub const CLEAN: u32 = 11;
}

impl Domctl for ShadowOp {
    const COMMAND: u32 = 10;
}

/// `struct xen_domctl_setdebugging`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SetDebugging {
    /// 1 for on.
    pub enable: u8,
}

impl Domctl for SetDebugging {
    const COMMAND: u32 = 18;
}

/// `struct xen_domctl_sendtrigger`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SendTrigger {
    /// [`SendTrigger::NMI`] or [`SendTrigger::INIT`].
    pub trigger: u32,
    /// The vCPU that gets it.
    pub vcpu: u32,
}

impl SendTrigger {
    /// XEN_DOMCTL_SENDTRIGGER_NMI.
    pub const NMI: u32 = 0;
    /// XEN_DOMCTL_SENDTRIGGER_INIT.
    pub const INIT: u32 = 2;
}

impl Domctl for SendTrigger {
    const COMMAND: u32 = 28;
}

/// `struct xen_domctl_hvmcontext` for XEN_DOMCTL_sethvmcontext: records as in [`super::hvm`].
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SetHvmContext {
    /// Bytes of the buffer.
    pub size: u32,
    /// Where it is.
    pub buffer: Handle,
}

impl Domctl for SetHvmContext {
    const COMMAND: u32 = 34;
}

/// `struct xen_domctl_hvmcontext_partial`: one record without its descriptor.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct GetHvmContextPartial {
    /// The record's type.
    pub r#type: u32,
    /// The vCPU.
    pub instance: u32,
    /// Bytes of the buffer.
    pub bufsz: u64,
    /// Where it is.
    pub buffer: Handle,
}

impl Domctl for GetHvmContextPartial {
    const COMMAND: u32 = 55;
}

/// `struct xen_domctl_cpu_policy` for XEN_DOMCTL_set_cpu_policy.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct SetCpuPolicy {
    /// How many leaves.
    pub nr_leaves: u32,
    /// How many MSRs.
    pub nr_msrs: u32,
    /// Where the leaves are.
    pub leaves: Handle,
    /// Where the MSRs are.
    pub msrs: Handle,
    /// What Xen does not take.
    pub err_leaf: u32,
    /// The same.
    pub err_subleaf: u32,
    /// The same.
    pub err_msr: u32,
}

impl Domctl for SetCpuPolicy {
    const COMMAND: u32 = 83;
}

/// `struct xen_domctl_paging_mempool` for XEN_DOMCTL_set_paging_mempool_size.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct SetPagingMempool {
    /// Bytes.
    pub size: u64,
}

impl Domctl for SetPagingMempool {
    const COMMAND: u32 = 86;
}

/// `struct xen_cpuid_leaf`, in `arch-x86/xen.h`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct CpuidLeaf {
    /// EAX of CPUID.
    pub leaf: u32,
    /// ECX of CPUID.
    pub subleaf: u32,
    /// What it gives.
    pub a: u32,
    /// The same.
    pub b: u32,
    /// The same.
    pub c: u32,
    /// The same.
    pub d: u32,
}

/// `struct xen_msr_entry`, in `arch-x86/xen.h`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MsrEntry {
    /// The MSR.
    pub idx: u32,
    /// Zero.
    pub flags: u32,
    /// Its value.
    pub val: u64,
}

/// `struct xen_sysctl` of `sysctl.h` with `struct xen_sysctl_cpu_policy`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Sysctl {
    /// [`GET_CPU_POLICY`].
    pub cmd: u32,
    /// [`super::SYSCTL`].
    pub interface_version: u32,
    /// The command's part.
    pub u: Room<GetCpuPolicy, 16>,
}

/// XEN_SYSCTL_get_cpu_policy.
pub const GET_CPU_POLICY: u32 = 29;
/// XEN_SYSCTL_cpu_policy_hvm_max: all that Xen can give to a guest.
pub const HVM_MAX: u32 = 3;

/// `struct xen_sysctl_cpu_policy`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct GetCpuPolicy {
    /// Which: [`HVM_MAX`].
    pub index: u32,
    /// How many leaves there is room for; Xen writes how many there are.
    pub nr_leaves: u32,
    /// How many MSRs there is room for; Xen writes how many there are.
    pub nr_msrs: u32,
    /// Zero.
    pub rsvd: u32,
    /// Where the leaves go.
    pub leaves: Handle,
    /// Where the MSRs go.
    pub msrs: Handle,
}
