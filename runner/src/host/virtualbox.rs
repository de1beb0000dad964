//! Real VirtualBox on Linux inside Bochs, on each kernel with each set of options.

use spec::catalogue::plan::Profile;

use super::bochs;
use super::kind::{Host, Kind, Takes};
use super::lab::SLOWNESS;
use super::parallel::on_kernels;
use crate::debian;
use crate::interrupt;
use crate::lab::virtualbox::options::{Options, matrix};
use crate::lab::virtualbox::session::{self, Plan, Ready};
use crate::request::Request;
use crate::verdict::result::RunResult;
use crate::vmm::Unavailable;
use crate::vmm::bochs::{Bochs, DefaultModel};
use crate::vmm::process::in_path;

/// The row of the table.
pub const KIND: Kind = Kind {
    name: session::L0,
    title: "VirtualBox in the lab",
    help: "Real VirtualBox on Linux inside Bochs",
    takes: &[Takes::Bochs, Takes::Kernel, Takes::VirtualBox, Takes::Refresh],
    find,
    look,
};

/// What is done inside takes longer than with KVM: VirtualBox emulates each VMX instruction.
const SLOWER: u32 = 3;

struct VirtualBox {
    bochs: Bochs,
    machines: Vec<Options>,
    /// The kernels. One that cannot be had leaves the others.
    kernels: Vec<Result<Ready, Unavailable>>,
}

fn find(request: &Request) -> Result<Box<dyn Host>, Unavailable> {
    let bochs = bochs::chosen(request, DefaultModel::Plain)?;
    let machines = if request.vbox.is_empty() { matrix() } else { request.vbox.clone() };
    let mut kernels = Vec::new();
    for which in request.lab.kernels.iter().take_while(|_| !interrupt::pending()) {
        match session::prepare(request, &bochs, which, &machines) {
            Err(error) if error.is_usage => return Err(error),
            kernel => kernels.push(kernel),
        }
    }
    Ok(Box::new(VirtualBox { bochs, machines, kernels }))
}

impl Host for VirtualBox {
    fn run(&self, request: &Request) -> Vec<RunResult> {
        let profile = request.profile.unwrap_or(Profile::Quick);
        on_kernels(request, profile, &self.kernels, &self.machines, |ready, machines| {
            // A boot runs its machines one after the other.
            let count = u32::try_from(machines.len()).unwrap_or(u32::MAX);
            let slowness = (SLOWNESS * SLOWER).saturating_mul(count);
            let limit = request.limit(profile, slowness);
            let machines = machines.to_vec();
            session::run(&Plan { bochs: &self.bochs, request, profile, machines, limit }, ready)
        })
    }
}

/// It needs Bochs, and VirtualBox: kept from an earlier run, or fetched by Debian's tools.
fn look() -> Result<String, Unavailable> {
    let bochs = bochs::look()?;
    if debian::cache_folder()?.join("virtualbox").is_dir()
        || ["apt-get", "dpkg-deb"].iter().all(|tool| in_path(tool).is_some())
    {
        return Ok(format!("real VirtualBox in {bochs}"));
    }
    Err(Unavailable::new("there is no apt-get to fetch VirtualBox with", ""))
}
