//! Real VirtualBox on Linux inside Bochs, on each kernel with each set of options.

use spec::catalogue::plan::Profile;

use super::bochs;
use super::cost::Price;
use super::kind::{Host, Kind, Set, Takes};
use super::lab::SLOWNESS;
use super::versions::Versions;
use crate::debian;
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
    profile: Profile::Quick,
    find,
    look,
};

/// What a case costs, in per cent of what it costs on KVM: VirtualBox emulates each VMX instruction.
/// Measured in the standard profile.
const PRICE: u64 = 140;
/// The start of a machine, and what it does by threads, take longer than with KVM.
const SLOWER: u32 = 3;

struct VirtualBox {
    bochs: Bochs,
    /// The kernels, with the machines.
    kernels: Versions<Ready, Options>,
}

fn find(request: &Request) -> Result<Box<dyn Host>, Unavailable> {
    let bochs = bochs::chosen(request, DefaultModel::Plain)?;
    let machines = if request.vbox.is_empty() { matrix() } else { request.vbox.clone() };
    let prepare = |which: &_, machines: &_| session::prepare(request, &bochs, which, machines);
    let kernels = Versions::of_kernels(request, machines, prepare)?;
    Ok(Box::new(VirtualBox { bochs, kernels }))
}

impl Host for VirtualBox {
    fn sets(&self) -> Vec<Set> {
        self.kernels.list(|ready, options| (ready.title(&self.bochs, options), Price::OfKvm(PRICE)))
    }

    fn checksums(&self) -> Vec<u32> {
        self.kernels.checksums(Ready::checksum)
    }

    fn run(&self, request: &Request, sets: &[usize]) -> Vec<RunResult> {
        self.kernels.run(sets, request.strict, |ready, machines| {
            let profile = request.profile.unwrap_or(KIND.profile);
            // A boot runs its machines one after the other.
            let count = u32::try_from(machines.len()).unwrap_or(u32::MAX);
            let limit = request.limit(profile, (SLOWNESS * SLOWER).saturating_mul(count));
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
