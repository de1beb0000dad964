//! Real Xen inside Bochs, each version with each of its command lines.

use std::path::PathBuf;

use spec::catalogue::plan::Profile;

use super::bochs;
use super::cost::Price;
use super::kind::{Host, Kind, Set, Takes};
use super::lab::SLOWNESS;
use super::versions::Versions;
use crate::debian;
use crate::interrupt;
use crate::lab::xen::session::{self, Plan, Ready};
use crate::output::remark;
use crate::request::Request;
use crate::verdict::result::RunResult;
use crate::vmm::Unavailable;
use crate::vmm::bochs::{Bochs, DefaultModel};
use crate::vmm::process::{in_path, quote};

/// The row of the table.
pub const KIND: Kind = Kind {
    name: session::L0,
    title: "Xen in the lab",
    help: "Real Xen inside Bochs",
    takes: &[Takes::Bochs, Takes::Kernel, Takes::Xen, Takes::Refresh],
    profile: Profile::Quick,
    find,
    look,
};

/// A fault costs less than on KVM: 4,200 instructions in place of 21,000.
const PER_CENT_OF_KVM: u64 = 20;

struct Xen {
    bochs: Bochs,
    /// The versions, with the command lines.
    versions: Versions<Ready, String>,
}

fn find(request: &Request) -> Result<Box<dyn Host>, Unavailable> {
    let bochs = bochs::chosen(request, DefaultModel::Plain)?;
    let kernels = request.lab.kernels.iter().take_while(|_| !interrupt::pending());
    let versions = kernels.map(|which| {
        let (image, options) = obtain(request, which.kernel.as_deref())?;
        session::prepare(&image, options)
    });
    let given = &request.xen.options;
    let sets =
        if given.is_empty() { session::MATRIX.map(String::from).into() } else { given.clone() };
    Ok(Box::new(Xen { bochs, versions: Versions { versions: versions.collect(), sets } }))
}

impl Host for Xen {
    fn sets(&self) -> Vec<Set> {
        let price = Price::OfKvm(PER_CENT_OF_KVM);
        let all = self.versions.list(|ready, line| (ready.title(&self.bochs, line), price));
        // Each command line has a boot of its own.
        all.into_iter().enumerate().map(|(boot, set)| Set { boot, ..set }).collect()
    }

    fn checksums(&self) -> Vec<u32> {
        self.versions.checksums(Ready::checksum)
    }

    fn run(&self, request: &Request, sets: &[usize]) -> Vec<RunResult> {
        let profile = request.profile.unwrap_or(KIND.profile);
        let plan =
            Plan { bochs: &self.bochs, request, profile, limit: request.limit(profile, SLOWNESS) };
        self.versions.run(sets, request.strict, |ready, lines| {
            let unavailable = |why| RunResult::unavailable(&why, request.strict);
            let boot =
                |line: String| session::boot(&plan, ready, &line).unwrap_or_else(unavailable);
            lines.into_iter().map(boot).collect()
        })
    }
}

/// The hypervisor's file, and the options that choose it again, with a space before each.
fn obtain(request: &Request, name: Option<&str>) -> Result<(PathBuf, String), Unavailable> {
    if let Some(image) = &request.xen.image {
        return Ok((image.clone(), format!(" --xen-image {}", quote(&image.to_string_lossy()))));
    }
    let own = || debian::own_suite();
    let name = name.map_or_else(own, |name| Ok(name.into()))?;
    let cache = debian::cache_folder()?;
    let image =
        debian::xen::obtain(&name, request.bochs.refresh, &cache, &mut |stage| remark(stage))?;
    Ok((image, format!(" --kernel {name}")))
}

/// It needs Bochs, and a hypervisor: kept from an earlier run, or fetched by Debian's tools.
fn look() -> Result<String, Unavailable> {
    let bochs = bochs::look()?;
    if debian::cache_folder()?.join("xen").is_dir()
        || ["apt-get", "dpkg-deb"].iter().all(|tool| in_path(tool).is_some())
    {
        return Ok(format!("real Xen in {bochs}"));
    }
    Err(Unavailable::new(
        "there is no apt-get to fetch Xen with",
        "maskmatch lab --host xen --xen-image FILE",
    ))
}
