//! Process 1 of the lab: loads `kvm_intel` with each parameter set and has the set run. What is done
//! with VirtualBox is in [`virtualbox::inside`].
//!
//! On entry: the kernel has unpacked the initramfs of [`super::initramfs`] and executed `/init`,
//! which is this very executable. Nothing is mounted. File descriptors 0 to 2 are /dev/console,
//! which nobody reads. Everything that happens goes out as [`Message`]s. On exit, whatever
//! happened, the machine is powered off or the kernel has panicked.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, delete_module, finit_module, reboot};

use super::frame::MAX_PAYLOAD;
use super::inside;
use super::job::{self, Job, KvmJob};
use super::kmsg::{self, Kmsg};
use super::message::{self, Message};
use super::modules::{KVM, KVM_INTEL};
use super::params::{ParamSet, quirk};
use super::port::{self, Sender};
use super::virtualbox;
use crate::vmm::kvm::host::parameters;

/// The file systems that init mounts.
const MOUNTS: &[(&str, &str)] =
    &[("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/tmp")];
/// How often and how long to wait for a module that is still in use. A VM's memory is freed with a
/// delay.
const UNLOAD_TRIES: usize = 200;
const UNLOAD_PAUSE: Duration = Duration::from_millis(5);
/// The guest's serial bytes are sent line by line, or in pieces of this size.
const SERIAL_PIECE: usize = 4096;

/// Whether this process is the lab's init.
pub fn is_init() -> bool {
    process::id() == 1 && Path::new(job::PATH).exists()
}

/// Does the job, whatever it takes, and powers off.
pub fn run() -> ! {
    // Without access to the ports there is no way to report anything. The runner outside sees that
    // nothing came.
    let Ok(sender) = Sender::open() else { stop() };
    let sender = Arc::new(sender);
    report_panics(&sender);
    let last = match work(&sender) {
        Ok(()) => Message::Done,
        Err(why) => Message::Error(why),
    };
    sender.send(&last);
    port::power_off(&sender);
    stop()
}

/// A panic aborts the process and with it the kernel, so it is reported first.
fn report_panics(sender: &Arc<Sender>) {
    let sender = Arc::clone(sender);
    std::panic::set_hook(Box::new(move |panic| {
        sender.send_last(&Message::Error(format!("init: {panic}")));
        port::power_off(&sender);
        stop()
    }));
}

/// The end on a machine that does not know Bochs' port.
fn stop() -> ! {
    loop {
        let _ = reboot(RebootCommand::PowerOff);
        thread::sleep(Duration::from_secs(1));
    }
}

fn work(sender: &Arc<Sender>) -> Result<(), String> {
    let stage = |text: &str| sender.send(&Message::Stage(text.into()));
    stage("init");
    for (kind, target) in MOUNTS {
        mount(*kind, *target, *kind, MountFlags::empty(), None)
            .map_err(|error| format!("{target} is not mounted: {error}"))?;
    }
    stage("mounted");
    let job = fs::read(job::PATH).map_err(|error| error.to_string());
    let job: Job = job
        .and_then(|json| serde_json::from_slice(&json).map_err(|error| error.to_string()))
        .map_err(|error| format!("{} is unreadable: {error}", job::PATH))?;
    let kmsg = Arc::new(Kmsg::open().map_err(|error| format!("/dev/kmsg does not open: {error}"))?);
    watch(&kmsg, sender);
    match job {
        Job::Kvm(job) => kvm(&job, &kmsg, sender),
        Job::VirtualBox(job) => virtualbox::inside::run(&job, sender, &|| drain(&kmsg, sender)),
    }
}

/// Runs all sets on KVM.
fn kvm(job: &KvmJob, kmsg: &Kmsg, sender: &Sender) -> Result<(), String> {
    for module in &job.modules {
        load(module, quirk(module_of(module)))
            .map_err(|error| format!("{module} does not load: {error}"))?;
    }
    sender.send(&Message::Stage(message::KVM_LOADED.into()));
    for set in &job.sets {
        let end = one_set(job, set, sender);
        drain(kmsg, sender);
        sender.send(&end);
    }
    Ok(())
}

/// Loads, runs and unloads; returns the message that ends the set.
fn one_set(job: &KvmJob, set: &ParamSet, sender: &Sender) -> Message {
    let name = set.to_string();
    let end = |failure| Message::End { set: set.to_string(), failure };
    if let Some(why) = set.unknown_to(&job.known_params) {
        return Message::Skip { set: name, why };
    }
    let of_kvm: Vec<_> = set.of(KVM).map(|(name, value)| format!("{name}={value}")).collect();
    // Part of the kernel, it has them from the command line.
    let kvm = job.modules.iter().find(|path| module_of(path) == KVM);
    let Some(kvm) = kvm.filter(|_| !of_kvm.is_empty()) else {
        return with_kvm_intel(job, set, sender);
    };
    let of_kvm = of_kvm.join(" ");
    if let Err(error) = reload_kvm(kvm, &of_kvm) {
        return end(Some(format!("kvm does not load with {of_kvm}: {error}")));
    }
    let outcome = with_kvm_intel(job, set, sender);
    match reload_kvm(kvm, "") {
        Ok(()) => outcome,
        Err(error) => end(Some(format!("kvm does not load again: {error}"))),
    }
}

