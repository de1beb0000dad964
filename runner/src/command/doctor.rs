//! `doctor`: what this machine can run, and how to fix what it cannot. Installs nothing.

use std::fmt::Write;

use crate::debian::setup::{self, Package};
use crate::host;
use crate::output;
use crate::verdict::exit_code::{Exit, Stop};
use crate::vmm::qemu::{Accel, Qemu};
use crate::vmm::{Unavailable, Vmm};

/// Prints one line for each thing that can run or write images.
///
/// # Errors
/// Standard output cannot be written.
pub fn doctor() -> Result<Exit, Stop> {
    let hosts = host::TABLE.map(|kind| (kind.name, (kind.look)()));
    let usable = hosts.iter().any(|(_, found)| found.is_ok());
    let mut text = String::new();
    for (name, found) in hosts {
        line(&mut text, name, &format!("maskmatch run --l0 {name}"), found);
    }
    let boots = Qemu::find(Accel::Tcg)
        .map(|qemu| format!("{}: boots the image, has no VMX", qemu.describe()));
    line(&mut text, "qemu tcg", "maskmatch run --l0 qemu --accel tcg", boots);
    line(&mut text, "iso", "maskmatch image --iso FILE", tools(&[setup::GRUB, setup::ISO]));
    line(&mut text, "disk", "maskmatch image --disk FILE", tools(&[setup::GRUB]));
    let _ = writeln!(
        text,
        "\n{}",
        if usable {
            "this machine can run maskmatch"
        } else {
            "this machine can run nothing of maskmatch yet"
        }
    );
    output::text(&text)?;
    Ok(if usable { Exit::Pass } else { Exit::Nothing })
}

fn line(text: &mut String, name: &str, command: &str, found: Result<String, Unavailable>) {
    let _ = match found {
        Ok(what) => writeln!(text, "yes  {name:9} {what}\n               {command}"),
        Err(Unavailable { why, mend, .. }) if mend.is_empty() => {
            writeln!(text, "no   {name:9} {why}")
        }
        Err(Unavailable { why, mend, .. }) => {
            writeln!(text, "no   {name:9} {why}\n               to fix it: {mend}")
        }
    };
}

fn tools(packages: &[Package]) -> Result<String, Unavailable> {
    let missing: Vec<&Package> = packages.iter().filter(|package| !package.present()).collect();
    if missing.is_empty() {
        return Ok("what it needs is installed".into());
    }
    let purposes: Vec<&str> = missing.iter().map(|package| package.purpose).collect();
    let names: Vec<&str> = missing.iter().flat_map(|package| package.debian).copied().collect();
    Err(Unavailable::new(
        format!("the tools for {} are not installed", purposes.join(" and ")),
        format!("sudo apt-get install --no-install-recommends {}", names.join(" ")),
    ))
}
