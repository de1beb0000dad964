//! The lab: real Linux/KVM inside Bochs; [`xen`] is real Xen inside Bochs, [`virtualbox`] real
//! VirtualBox on Linux inside Bochs.
//!
//! A stock Debian kernel boots from memory. Its initramfs holds this very executable as `/init`. As
//! process 1 it loads `kvm_intel` once for each [`params::ParamSet`], has the built-in KVM VMM run
//! the test image under it, and sends what happened through port 0xe9 as frames.
//!
//! Outside (on the user's machine), in this order: [`kernel`] (which kernel; [`crate::debian`]
//! fetches it), [`vmlinux`] (what to put where in memory), [`modules`], [`initramfs`], [`cmdline`],
//! [`boot_params`], and last [`frame::Decoder`] on what Bochs prints. Inside, as process 1:
//! [`init`], with [`port`] and [`kmsg`]. [`job`] is what the outside asks of the inside.

pub mod boot_params;
pub mod cmdline;
pub mod collect;
pub mod decompress;
pub mod frame;
pub mod init;
pub mod initramfs;
pub mod inside;
pub mod job;
pub mod kernel;
pub mod kmod;
pub mod kmsg;
pub mod libraries;
pub mod linux;
pub mod message;
pub mod modules;
pub mod params;
pub mod port;
pub mod qemu;
pub mod session;
pub mod virtualbox;
pub mod vmlinux;
pub mod xen;
