//! What comes from Debian's archive without being installed: kernels, Xen and VirtualBox for the lab,
//! and Bochs of another suite.
//!
//! The machine's own apt says where the archive is; [`apt`] keeps an index of one suite in a folder
//! of ours. Everything is below the cache folder and needs no root.

pub mod apt;
pub mod bochs;
mod external;
pub mod kernel;
pub mod setup;
pub mod sums;
mod trust;
pub mod vboxdrv;
pub mod virtualbox;
pub mod xen;

use std::env;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::Duration;

use crate::interrupt;
use crate::vmm::Unavailable;

/// What unpacking a package may take.
const UNPACK_LIMIT: Duration = Duration::from_mins(2);
/// How often to look at a lock that another run holds.
const POLL: Duration = Duration::from_millis(100);
/// The suite without a release.
const NEWEST: &str = "sid";

/// The cache folder: `$XDG_CACHE_HOME/maskmatch`, or `~/.cache/maskmatch`.
///
/// # Errors
/// Neither variable is set.
pub fn cache_folder() -> Result<PathBuf, Unavailable> {
    let absolute =
        |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("maskmatch")).ok_or_else(|| {
        Unavailable::new(
            "there is no folder to keep Debian's packages in: neither XDG_CACHE_HOME nor HOME is set",
            "set XDG_CACHE_HOME to a folder that can be written to",
        )
    })
}

/// The code name in /etc/os-release.
///
/// # Errors
/// This is not Debian.
pub fn own_suite() -> Result<String, Unavailable> {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_string())
    };
    // Unstable and testing have no code name of their own before they are released.
    let codename = || value("VERSION_CODENAME").unwrap_or_else(|| NEWEST.into());
    value("ID").filter(|id| id == "debian").map(|_| codename()).ok_or_else(|| {
        Unavailable::new(
            "packages are taken from Debian's archive, and this machine is not a Debian",
            "name files of your own: --kernel-image and --modules, or --bochs FILE",
        )
    })
}

/// Whether text can be a suite's or a version's name, and so a folder's.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.~".contains(&byte))
}

/// A folder that is gone when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    /// Names one below `folder` that no other process uses. It need not exist.
    fn below(folder: &Path) -> Self {
        Self(folder.join(format!(".part{}", process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in the cache and harms no one.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Waits until no other run works below a folder, and keeps others away until the result is
/// dropped.
fn lock(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    let file = File::create(folder.join("lock"))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if interrupt::pending() => {
                return Err(io::ErrorKind::Interrupted.into());
            }
            Err(TryLockError::WouldBlock) => thread::sleep(POLL),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Unpacks a package's file into a folder.
fn unpack(deb: &Path, root: &Path) -> Result<(), Unavailable> {
    let mut command = Command::new("dpkg-deb");
    command.arg("-x").arg(deb).arg(root);
    external::run(command, UNPACK_LIMIT).map(drop)
}

/// Moves a finished folder to its place, and removes what was there.
fn put(done: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        fs::remove_dir_all(folder)?;
    }
    fs::rename(done, folder)
}

/// Why something is not put below a folder.
fn not_put(folder: &Path, error: &io::Error) -> Unavailable {
    Unavailable::new(
        format!("nothing can be put below {}: {error}", folder.display()),
        "check the folder's free space and permissions, or set XDG_CACHE_HOME",
    )
}
