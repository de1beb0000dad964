//! Serves a guest: it is the ioreq server of the guest's ports and device page, and notices when
//! the domain shuts down.

#![allow(unsafe_code, reason = "pages that Xen writes")]

use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};

use dom0::abi::Errno;
use dom0::abi::dm::{
    CreateIoreqServer, GetIoreqServerInfo, Ioreq, MEMORY, MapIoRange, PORTS, SetIoreqServerState,
};
use dom0::abi::domctl::{
    DYING, DomainInfo, REASON_CRASH, REASON_MASK, REASON_REBOOT, REASON_SHIFT, SHUTDOWN,
    UnpauseDomain,
};
use dom0::abi::event::{
    BIND_INTERDOMAIN, BIND_VIRQ, BindInterdomain, BindVirq, CLOSE, SEND, SharedInfo, VIRQ_DOM_EXC,
};
use dom0::abi::memory::{IOREQ_SERVER_PFN, NR_IOREQ_SERVER_PAGES};
use dom0::ports::{Devices, Effect, SHUTDOWN_PORT};
use spec::channel::{DEVICE_PAGE, LINE, MOVE_PORT, PORT};

use crate::guest::{Failed, Guest, VCPUS};
use crate::hypercall::{dm, event, poll, populate, set_param};
use crate::memory::{IOREQS, PAGE, SHARED};
use crate::report;

/// The guest's page of ioreqs, far from its memory.
const IOREQ_PAGE: u64 = 0xfeff8;
/// Ports of the channel.
const CHANNEL: (u64, u64) = (MOVE_PORT as u64, PORT as u64 + 0x1f);

