//! Real Xen inside Bochs, each version with each of its command lines.

use std::path::PathBuf;

use spec::catalogue::plan::Profile;

use super::bochs;
use super::kind::{Host, Kind, Takes};
use super::lab::SLOWNESS;
use crate::debian;
use crate::interrupt;
use crate::lab::xen::session::{self, Plan};
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
    find,
    look,
};

struct Xen {
    bochs: Bochs,
}

fn find(request: &Request) -> Result<Box<dyn Host>, Unavailable> {
    Ok(Box::new(Xen { bochs: bochs::chosen(request, DefaultModel::Plain)? }))
}

impl Host for Xen {
    fn run(&self, request: &Request) -> Vec<RunResult> {
        let profile = request.profile.unwrap_or(Profile::Quick);
        let plan =
            Plan { bochs: &self.bochs, request, profile, limit: request.limit(profile, SLOWNESS) };
        let kernels = request.lab.kernels.iter().take_while(|_| !interrupt::pending());
        let results = kernels.map(|which| {
            let (image, options) = obtain(request, which.kernel.as_deref())?;
            session::run(&plan, &image, &options)
        });
        let unavailable = |why: Unavailable| vec![RunResult::unavailable(&why, request.strict)];
        results.flat_map(|results| results.unwrap_or_else(unavailable)).collect()
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
