//! The image as a file that some machine boots.
//!
//! | file | firmware | how the image is entered |
//! |---|---|---|
//! | [`efi`] | UEFI | the application carries the image |
//! | [`iso`], [`disk`] | BIOS and UEFI | by GRUB, or by the application |
//! | [`grub`] | BIOS' network boot | by GRUB, which carries the image |
//! | [`kexec`] | a running Linux | by kexec |

pub mod disk;
pub mod efi;
mod fat;
pub mod grub;
pub mod iso;
pub mod kexec;
mod qcow2;
mod vhd;