/// How a guest ended.
pub enum End {
    /// It powered off.
    PoweredOff,
    /// Its domain died.
    Died(&'static str),
}

/// Serves one guest.
pub struct Server {
    guest: Guest,
    devices: Devices,
    /// This domain's ends of the event channels: of each vCPU, and of domains that shut down.
    channels: [u32; VCPUS as usize + 1],
    /// Results of groups in the log so far.
    pub results: usize,
    /// The log is at the start of a line.
    line_begins: bool,
}

impl Server {
    /// Gets ready to serve a guest that does not run yet; `deaths` is the event channel of
    /// [`watch_deaths`].
    pub fn of(guest: Guest, deaths: u32) -> Result<Self, Failed> {
        let at = Failed::at;
        let domain = guest.domain;
        populate(domain, &mut [IOREQ_PAGE], 0).map_err(at("give a page for ioreqs"))?;
        set_param(domain, IOREQ_SERVER_PFN, IOREQ_PAGE).map_err(at("set the page for ioreqs"))?;
        set_param(domain, NR_IOREQ_SERVER_PAGES, 1)
            .map_err(at("set the number of pages for ioreqs"))?;
        let id = dm(domain, CreateIoreqServer::default()).map_err(at("make an ioreq server"))?.id;
        for (kind, start, end) in [
            (PORTS, CHANNEL.0, CHANNEL.1),
            (PORTS, SHUTDOWN_PORT.into(), SHUTDOWN_PORT.into()),
            (MEMORY, DEVICE_PAGE, DEVICE_PAGE + PAGE - 1),
        ] {
            let range = MapIoRange { id, pad: 0, r#type: kind, start, end };
            dm(domain, range).map_err(at("serve ports and the device page"))?;
        }
        let info = dm(domain, GetIoreqServerInfo { id, ..<_>::default() })
            .map_err(at("find the page of ioreqs"))?;
        IOREQS.show_foreign(domain, info.ioreq_gfn).map_err(at("map the page of ioreqs"))?;
        let on = SetIoreqServerState { id, enabled: 1, pad: 0 };
        dm(domain, on).map_err(at("turn the ioreq server on"))?;
        let mut channels = [deaths; VCPUS as usize + 1];
        for (vcpu, channel) in (0..VCPUS as usize).zip(&mut channels) {
            let remote_port = read(vcpu).vp_eport;
            let mut bind = BindInterdomain { remote_dom: domain, remote_port, local_port: 0 };
            event(BIND_INTERDOMAIN, &mut bind).map_err(at("bind a vCPU's event channel"))?;
            *channel = bind.local_port;
        }
        Ok(Self { guest, devices: Devices::default(), channels, results: 0, line_begins: true })
    }

    /// Runs the guest to its end.
    pub fn run(&mut self) -> Result<End, Failed> {
        let at = Failed::at;
        let Guest { control, domain, .. } = self.guest;
        control.domctl(domain, UnpauseDomain).map_err(at("start the guest"))?;
        loop {
            poll(&mut self.channels).map_err(at("wait for events"))?;
            acknowledge();
            for vcpu in 0..VCPUS as usize {
                take(self.channels[vcpu]);
                if self.serve(vcpu).map_err(at("serve a vCPU"))? {
                    return Ok(End::PoweredOff);
                }
            }
            if take(self.channels[VCPUS as usize]) {
                let (_, info) = control
                    .domctl(domain, DomainInfo::default())
                    .map_err(at("look at the guest"))?;
                if info.flags & (SHUTDOWN | DYING) != 0 {
                    return Ok(End::Died(reason(info.flags)));
                }
            }
        }
    }

    /// Answers a vCPU's request, if it has one. Returns whether the guest powered off.
    fn serve(&mut self, vcpu: usize) -> Result<bool, Errno> {
        let request = read(vcpu);
        if request.bits & Ioreq::STATE != Ioreq::READY {
            return Ok(false);
        }
        set_state(vcpu, &request, Ioreq::IN_PROCESS);
        let mut is_off = false;
        for index in 0..u64::from(request.count) {
            is_off |= self.access(vcpu, &request, index)?;
        }
        set_state(vcpu, &request, Ioreq::ANSWERED);
        event(SEND, &mut self.channels[vcpu].clone())?;
        Ok(is_off)
    }

    /// One access of a request, which string instructions repeat.
    fn access(&mut self, vcpu: usize, request: &Ioreq, index: u64) -> Result<bool, Errno> {
        let size = request.size.min(8) as usize;
        let step = index * size as u64;
        let moved = |base: u64| {
            if request.bits & Ioreq::DOWN == 0 {
                base.wrapping_add(step)
            } else {
                base.wrapping_sub(step)
            }
        };
        let is_pointer = request.bits & Ioreq::DATA_IS_PTR != 0;
        // Repeated I/O stays at its port.
        let is_port = request.r#type == Ioreq::PORT;
        let address = if is_port { request.addr } else { moved(request.addr) };
        if request.bits & Ioreq::READ != 0 {
            let value = if is_port {
                self.devices.input(address as u16)
            } else {
                self.devices.load(address)
            };
            if is_pointer {
                self.guest.memory.write(moved(request.data), &value.to_le_bytes()[..size])?;
            } else {
                answer(vcpu, value & u64::MAX >> (64 - 8 * size));
            }
            return Ok(false);
        }
        let mut bytes = request.data.to_le_bytes();
        if is_pointer {
            self.guest.memory.read(moved(request.data), &mut bytes[..size])?;
        }
        let value = u64::from_le_bytes(bytes);
        if !is_port {
            self.devices.store(address, value, size);
            return Ok(false);
        }
        match self.devices.output(address as u16, value as u32) {
            Effect::None => {}
            Effect::PowerOff => return Ok(true),
            Effect::Line(address) => self.log(address.into())?,
            Effect::Ask(code) => self.devices.status = self.guest.act(code),
        }
        Ok(false)
    }

    /// Passes on a piece of the log from the guest's memory.
    fn log(&mut self, address: u64) -> Result<(), Errno> {
        let (mut length, mut line) = ([0; 4], [0; LINE]);
        self.guest.memory.read(address, &mut length)?;
        let line = &mut line[..(u32::from_le_bytes(length) as usize).min(LINE)];
        self.guest.memory.read(address + 4, line)?;
        for part in line.split_inclusive(|byte| *byte == b'\n') {
            let is_result = part.starts_with(b"ok ") || part.starts_with(b"not ok ");
            self.results += usize::from(self.line_begins && is_result);
            self.line_begins = part.ends_with(b"\n");
        }
        report::log(line);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for channel in &mut self.channels[..VCPUS as usize] {
            let _ = event(CLOSE, channel);
        }
        let _ = IOREQS.hide();
    }
}

/// Asks to be told when a domain shuts down.
pub fn watch_deaths() -> Result<u32, Errno> {
    let mut bind = BindVirq { virq: VIRQ_DOM_EXC, vcpu: 0, port: 0 };
    event(BIND_VIRQ, &mut bind).map(|()| bind.port)
}

/// Why a domain shut down.
fn reason(flags: u32) -> &'static str {
    match flags >> REASON_SHIFT & REASON_MASK {
        REASON_REBOOT => "the guest died of a triple fault",
        REASON_CRASH => "Xen crashed the guest's domain",
        _ => "the guest's domain shut down",
    }
}

/// A vCPU's request.
fn read(vcpu: usize) -> Ioreq {
    // SAFETY: the page of ioreqs is shown there from before the first vCPU runs until the server is
    // gone, and has one for each vCPU. Xen does not write a request that is to be served.
    let request = unsafe { ptr::read_volatile(IOREQS.at::<Ioreq>().add(vcpu)) };
    // What the guest wrote before it is visible from here on.
    fence(Ordering::Acquire);
    request
}

/// Sets the value that a vCPU waits for.
fn answer(vcpu: usize, value: u64) {
    // SAFETY: as in `read`; Xen reads it when the state says that it is there.
    unsafe { ptr::write_volatile(&raw mut (*IOREQS.at::<Ioreq>().add(vcpu)).data, value) }
}

fn set_state(vcpu: usize, request: &Ioreq, state: u8) {
    // SAFETY: as in `read`; the byte is accessed as a whole.
    let bits = unsafe { AtomicU8::from_ptr(&raw mut (*IOREQS.at::<Ioreq>().add(vcpu)).bits) };
    bits.store(request.bits & !Ioreq::STATE | state, Ordering::Release);
}

/// Clears what says that any event is pending.
fn acknowledge() {
    let shared = SHARED.at::<SharedInfo>();
    // SAFETY: Xen's shared information is shown there since the start; Xen writes it as atomic words.
    let (pending, selector) = unsafe {
        let info = &raw mut (*shared).vcpu_info[0];
        (
            AtomicU8::from_ptr(&raw mut (*info).evtchn_upcall_pending),
            AtomicU64::from_ptr(&raw mut (*info).evtchn_pending_sel),
        )
    };
    pending.store(0, Ordering::SeqCst);
    selector.store(0, Ordering::SeqCst);
}

/// Takes an event, if it is pending.
fn take(channel: u32) -> bool {
    let (word, bit) = (channel as usize / 64, 1 << (channel % 64));
    // SAFETY: as in `acknowledge`; a channel's number is below 64 * 64.
    let pending =
        unsafe { AtomicU64::from_ptr(&raw mut (*SHARED.at::<SharedInfo>()).evtchn_pending[word]) };
    pending.fetch_and(!bit, Ordering::SeqCst) & bit != 0
}
