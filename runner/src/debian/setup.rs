//! The Debian packages of maskmatch's VMMs, and how they are installed.
//!
//! What is missing is installed, after one line on stderr that says so; as root, or through a
//! `sudo` that asks for no password. `MASKMATCH_NO_INSTALL=1` forbids it. Where it is not possible
//! the error holds the command to paste.

use super::external::complaint;
use crate::vmm::Unavailable;
use crate::vmm::process::{Ended, ask};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Set to 1, it forbids installing anything.
pub const NO_INSTALL: &str = "MASKMATCH_NO_INSTALL";

/// For the longest of apt's runs.
const LIMIT: Duration = Duration::from_mins(10);

/// Something that maskmatch needs from Debian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Package {
    /// What it is for, as the object of "needed for".
    pub purpose: &'static str,
    /// The Debian packages.
    pub debian: &'static [&'static str],
    /// Files that are there when the packages are.
    pub files: &'static [&'static str],
}

/// Bochs. `bochs-term` keeps the graphical display library away; the BIOS packages come as
/// dependencies, and maskmatch reads neither.
pub const BOCHS: Package = Package {
    purpose: "Bochs",
    debian: &["bochs", "bochs-term"],
    files: &["/usr/bin/bochs", "/usr/lib/x86_64-linux-gnu/bochs/plugins/libbx_rfb_gui.so"],
};

/// QEMU.
pub const QEMU: Package = Package {
    purpose: "QEMU",
    debian: &["qemu-system-x86"],
    files: &["/usr/bin/qemu-system-x86_64"],
};

/// What boots the image from a BIOS.
pub const GRUB: Package = Package {
    purpose: "booting from a BIOS",
    debian: &["grub-pc-bin", "grub-common"],
    files: &["/usr/bin/grub-mkimage", "/usr/lib/grub/i386-pc/multiboot2.mod"],
};

/// What makes ISO images.
pub const ISO: Package =
    Package { purpose: "an ISO image", debian: &["xorriso"], files: &["/usr/bin/xorriso"] };

impl Package {
    /// Whether it is there.
    pub fn present(&self) -> bool {
        self.files.iter().all(|file| Path::new(file).exists())
    }
}

/// Makes sure that all packages are there.
///
/// # Errors
/// One is missing and could not be installed.
pub fn ensure(packages: &[Package]) -> Result<(), Unavailable> {
    let missing: Vec<Package> =
        packages.iter().copied().filter(|package| !package.present()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let prefix = plan(&missing, Situation::find())?;
    let names = names(&missing);
    eprintln!(
        "maskmatch: installing Debian package(s) {} for {}",
        names.join(" "),
        purposes(&missing)
    );
    if lists_are_empty() {
        apt_get(prefix, &["update"]).map_err(|why| cannot(&missing, &why))?;
    }
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(&names);
    if apt_get(prefix, &arguments).is_err() {
        // Lists that are too old name files that are gone.
        apt_get(prefix, &["update"])
            .and_then(|()| apt_get(prefix, &arguments))
            .map_err(|why| cannot(&missing, &why))?;
    }
    match missing.iter().find(|package| !package.present()) {
        None => Ok(()),
        Some(package) => Err(cannot(
            &[*package],
            "apt-get succeeded, but the files are not where Debian has them",
        )),
    }
}

/// Takes a tool that works, wherever it is, and installs only one that is missing.
///
/// # Errors
/// It cannot be used, or could not be installed.
pub fn found_or_installed<T>(
    find: impl Fn() -> Result<T, Unavailable>,
    package: Package,
) -> Result<T, Unavailable> {
    match find() {
        Err(_) if !package.present() => {
            ensure(&[package])?;
            find()
        }
        found => found,
    }
}

/// What decides whether something can be installed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Situation {
    forbidden: bool,
    apt: bool,
    access: Access,
}

/// How this user can become root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Root,
    /// By `sudo`, without a password.
    Sudo,
    None,
}

impl Situation {
    fn find() -> Self {
        let forbidden =
            std::env::var_os(NO_INSTALL).is_some_and(|value| !value.is_empty() && value != "0");
        let apt = Path::new("/usr/bin/apt-get").exists();
        let access = if rustix::process::geteuid().is_root() {
            Access::Root
        } else if !forbidden && apt && sudo_without_password() {
            Access::Sudo
        } else {
            Access::None
        };
        Self { forbidden, apt, access }
    }
}

