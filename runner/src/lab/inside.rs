//! What process 1 of the lab does under each parameter set: the built-in KVM VMM, or QEMU, runs the
//! test image.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use spec::catalogue::options::Options;

use super::job::Guest;
use super::params::ParamSet;
use crate::payload;
use crate::request::{cmdline_on, processors};
use crate::verdict::subject::{Product, Subject};
use crate::vmm::kvm::host::kernel_release;
use crate::vmm::kvm::{Kvm, KvmOptions};
use crate::vmm::qemu::Qemu;
use crate::vmm::{Boot, End, Flow, Unavailable, Vmm};

/// The guest's clock runs slower than the user's, and only the user's time limit counts.
const LIMIT: Duration = Duration::from_hours(24);

/// Boots the image on a KVM that was asked for `set` and has the parameters `effective` in force.
///
/// # Errors
/// Why the run did not come to its end.
pub fn boot(
    guest: &Guest,
    set: &ParamSet,
    effective: BTreeMap<String, String>,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<(), String> {
    let Guest { cmdline, asks, memory_mib, processor, qemu } = guest;
    let host = Product::kvm(&kernel_release(), effective);
    let subject = Subject { processor: Some(processor.clone()), host: Some(host) };
    let cmdline =
        cmdline_on(cmdline, asks, &subject).map_err(|unavailable| unavailable.to_string())?;
    let processors = Options::parse(&cmdline).map_or(1, |options| processors(&options));
    let vmm = vmm(qemu.as_ref(), set.guest_maxphyaddr())
        .map_err(|unavailable| unavailable.to_string())?;
    let boot = Boot {
        elf: payload::L1_ELF,
        cmdline: &cmdline,
        memory_mib: *memory_mib,
        processors,
        limit: LIMIT,
        verbose: false,
    };
    let mut pass_on = |bytes: &[u8]| {
        sink(bytes);
        Flow::Continue
    };
    match vmm.run(&boot, &mut pass_on).map_err(|unavailable| unavailable.to_string())?.end {
        End::PoweredOff | End::Stopped => Ok(()),
        End::Crashed(how) => Err(how),
        End::TimedOut(limit) => Err(format!("the time limit of {} s was reached", limit.as_secs())),
    }
}

/// What runs the image: the QEMU at this path, or the built-in VMM.
fn vmm(qemu: Option<&String>, guest_maxphyaddr: Option<u8>) -> Result<Box<dyn Vmm>, Unavailable> {
    match qemu {
        Some(program) => Ok(Box::new(Qemu::at(PathBuf::from(program), guest_maxphyaddr)?)),
        None => Ok(Box::new(Kvm::open(KvmOptions { guest_maxphyaddr, ..KvmOptions::default() })?)),
    }
}
