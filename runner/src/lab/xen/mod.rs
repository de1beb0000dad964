//! Real Xen inside Bochs: the hypervisor, and a first domain of our own (`lab/dom0`) that builds the
//! guest and is its VMM. There is no Linux, no toolstack and no QEMU.
//!
//! | to find | look in |
//! |---|---|
//! | what has to lie in memory when Xen is entered | [`layout`] |
//! | the ACPI tables that Xen cannot do without | [`acpi`] |
//! | a boot for each of Xen's command lines | [`session`] |

mod acpi;
mod layout;
pub mod session;
