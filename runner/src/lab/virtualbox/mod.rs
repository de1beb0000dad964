//! Real VirtualBox inside Bochs: Debian's VirtualBox on Debian's Linux, by VirtualBox's VMM and its
//! kernel module. A program of our own (`lab/vbox`) gives the VMM a machine and starts it; the
//! programs that users know, with windows and services, are left out.
//!
//! | to find | look in |
//! |---|---|
//! | what a machine may be asked to differ in | [`options`] |
//! | the machine as the VMM has it | [`machine`] |
//! | what of Debian's packages goes into the initramfs | [`files`] |
//! | a boot with all machines | [`session`] |
//! | what process 1 does inside | [`inside`], with [`job`] |

pub mod files;
pub mod inside;
pub mod job;
mod machine;
pub mod options;
pub mod session;
