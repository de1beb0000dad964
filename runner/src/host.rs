//! Which host is tested: the one that was asked for, or the best there is.
//!
//! To add a host: a value of [`cli::L0`](crate::cli::L0), and a line in [`choose`].

use std::fmt::Write;
use std::path::Path;

use spec::deviation::Host;

use crate::cli::{Accel, L0, LabArgs, OnArgs};
use crate::debian;
use crate::debian::setup::{self, Package};
use crate::lab::known;
use crate::output::remark;
use crate::verdict::exit_code::Stop;
use crate::vmm::bochs::program::Program;
use crate::vmm::bochs::{Bochs, DefaultModel};
use crate::vmm::kvm::host::kernel_release;
use crate::vmm::kvm::{Kvm, KvmOptions};
use crate::vmm::process::quote;
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
    let in_bochs = matches!(on.l0, L0::Bochs | L0::Lab | L0::Auto);
    if on.cpu.is_some() && !in_bochs {
        return Err(Stop::usage("--cpu names a processor of Bochs: add --l0 bochs"));
    }
    if on.bochs.is_some() && !in_bochs {
        return Err(Stop::usage("--bochs names another Bochs: add --l0 bochs"));
    }
    if on.refresh && on.bochs.is_none() && !matches!(on.l0, L0::Lab | L0::Auto) {
        return Err(Stop::usage("--refresh is for the lab's kernel and for --bochs: add one of them"));
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
        L0::Bochs => bochs(on)?,
        L0::Lab => return Err(Unavailable::new("the lab has a command of its own", "maskmatch lab")),
    };
    if on.memory != crate::cli::DEFAULT_MEMORY_MIB {
        let _ = write!(chosen.options, " --memory {}", on.memory);
    }
    Ok(chosen)
}

/// Without the lab, which is more than one boot: see [`crate::command::run`].
fn automatic(on: &OnArgs) -> Result<Chosen, Unavailable> {
    if on.names_bochs() {
        return Ok(Chosen { why: Some("--cpu and --bochs are of Bochs".into()), ..bochs(on)? });
    }
    match kvm() {
        Ok(chosen) => Ok(Chosen { why: Some("this machine's KVM offers nested VMX".into()), ..chosen }),
        Err(Unavailable { why, .. }) => Ok(Chosen { why: Some(why), ..bochs(on)? }),
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

/// Bochs: that which the options name, or the installed one, installed if it is missing.
///
/// # Errors
/// It cannot be used here.
pub fn find_bochs(on: &OnArgs, or: DefaultModel) -> Result<Bochs, Unavailable> {
    let cpu = on.cpu.as_deref();
    let find = |program| Bochs::find(program, cpu, or);
    match on.bochs.as_deref() {
        None => found_or_installed(|| find(Program::installed()), setup::BOCHS),
        Some(path) if path.contains('/') => find(Program::in_file(Path::new(path))),
        Some(suite) => {
            let cache = debian::cache_folder()?;
            let root = debian::bochs::obtain(suite, on.refresh, &cache, &mut |stage| remark(stage))?;
            find(Program::below(&root))
        }
    }
}

/// Options that choose the same Bochs again, with a space in front of each.
pub fn bochs_options(on: &OnArgs) -> String {
    let bochs = on.bochs.as_ref().map(|bochs| format!(" --bochs {}", quote(bochs))).unwrap_or_default();
    let cpu = on.cpu.as_ref().map(|cpu| format!(" --cpu {cpu}")).unwrap_or_default();
    bochs + &cpu
}

fn bochs(on: &OnArgs) -> Result<Chosen, Unavailable> {
    let vmm = find_bochs(on, DefaultModel::Richest)?;
    let (major, minor) = vmm.version();
    let options = format!(" --l0 {}{}", vmm.id(), bochs_options(on));
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
