//! QEMU, on this machine's KVM or on its own emulation, which has no VMX.

use spec::catalogue::plan::Profile;

use super::boot::OneBoot;
use super::cost::Price;
use super::kind::{Host, Kind, Takes};
use super::kvm;
use crate::debian::setup::{QEMU, found_or_installed};
use crate::request::Request;
use crate::verdict::subject::{Family, Product, Subject, version};
use crate::vmm::qemu::{Accel, Qemu};
use crate::vmm::{Unavailable, Vmm};

/// The row of the table.
pub const KIND: Kind = Kind {
    name: "qemu",
    title: "QEMU",
    help: "QEMU, see --accel; `action.migrate*` move the guest by its own migration",
    takes: &[Takes::Accel],
    profile: Profile::Standard,
    find,
    look: || Qemu::find(Accel::Kvm).map(|qemu| qemu.describe()),
};

fn find(request: &Request) -> Result<Box<dyn Host>, Unavailable> {
    if request.accel == Accel::Kvm {
        // QEMU need not be installed to find out that KVM is not fit.
        kvm::open()?;
    }
    let vmm = installed(request.accel)?;
    let subject = match request.accel {
        Accel::Kvm => kvm::subject(),
        Accel::Tcg => Subject::processor(Product::new(Family::Qemu, version(vmm.version()))),
    };
    let options = format!(" --l0 qemu --accel {}", request.accel.name());
    Ok(Box::new(OneBoot::new(vmm, subject, options, 1, Price::OfKvm(100), request)?))
}

/// QEMU, installed if it is missing.
pub fn installed(accel: Accel) -> Result<Qemu, Unavailable> {
    found_or_installed(|| Qemu::find(accel), QEMU)
}
