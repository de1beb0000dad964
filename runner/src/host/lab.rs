//! The lab: real Linux/KVM inside Bochs, each kernel with each set of parameters.

use spec::catalogue::plan::Profile;

use super::cost::Price;
use super::kind::{Host, Kind, Set, Takes};
use super::versions::Versions;
use super::{bochs, qemu};
use crate::debian;
use crate::lab::params::{self, ParamSet};
use crate::lab::qemu::{Packed, pack};
use crate::lab::session::{self, Plan, Ready};
use crate::request::{LabVmm, Request};
use crate::verdict::result::RunResult;
use crate::vmm::Unavailable;
use crate::vmm::bochs::{Bochs, DefaultModel};
use crate::vmm::process::in_path;
use crate::vmm::qemu::Accel;

/// The row of the table.
pub const KIND: Kind = Kind {
    name: session::L0,
    title: "the lab",
    help: "Real Linux/KVM inside Bochs",
    takes: &[Takes::Bochs, Takes::Kernel, Takes::Lab, Takes::Refresh],
    profile: Profile::Quick,
    find,
    look,
};

/// Bochs runs nothing but emulated code.
pub(super) const SLOWNESS: u32 = 2;

struct Lab {
    bochs: Bochs,
    /// What boots the image inside, if not the built-in VMM.
    qemu: Option<Packed>,
    /// The kernels, with the parameter sets.
    kernels: Versions<Ready, ParamSet>,
}

fn find(request: &Request) -> Result<Box<dyn Host>, Unavailable> {
    let bochs = bochs::chosen(request, DefaultModel::Plain)?;
    let qemu = match request.lab.vmm {
        LabVmm::Kvm => None,
        // Here it only has to start: the KVM is inside.
        LabVmm::Qemu => Some(pack(&qemu::installed(Accel::Tcg)?)?),
    };
    let mut sets = request.lab.sets.clone();
    if sets.is_empty() {
        sets = params::matrix(profile(request) == Profile::Exhaustive);
    }
    let prepare = |which: &_, sets: &_| session::prepare(request, &bochs, which, sets);
    let kernels = Versions::of_kernels(request, sets, prepare)?;
    Ok(Box::new(Lab { bochs, qemu, kernels }))
}

fn profile(request: &Request) -> Profile {
    request.profile.unwrap_or(KIND.profile)
}

impl Host for Lab {
    fn sets(&self) -> Vec<Set> {
        self.kernels.list(|ready, set| {
            let name = ready.title(&self.bochs, self.qemu.as_ref(), set);
            (name, Price::OfKvm(percent(set)))
        })
    }

    fn checksums(&self) -> Vec<u32> {
        self.kernels.checksums(Ready::checksum)
    }

    fn run(&self, request: &Request, sets: &[usize]) -> Vec<RunResult> {
        self.kernels.run(sets, request.strict, |ready, sets| {
            let profile = profile(request);
            // A boot runs its sets one after the other.
            let slowness = SLOWNESS.saturating_mul(u32::try_from(sets.len()).unwrap_or(u32::MAX));
            let limit = request.limit(profile, slowness);
            let (bochs, qemu) = (&self.bochs, self.qemu.as_ref());
            session::run(&Plan { bochs, qemu, request, profile, sets, limit }, ready)
        })
    }
}

/// What a case costs with a set, in per cent of ept=1: in the standard profile on Linux 6.1.
fn percent(set: &ParamSet) -> u64 {
    let is =
        |name: &str, value: &str| set.values().iter().any(|(own, of)| own == name && of == value);
    match () {
        () if is("ept", "0") || is("allow_smaller_maxphyaddr", "1") => 128,
        () if is("enable_shadow_vmcs", "0") => 150,
        () => 100,
    }
}

/// The lab needs Bochs, and a kernel: kept from an earlier run, or fetched by Debian's tools.
fn look() -> Result<String, Unavailable> {
    let bochs = bochs::look()?;
    let kept = debian::cache_folder()?.join("kernels/names");
    if kept.read_dir().is_ok_and(|mut names| names.next().is_some()) {
        return Ok(format!("real Linux/KVM in {bochs}; a kernel is kept from an earlier run"));
    }
    if ["apt-get", "dpkg-deb"].iter().all(|tool| in_path(tool).is_some()) {
        return Ok(format!("real Linux/KVM in {bochs}; the first run fetches a kernel"));
    }
    Err(Unavailable::new(
        "there is no apt-get to fetch a kernel with",
        "maskmatch lab --kernel-image BZIMAGE --modules DIR",
    ))
}
