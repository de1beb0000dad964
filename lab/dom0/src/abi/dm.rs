//! What a guest's device model needs: `hvm/dm_op.h` and `hvm/ioreq.h`.

use super::{Handle, Room};

/// A command about a guest's devices.
pub trait DmOp: Copy {
    /// Its number.
    const OP: u32;
}

/// `struct xen_dm_op`.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Call<T: Copy> {
    /// [`DmOp::OP`].
    pub op: u32,
    /// Zero.
    pub pad: u32,
    /// The command's part.
    pub u: Room<T, 4>,
}

/// `struct xen_dm_op_buf`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Buffer {
    /// Where the [`Call`] is.
    pub h: Handle,
    /// Its bytes.
    pub size: u64,
}

/// `struct xen_dm_op_create_ioreq_server`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct CreateIoreqServer {
    /// Zero: every request is answered at once.
    pub handle_bufioreq: u8,
    /// Zero.
    pub pad: [u8; 3],
    /// Xen writes the server's number.
    pub id: u16,
}

impl DmOp for CreateIoreqServer {
    const OP: u32 = 1;
}

/// `struct xen_dm_op_get_ioreq_server_info`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct GetIoreqServerInfo {
    /// The server's number.
    pub id: u16,
    /// Zero: with the pages.
    pub flags: u16,
    /// Not used.
    pub bufioreq_port: u32,
    /// Xen writes the page of the [`Ioreq`]s.
    pub ioreq_gfn: u64,
    /// Not used.
    pub bufioreq_gfn: u64,
}

impl DmOp for GetIoreqServerInfo {
    const OP: u32 = 2;
}

/// `struct xen_dm_op_ioreq_server_range`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct MapIoRange {
    /// The server's number.
    pub id: u16,
    /// Zero.
    pub pad: u16,
    /// [`PORTS`] or [`MEMORY`].
    pub r#type: u32,
    /// The first.
    pub start: u64,
    /// The last.
    pub end: u64,
}

impl DmOp for MapIoRange {
    const OP: u32 = 3;
}

/// XEN_DMOP_IO_RANGE_PORT.
pub const PORTS: u32 = 0;
/// XEN_DMOP_IO_RANGE_MEMORY.
pub const MEMORY: u32 = 1;

/// `struct xen_dm_op_set_ioreq_server_state`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct SetIoreqServerState {
    /// The server's number.
    pub id: u16,
    /// 1 for on.
    pub enabled: u8,
    /// Zero.
    pub pad: u8,
}

impl DmOp for SetIoreqServerState {
    const OP: u32 = 5;
}

/// `struct xen_dm_op_inject_event`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct InjectEvent {
    /// The vCPU that gets it.
    pub vcpuid: u32,
    /// The vector.
    pub vector: u8,
    /// [`InjectEvent::EXCEPTION`].
    pub r#type: u8,
    /// Zero.
    pub insn_len: u8,
    /// Zero.
    pub pad0: u8,
    /// The error code.
    pub error_code: u32,
    /// Zero.
    pub pad1: u32,
    /// The address of a page fault.
    pub cr2: u64,
}

impl InjectEvent {
    /// XEN_DMOP_EVENT_hw_exc.
    pub const EXCEPTION: u8 = 3;
}

impl DmOp for InjectEvent {
    const OP: u32 = 13;
}

/// `struct xen_dm_op_inject_msi`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct InjectMsi {
    /// The message.
    pub data: u32,
    /// Zero.
    pub pad: u32,
    /// Where it goes.
    pub addr: u64,
}

impl DmOp for InjectMsi {
    const OP: u32 = 14;
}

/// `struct xen_dm_op_relocate_memory`: pages that go elsewhere in the guest's address space.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct RelocateMemory {
    /// How many pages.
    pub size: u32,
    /// Zero.
    pub pad: u32,
    /// Where the first is.
    pub src_gfn: u64,
    /// Where it goes.
    pub dst_gfn: u64,
}

impl DmOp for RelocateMemory {
    const OP: u32 = 17;
}

/// `struct ioreq`: an access of a vCPU to a device.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Ioreq {
    /// Port or physical address.
    pub addr: u64,
    /// The value, or with [`Ioreq::DATA_IS_PTR`] its physical address.
    pub data: u64,
    /// Repetitions.
    pub count: u32,
    /// Bytes of each.
    pub size: u32,
    /// The guest's end of the event channel.
    pub vp_eport: u32,
    /// Zero.
    pub pad0: u16,
    /// `state` in bits 3:0, then the flags below.
    pub bits: u8,
    /// One of the types below.
    pub r#type: u8,
}

impl Ioreq {
    /// The bits of `state`.
    pub const STATE: u8 = 0xf;
    /// STATE_IOREQ_READY: the vCPU waits.
    pub const READY: u8 = 1;
    /// STATE_IOREQ_INPROCESS.
    pub const IN_PROCESS: u8 = 2;
    /// STATE_IORESP_READY: it is answered.
    pub const ANSWERED: u8 = 3;
    /// `data_is_ptr`.
    pub const DATA_IS_PTR: u8 = 1 << 4;
    /// `dir`: IOREQ_READ.
    pub const READ: u8 = 1 << 5;
    /// `df`: addresses count down.
    pub const DOWN: u8 = 1 << 6;
    /// IOREQ_TYPE_PIO.
    pub const PORT: u8 = 0;
    /// IOREQ_TYPE_COPY.
    pub const MEMORY: u8 = 1;
}
