//! Which host is tested: the one that was asked for, or the best there is.
//!
//! To add a host: a value of [`cli::L0`](crate::cli::L0), and a line in [`choose`].

use std::fmt::Write;

use spec::deviation::Host;

use crate::cli::{Accel, L0, LabArgs, OnArgs};
use crate::exit_code::Stop;
use crate::lab::known;
use crate::setup::{self, Package};
use crate::vmm::bochs::{Bochs, RICHEST_CPU_MODEL};
use crate::vmm::kvm::host::kernel_release;
use crate::vmm::kvm::{Kvm, KvmOptions};
use crate::vmm::qemu::{self, Qemu};
use crate::vmm::{Unavailable, Vmm};

/// The host that was chosen.
pub struct Chosen {
    /// What boots the image on it.
    pub vmm: Box<dyn Vmm>,
    /// What it is known for.
    pub host: Host,
    /// Options of `run` that choose it again, with a space in front.
    pub options: String,
    /// Why it was chosen, if that was not asked for.
    pub why: Option<String>,
}

/// Refuses options that contradict each other.
///
/// # Errors
/// An option that the host does not have.
pub fn check(on: &OnArgs) -> Result<(), Stop> {
    if on.accel != Accel::default() && on.l0 != L0::Qemu {
        return Err(Stop::usage("--accel chooses what QEMU runs on: add --l0 qemu"));
    }
    if on.cpu.is_some() && !matches!(on.l0, L0::Bochs | L0::Lab | L0::Auto) {
        return Err(Stop::usage("--cpu names a processor of Bochs: add --l0 bochs"));
    }
    if on.lab != LabArgs::default() && on.l0 != L0::Lab {
        return Err(Stop::usage("--kernel, --param, --vmm and their like are the lab's: use `maskmatch lab`"));
    }
    Ok(())
}

/// Finds the host. What is missing on this machine is installed first, where that is permitted.
///
/// # Errors
/// The host cannot be used here.
pub fn choose(on: &OnArgs) -> Result<Chosen, Unavailable> {
    let mut chosen = match on.l0 {
        L0::Auto => automatic(on)?,
        L0::Kvm => kvm()?,
        L0::Qemu => qemu(on.accel)?,
        L0::Bochs => bochs(on.cpu.as_deref())?,
        L0::Lab => return Err(Unavailable::new("the lab has a command of its own", "maskmatch lab")),
    };
    if on.memory != crate::cli::DEFAULT_MEMORY_MIB {
        let _ = write!(chosen.options, " --memory {}", on.memory);
    }
    Ok(chosen)
}

/// Without the lab, which is more than one boot: see [`crate::run`].
fn automatic(on: &OnArgs) -> Result<Chosen, Unavailable> {
    if on.cpu.is_some() {
        return Ok(Chosen { why: Some("--cpu names a processor of Bochs".into()), ..bochs(on.cpu.as_deref())? });
    }
    match kvm() {
        Ok(chosen) => Ok(Chosen { why: Some("this machine's KVM offers nested VMX".into()), ..chosen }),
        Err(Unavailable { why, .. }) => Ok(Chosen { why: Some(why), ..bochs(None)? }),
    }
}

fn kvm() -> Result<Chosen, Unavailable> {
    let vmm = Kvm::open(KvmOptions::default())?;
    let options = format!(" --l0 {}", vmm.id());
    Ok(Chosen { vmm: Box::new(vmm), host: this_kvm(), options, why: None })
}

/// This machine's KVM as known deviations depend on it.
fn this_kvm() -> Host {
    known::kvm(&kernel_release(), |name| {
        let value = std::fs::read_to_string(format!("/sys/module/kvm_intel/parameters/{name}"));
        value.is_ok_and(|value| value.trim() == "Y")
    })
}

/// Bochs, installed if it is missing.
///
/// # Errors
/// It cannot be used here.
pub fn find_bochs(cpu: Option<&str>) -> Result<Bochs, Unavailable> {
    found_or_installed(|| Bochs::find(cpu), setup::BOCHS)
}

fn bochs(cpu: Option<&str>) -> Result<Chosen, Unavailable> {
    let vmm = find_bochs(cpu.or(Some(RICHEST_CPU_MODEL)))?;
    let (major, minor) = vmm.version();
    let cpu = cpu.map(|cpu| format!(" --cpu {cpu}")).unwrap_or_default();
    let options = format!(" --l0 {}{cpu}", vmm.id());
    Ok(Chosen { vmm: Box::new(vmm), host: Host::Bochs { major, minor }, options, why: None })
}

fn qemu(accel: Accel) -> Result<Chosen, Unavailable> {
    let (host, on) = match accel {
        Accel::Kvm => {
            // QEMU need not be installed to find out that KVM is not fit.
            Kvm::open(KvmOptions::default())?;
            (this_kvm(), qemu::Accel::Kvm)
        }
        Accel::Tcg => (Host::Other, qemu::Accel::Tcg),
    };
    let vmm = find_qemu(on)?;
    let options = format!(" --l0 {} --accel {}", vmm.id(), accel.name());
    Ok(Chosen { vmm: Box::new(vmm), host, options, why: None })
}

/// QEMU, installed if it is missing.
///
/// # Errors
/// It cannot be used here.
pub fn find_qemu(accel: qemu::Accel) -> Result<Qemu, Unavailable> {
    found_or_installed(|| Qemu::find(accel), setup::QEMU)
}

/// A tool that works is taken wherever it is; only one that is missing is installed.
fn found_or_installed<T>(find: impl Fn() -> Result<T, Unavailable>, package: Package) -> Result<T, Unavailable> {
    match find() {
        Err(_) if !package.present() => {
            setup::ensure(&[package])?;
            find()
        }
        found => found,
    }
}
