//! This machine's KVM, by the built-in VMM.

use spec::catalogue::plan::Profile;

use super::boot::OneBoot;
use super::cost::Price;
use super::kind::{Host, Kind};
use crate::request::Request;
use crate::verdict::subject::{Product, Subject};
use crate::vmm::kvm::host::{kernel_release, parameters};
use crate::vmm::kvm::{Kvm, KvmOptions};
use crate::vmm::{Unavailable, Vmm};

/// The row of the table.
pub const KIND: Kind = Kind {
    name: "kvm",
    title: "this machine's KVM",
    help: "This machine's KVM, with the built-in VMM",
    takes: &[],
    profile: Profile::Standard,
    find,
    look: || open().map(|kvm| kvm.describe()),
};

fn find(request: &Request) -> Result<Box<dyn Host>, Unavailable> {
    Ok(Box::new(OneBoot::new(
        open()?,
        subject(),
        " --l0 kvm".into(),
        1,
        Price::OfKvm(100),
        request,
    )?))
}

/// KVM, checked to be fit.
pub fn open() -> Result<Kvm, Unavailable> {
    Kvm::open(KvmOptions::default())
}

/// This machine's KVM, as the rows of known deviations name it.
pub fn subject() -> Subject {
    Subject::host(Product::kvm(&kernel_release(), parameters()))
}
