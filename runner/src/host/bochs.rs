//! Bochs: a processor in place of a host, on any machine.

use std::path::Path;

use spec::catalogue::plan::Profile;

use super::boot::OneBoot;
use super::cost::Price;
use super::kind::{Host, Kind, Takes};
use crate::debian;
use crate::debian::setup::{BOCHS, found_or_installed};
use crate::output::remark;
use crate::request::Request;
use crate::verdict::subject::Subject;
use crate::vmm::bochs::program::Program;
use crate::vmm::bochs::{Bochs, DefaultModel};
use crate::vmm::{Unavailable, Vmm};

/// The row of the table.
pub const KIND: Kind = Kind {
    name: "bochs",
    title: "Bochs",
    help: "The Bochs emulator: a processor in place of a host",
    takes: &[Takes::Bochs],
    profile: Profile::Standard,
    find,
    look,
};

fn find(request: &Request) -> Result<Box<dyn Host>, Unavailable> {
    let vmm = chosen(request, DefaultModel::Richest)?;
    let subject = Subject::processor(vmm.product());
    let options = format!(" --l0 bochs{}", request.bochs.options());
    // It runs nothing but emulated code.
    Ok(Box::new(OneBoot::new(vmm, subject, options, 2, Price::Bochs, request)?))
}

/// What this machine has of it.
pub fn look() -> Result<String, Unavailable> {
    Bochs::find(Program::installed(), None, DefaultModel::Plain).map(|bochs| bochs.describe())
}

/// The Bochs that is asked for, or else the installed one. It is installed if it is missing.
pub fn chosen(request: &Request, or: DefaultModel) -> Result<Bochs, Unavailable> {
    let find = |program| Bochs::find(program, request.bochs.cpu.as_deref(), or);
    match request.bochs.program.as_deref() {
        None => found_or_installed(|| find(Program::installed()), BOCHS),
        Some(path) if path.contains('/') => {
            let mend = "give --bochs the path of a Bochs with its debugger, or a suite like sid";
            find(Program::in_file(Path::new(path)))
                .map_err(|error| Unavailable::usage(error.why, mend))
        }
        Some(suite) => {
            let cache = debian::cache_folder()?;
            let root = debian::bochs::obtain(suite, request.bochs.refresh, &cache, &mut |stage| {
                remark(stage);
            })?;
            find(Program::below(&root))
        }
    }
}
