//! Event channels, by which Xen and vCPUs call: `event_channel.h`, `sched.h` and `xen.h`.

use super::{DomainId, Handle};

/// EVTCHNOP_bind_interdomain.
pub const BIND_INTERDOMAIN: u64 = 0;
/// EVTCHNOP_bind_virq.
pub const BIND_VIRQ: u64 = 1;
/// EVTCHNOP_close.
pub const CLOSE: u64 = 3;
/// EVTCHNOP_send.
pub const SEND: u64 = 4;
/// VIRQ_DOM_EXC: a domain has shut down.
pub const VIRQ_DOM_EXC: u32 = 3;

/// `struct evtchn_bind_interdomain`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BindInterdomain {
    /// The other domain.
    pub remote_dom: DomainId,
    /// Its end.
    pub remote_port: u32,
    /// Xen writes this domain's end.
    pub local_port: u32,
}

/// `struct evtchn_bind_virq`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BindVirq {
    /// [`VIRQ_DOM_EXC`].
    pub virq: u32,
    /// The vCPU that is called.
    pub vcpu: u32,
    /// Xen writes this domain's end.
    pub port: u32,
}

/// `struct sched_poll`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Poll {
    /// Where the ports are.
    pub ports: Handle,
    /// How many.
    pub nr_ports: u32,
    /// Zero: without a limit.
    pub timeout: u64,
}

/// `struct vcpu_info`, which has 64 bytes.
#[repr(C)]
pub struct VcpuInfo {
    /// An event came.
    pub evtchn_upcall_pending: u8,
    /// Whether it makes no call.
    pub evtchn_upcall_mask: u8,
    /// Which words of [`SharedInfo::evtchn_pending`] have one.
    pub evtchn_pending_sel: u64,
    rest: [u64; 6],
}

/// The beginning of `struct shared_info`.
#[repr(C)]
pub struct SharedInfo {
    /// Of each vCPU.
    pub vcpu_info: [VcpuInfo; 32],
    /// A bit for each event that came.
    pub evtchn_pending: [u64; 64],
}
