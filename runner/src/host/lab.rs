//! The lab: real Linux/KVM inside Bochs, each kernel with each set of parameters.

use spec::catalogue::plan::Profile;

use super::kind::{Host, Kind, Takes};
use super::parallel::on_kernels;
use super::{bochs, qemu};
use crate::debian;
use crate::interrupt;
use crate::lab::params::{self, ParamSet};
use crate::lab::qemu::{Packed, pack};
use crate::lab::session::{self, Plan, Ready};
use crate::output::remark;
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
    find,
    look,
};

/// Bochs runs nothing but emulated code.
pub(super) const SLOWNESS: u32 = 2;

struct Lab {
    bochs: Bochs,
    /// What boots the image inside, if not the built-in VMM.
    qemu: Option<Packed>,
    /// Parameter sets, in order.
    sets: Vec<ParamSet>,
    /// The kernels. One that cannot be had leaves the others.
    kernels: Vec<Result<Ready, Unavailable>>,
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
    let mut kernels = Vec::new();
    for which in request.lab.kernels.iter().take_while(|_| !interrupt::pending()) {
        match session::prepare(request, &bochs, which, &sets) {
            Err(error) if error.is_usage => return Err(error),
            kernel => kernels.push(kernel),
        }
    }
    Ok(Box::new(Lab { bochs, qemu, sets, kernels }))
}

fn profile(request: &Request) -> Profile {
    request.profile.unwrap_or(Profile::Quick)
}

impl Host for Lab {
    fn run(&self, request: &Request) -> Vec<RunResult> {
        let profile = profile(request);
        let is_single = self.kernels.len() == 1;
        let mut results = on_kernels(request, profile, &self.kernels, &self.sets, |ready, sets| {
            // A boot runs its sets one after the other.
            let slowness = SLOWNESS.saturating_mul(u32::try_from(sets.len()).unwrap_or(u32::MAX));
            let limit = request.limit(profile, slowness);
            let (bochs, qemu, sets) = (&self.bochs, self.qemu.as_ref(), sets.to_vec());
            session::run(&Plan { bochs, qemu, request, profile, sets, limit }, ready)
        });
        if !results.iter().any(RunResult::is_available) {
            // Where nothing ran, one reason is enough.
            results.truncate(1);
        } else if !is_single {
            // The table does not say why.
            results
                .iter()
                .filter(|result| !result.is_available())
                .for_each(|r| remark(&r.judgement.sentence));
        }
        results
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
