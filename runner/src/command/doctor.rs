//! `doctor`: what this machine can run, and what would mend what it cannot. Installs nothing.

use std::fmt::Write;

use crate::debian;
use crate::debian::setup::{self, Package};
use crate::output;
use crate::verdict::exit_code::{Exit, Stop};
use crate::vmm::bochs::program::Program;
use crate::vmm::bochs::{Bochs, DefaultModel};
use crate::vmm::kvm::{Kvm, KvmOptions};
use crate::vmm::qemu::{Accel, Qemu};
use crate::vmm::{Unavailable, Vmm};

/// Prints one line for each thing that can run or write images.
///
/// # Errors
/// Standard output cannot be written.
pub fn doctor() -> Result<Exit, Stop> {
    let bochs = Bochs::find(Program::installed(), None, DefaultModel::Plain).map(|bochs| bochs.describe());
    let lab = lab(&bochs);
    let hosts = [
        ("kvm", "run --l0 kvm", Kvm::open(KvmOptions::default()).map(|kvm| kvm.describe())),
        ("qemu kvm", "run --l0 qemu", Qemu::find(Accel::Kvm).map(|qemu| qemu.describe())),
        ("lab", "lab", lab),
        ("bochs", "run --l0 bochs", bochs),
    ];
    let usable = hosts.iter().any(|(_, _, found)| found.is_ok());
    let mut text = String::new();
    for (name, command, found) in hosts {
        line(&mut text, name, &format!("maskmatch {command}"), found);
    }
    let boots = Qemu::find(Accel::Tcg).map(|qemu| format!("{}: boots the image, has no VMX", qemu.describe()));
    line(&mut text, "qemu tcg", "maskmatch run --l0 qemu --accel tcg", boots);
    line(&mut text, "iso", "maskmatch image --iso FILE", tools(&setup::ISO));
    let _ = writeln!(
        text,
        "\n{}",
        if usable { "this machine can run maskmatch" } else { "this machine can run nothing of maskmatch yet" }
    );
    output::text(&text)?;
    Ok(if usable { Exit::Pass } else { Exit::Nothing })
}

/// The lab wants Bochs, and a kernel: kept from an earlier run, or fetched by Debian's tools.
fn lab(bochs: &Result<String, Unavailable>) -> Result<String, Unavailable> {
    let bochs = bochs.clone()?;
    let kept = debian::cache_folder()?.join("kernels/names");
    if kept.read_dir().is_ok_and(|mut names| names.next().is_some()) {
        return Ok(format!("real Linux/KVM in {bochs}; a kernel is kept from an earlier run"));
    }
    let in_path = |tool: &str| {
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(tool).exists()))
    };
    if in_path("apt-get") && in_path("dpkg-deb") {
        return Ok(format!("real Linux/KVM in {bochs}; the first run fetches a kernel"));
    }
    Err(Unavailable::new(
        "there is no apt-get to fetch a kernel with",
        "maskmatch lab --kernel-image BZIMAGE --modules DIR",
    ))
}

fn line(text: &mut String, name: &str, command: &str, found: Result<String, Unavailable>) {
    let _ = match found {
        Ok(what) => writeln!(text, "yes  {name:9} {what}\n               {command}"),
        Err(Unavailable { why, mend }) if mend.is_empty() => writeln!(text, "no   {name:9} {why}"),
        Err(Unavailable { why, mend }) => writeln!(text, "no   {name:9} {why}\n               to mend it: {mend}"),
    };
}

fn tools(package: &Package) -> Result<String, Unavailable> {
    if package.present() {
        Ok("GRUB and xorriso are installed".into())
    } else {
        Err(Unavailable::new(
            format!("the tools for {} are not installed", package.purpose),
            format!("sudo apt-get install --no-install-recommends {}", package.debian.join(" ")),
        ))
    }
}