/// What has to stand before `apt-get`, if that can work at all.
fn plan(missing: &[Package], situation: Situation) -> Result<&'static [&'static str], Unavailable> {
    match situation {
        Situation { forbidden: true, .. } => {
            Err(cannot(missing, &format!("{NO_INSTALL} forbids installing it")))
        }
        Situation { apt: false, .. } => Err(cannot(missing, "there is no apt-get here")),
        Situation { access: Access::Root, .. } => Ok(&[]),
        Situation { access: Access::Sudo, .. } => Ok(&["sudo", "-n"]),
        Situation { access: Access::None, .. } => Err(cannot(missing, "only root can install it")),
    }
}

/// Why it stays missing, and the command that would install it.
fn cannot(missing: &[Package], why: &str) -> Unavailable {
    Unavailable::new(
        format!("what is needed for {} is not installed: {why}", purposes(missing)),
        format!("sudo apt-get install --no-install-recommends {}", names(missing).join(" ")),
    )
}

fn names(packages: &[Package]) -> Vec<&'static str> {
    packages.iter().flat_map(|package| package.debian.iter().copied()).collect()
}

fn purposes(packages: &[Package]) -> String {
    packages.iter().map(|package| package.purpose).collect::<Vec<_>>().join(" and ")
}

/// Whether apt has never been updated here, as in a fresh container.
fn lists_are_empty() -> bool {
    let files = fs::read_dir("/var/lib/apt/lists").into_iter().flatten().flatten();
    !files.into_iter().any(|file| file.file_name().to_string_lossy().contains("_Packages"))
}

fn sudo_without_password() -> bool {
    ask(Command::new("sudo").args(["-n", "true"]), Duration::from_secs(20))
        .is_ok_and(|said| said.is_success())
}

/// Runs apt-get; on failure says its last error.
fn apt_get(prefix: &[&str], arguments: &[&str]) -> Result<(), String> {
    // `env`, since sudo drops the caller's environment.
    let words: Vec<&str> = prefix
        .iter()
        .copied()
        .chain([
            "env",
            "DEBIAN_FRONTEND=noninteractive",
            "LC_ALL=C",
            "apt-get",
            "-o",
            "DPkg::Lock::Timeout=300",
        ])
        .chain(arguments.iter().copied())
        .collect();
    let what = arguments.first().unwrap_or(&"");
    let said = ask(Command::new(words[0]).args(&words[1..]), LIMIT)
        .map_err(|error| format!("apt-get {what} could not be started: {error}"))?;
    if said.is_success() {
        return Ok(());
    }
    (said.out.clone() + &said.err.text())
        .lines()
        .for_each(|line| eprintln!("maskmatch: apt-get: {line}"));
    Err(match said.ended {
        Ended::Exited(_) => format!("apt-get {what} failed: {}", complaint(&said)),
        _ => format!("apt-get {what} took longer than {} minutes", LIMIT.as_secs() / 60),
    })
}

#[cfg(test)]
mod tests {
    use super::{Access, BOCHS, ISO, NO_INSTALL, Package, Situation, ensure, plan};

    const ABLE: Situation = Situation { forbidden: false, apt: true, access: Access::Root };

    #[test]
    fn root_needs_no_sudo_and_others_do() {
        assert_eq!(plan(&[BOCHS], ABLE).unwrap(), &[] as &[&str]);
        assert_eq!(
            plan(&[BOCHS], Situation { access: Access::Sudo, ..ABLE }).unwrap(),
            &["sudo", "-n"]
        );
    }

    #[test]
    fn what_is_impossible_comes_with_the_command_to_paste() {
        let refused = |situation| plan(&[BOCHS, ISO], situation).unwrap_err();
        let error = refused(Situation { forbidden: true, ..ABLE });
        assert!(error.why.contains(NO_INSTALL) && error.why.contains("Bochs and an ISO image"));
        assert_eq!(
            error.mend,
            "sudo apt-get install --no-install-recommends bochs bochs-term xorriso"
        );
        assert!(refused(Situation { apt: false, ..ABLE }).why.contains("no apt-get"));
        assert!(refused(Situation { access: Access::None, ..ABLE }).why.contains("only root"));
    }

    #[test]
    fn what_is_there_is_not_installed() {
        assert!(
            ensure(&[Package { purpose: "nothing", debian: &["no-such-package"], files: &["/"] }])
                .is_ok()
        );
    }
}