/// Loads `kvm` anew, with these parameters beside those that it always has.
fn reload_kvm(path: &str, parameters: &str) -> io::Result<()> {
    unload(KVM)?;
    load(path, &format!("{} {parameters}", quirk(KVM)))
}

/// Loads `kvm_intel`, runs the image and unloads. If it is part of the kernel, it is there.
fn with_kvm_intel(job: &KvmJob, set: &ParamSet, sender: &Sender) -> Message {
    let name = set.to_string();
    let end = |failure| Message::End { set: set.to_string(), failure };
    let line = set.module_line(&job.always);
    if let Some(path) = &job.kvm_intel
        && let Err(error) = load(path, &line)
    {
        return end(Some(format!("kvm_intel does not load with {line}: {error}")));
    }
    let mut effective = parameters();
    for (name, _) in set.of(KVM) {
        let value = fs::read_to_string(format!("/sys/module/{KVM}/parameters/{name}"));
        effective.extend(value.map(|value| (format!("{KVM}.{name}"), value.trim().to_string())));
    }
    let outcome = if let Some(why) = set.refused_by(&effective) {
        Message::Skip { set: name, why }
    } else {
        sender.send(&Message::Begin { set: name, effective: effective.clone() });
        let mut serial = Serial::new(sender);
        let result = inside::boot(&job.guest, set, effective, &mut |bytes| serial.take(bytes));
        serial.flush();
        end(result.err())
    };
    match job.kvm_intel.as_ref().map_or(Ok(()), |_| unload(KVM_INTEL)) {
        Ok(()) => outcome,
        Err(error) => end(Some(format!("kvm_intel does not unload: {error}"))),
    }
}

/// Gathers the guest's bytes into lines, because a frame adds 25 bytes.
pub(super) struct Serial<'a> {
    sender: &'a Sender,
    line: Vec<u8>,
}

impl<'a> Serial<'a> {
    /// No bytes yet.
    pub(super) fn new(sender: &'a Sender) -> Self {
        Self { sender, line: Vec::new() }
    }

    /// Takes the guest's next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.line.extend_from_slice(bytes);
        if self.line.len() >= SERIAL_PIECE.min(MAX_PAYLOAD) || bytes.contains(&b'\n') {
            self.flush();
        }
    }

    /// Sends what is left.
    pub(super) fn flush(&mut self) {
        if !self.line.is_empty() {
            self.sender.send(&Message::Serial(std::mem::take(&mut self.line)));
        }
    }
}

/// Passes the kernel's log on as it comes, so that it arrives even if the set never ends.
fn watch(kmsg: &Arc<Kmsg>, sender: &Arc<Sender>) {
    let (kmsg, sender) = (Arc::clone(kmsg), Arc::clone(sender));
    thread::spawn(move || {
        while kmsg.wait().is_ok() {
            drain(&kmsg, &sender);
        }
    });
}

/// An oops kills the thread that it strikes, here the vCPU's. Nobody would end the set, so it ends
/// the lab.
fn drain(kmsg: &Kmsg, sender: &Sender) {
    let mut oops = false;
    kmsg.drain(&mut |line| {
        oops |= kmsg::is_oops(&line);
        sender.send(&Message::Kmsg(line));
    });
    if oops {
        sender.send(&Message::Error("L0's kernel died of an oops".into()));
        port::power_off(sender);
        stop()
    }
}

/// The name of the module in a file.
fn module_of(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.split('.').next().unwrap_or(name)
}

/// Loads a module.
pub(super) fn load(path: &str, parameters: &str) -> io::Result<()> {
    let parameters = std::ffi::CString::new(parameters)?;
    Ok(finit_module(File::open(path)?, &parameters, 0)?)
}

/// Removes a module, and waits for its last user to be gone.
fn unload(name: &str) -> io::Result<()> {
    let name = std::ffi::CString::new(name)?;
    let mut tries = 0;
    loop {
        match delete_module(&name, libc::O_NONBLOCK) {
            Ok(()) => return Ok(()),
            Err(error) if tries == UNLOAD_TRIES => return Err(error.into()),
            Err(_) => thread::sleep(UNLOAD_PAUSE),
        }
        tries += 1;
    }
}
