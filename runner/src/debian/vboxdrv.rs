//! VirtualBox's kernel module, built once for each kernel by the headers that Debian has for it.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;
use std::time::Duration;

use super::apt::Apt;
use super::external::run;
use super::virtualbox::VirtualBox;
use super::{Scratch, lock, not_put, own_suite, put, sums, unpack};
use crate::lab::kernel::Kernel;
use crate::vmm::Unavailable;
use crate::vmm::process::in_path;

/// What builds a module, in Debian's package `build-essential`.
const TOOLS: [&str; 3] = ["make", "gcc", "ld"];
/// The module.
const MODULE: &str = "vboxdrv.ko";
/// Its folder among VirtualBox's modules.
const SOURCES: &str = "vboxdrv";
/// What is before the kernel's release in the name of its package, the longer one first, and what may
/// be after it.
const BEFORE: [&str; 3] = ["linux-image-", "linux-binary-unsigned-", "linux-binary-"];
const AFTER: &str = "-unsigned";
/// How long the build may take. It takes 12 s of a processor.
const BUILD_LIMIT: Duration = Duration::from_mins(10);
/// Where the packages have headers.
const HEADERS: &str = "usr/src";

/// The module for a kernel, from the cache or built into it. `progress` gets a word about what takes
/// time.
///
/// # Errors
/// The kernel is not Debian's, its headers are no longer there, or a tool is missing.
pub fn obtain(
    virtualbox: &VirtualBox,
    kernel: &Kernel,
    cache: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, Unavailable> {
    let folders = cache.join("virtualbox");
    let package = Package::of(&kernel.image)?;
    let folder = folders
        .join("modules")
        .join(format!("{}_{}_{}", virtualbox.version, package.release, package.version));
    let kept = || sums::check(&folder).is_ok().then(|| folder.join(MODULE));
    if let Some(module) = kept() {
        return Ok(module);
    }
    check_tools(&|tool| in_path(tool).is_some())?;
    let io = |error: io::Error| not_put(&folders, &error);
    // Held until it is dropped: another run may do the same.
    let _lock = lock(&folders).map_err(io)?;
    if let Some(module) = kept() {
        return Ok(module);
    }
    let scratch = Scratch::below(&folders);
    let (debs, root, work, done) = (
        scratch.0.join("debs"),
        scratch.0.join("root"),
        scratch.0.join("work"),
        scratch.0.join("done"),
    );
    for folder in [&debs, &root, &done] {
        fs::create_dir_all(folder).map_err(io)?;
    }
    progress(&format!("downloading the headers of {}", package.release));
    fetch(&package, cache, &debs)?;
    for deb in fs::read_dir(&debs).map_err(io)?.flatten() {
        unpack(&deb.path(), &root)?;
    }
    let headers = root.join(HEADERS).join(format!("linux-headers-{}", package.release));
    place(&headers, &root).map_err(io)?;
    copy(&virtualbox.sources, &work).map_err(io)?;
    progress(&format!("building VirtualBox's driver for Linux {}", package.release));
    let mut make = Command::new("make");
    make.arg("-C").arg(&headers).arg(format!("M={}", work.join(SOURCES).display()));
    make.arg(format!("-j{}", available_parallelism().map_or(1, usize::from)));
    make.args(["CONFIG_DEBUG_INFO_BTF_MODULES=", "KCFLAGS=-g0", "modules"]);
    run(make, BUILD_LIMIT).map_err(|error| {
        let why = format!("VirtualBox's driver does not build for {}: {error}", package.release);
        Unavailable::new(why, "")
    })?;
    fs::copy(work.join(SOURCES).join(MODULE), done.join(MODULE)).map_err(io)?;
    sums::write(&done).map_err(io)?;
    fs::create_dir_all(folder.parent().unwrap_or(&folders)).map_err(io)?;
    put(&done, &folder).map_err(io)?;
    Ok(folder.join(MODULE))
}

/// The kernel's package.
#[derive(Debug, PartialEq, Eq)]
struct Package {
    /// The kernel's release.
    release: String,
    /// The package's version.
    version: String,
}

impl Package {
    /// Reads `linux-image-6.1.0-57-cloud-amd64-unsigned_6.1.192-3/bzImage`.
    fn of(image: &Path) -> Result<Self, Unavailable> {
        let folder = image.parent().and_then(Path::file_name).and_then(OsStr::to_str);
        let names = || {
            let (name, version) = folder?.split_once('_')?;
            let name = BEFORE.iter().find_map(|before| name.strip_prefix(before))?;
            let release = name.strip_suffix(AFTER).unwrap_or(name);
            Some(Self { release: release.into(), version: version.replace("%3a", ":") })
        };
        names().ok_or_else(|| {
            Unavailable::usage(
                format!("Debian has no headers for {}", image.display()),
                "name one of Debian's kernels by --kernel",
            )
        })
    }
}

/// Downloads a kernel's headers and what builds modules with them.
fn fetch(package: &Package, cache: &Path, debs: &Path) -> Result<(), Unavailable> {
    let Package { release, version } = package;
    let own = own_suite()?;
    let headers = format!("linux-headers-{release}");
    let mut reasons = Vec::new();
    // The index that the kernel comes from is one of them.
    let indexes = fs::read_dir(cache.join("kernels/apt")).into_iter().flatten().flatten();
    let mut suites: Vec<String> =
        indexes.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    // The machine's own first.
    suites.sort_by_key(|suite| *suite != own);
    for suite in suites {
        let folder = cache.join("virtualbox/apt-of-kernels").join(&suite);
        let fetched = Apt::open(&folder, &suite, &own, true)
            .or_else(|_| Apt::open(&folder, &suite, &own, false))
            .and_then(|apt| {
                let of_headers = |name: &str| name.starts_with("linux-");
                let all = apt.depends_of_all(&headers, &of_headers)?;
                let exact = all
                    .into_iter()
                    .map(|name| if name == headers { format!("{name}={version}") } else { name });
                apt.download(&exact.collect::<Vec<_>>(), debs)
            });
        match fetched {
            Ok(()) => return Ok(()),
            Err(error) => reasons.push(error.why),
        }
    }
    Err(Unavailable::new(
        format!("the headers of Linux {release} {version} cannot be had: {}", reasons.join("; ")),
        "add --refresh, which fetches the newest kernel",
    ))
}

/// The package expects to be installed: puts its own folder into its makefile.
fn place(headers: &Path, root: &Path) -> io::Result<()> {
    let makefile = headers.join("Makefile");
    let text = fs::read_to_string(&makefile)?;
    let text = text.replace(" /usr/src/", &format!(" {}/", root.join(HEADERS).display()));
    fs::write(makefile, text)
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)?.flatten() {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy(&from, &to)? } else { fs::copy(&from, &to).map(drop)? }
    }
    Ok(())
}

/// Looks for what builds a module.
fn check_tools(is_there: &dyn Fn(&str) -> bool) -> Result<(), Unavailable> {
    match TOOLS.iter().find(|tool| !is_there(tool)) {
        None => Ok(()),
        Some(tool) => Err(Unavailable::new(
            format!("VirtualBox's driver cannot be built: there is no {tool}"),
            "sudo apt-get install build-essential",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_their_folders() {
        let of = |folder: &str| Package::of(&Path::new("/c").join(folder).join("bzImage"));
        let package = of("linux-image-6.1.0-57-cloud-amd64-unsigned_6.1.192-3").unwrap();
        assert_eq!((&*package.release, &*package.version), ("6.1.0-57-cloud-amd64", "6.1.192-3"));
        let package = of("linux-binary-unsigned-7.2.13+deb14-cloud-amd64_7.2.13-1").unwrap();
        assert_eq!(package.release, "7.2.13+deb14-cloud-amd64");
        assert!(of("boot").unwrap_err().is_usage);
    }

    #[test]
    fn a_missing_tool_is_named() {
        assert!(check_tools(&|_| true).is_ok());
        let error = check_tools(&|tool| tool != "gcc").unwrap_err();
        assert!(error.why.ends_with("there is no gcc") && !error.is_usage);
        assert!(error.mend.contains("build-essential"));
    }

    #[test]
    fn headers_are_placed_where_they_are() {
        let root = tempfile::tempdir().unwrap();
        let headers = root.path().join("usr/src/linux-headers-x");
        fs::create_dir_all(&headers).unwrap();
        fs::write(headers.join("Makefile"), "include /usr/src/linux-headers-common/Makefile\n")
            .unwrap();
        place(&headers, root.path()).unwrap();
        let text = fs::read_to_string(headers.join("Makefile")).unwrap();
        let want =
            format!("include {}/usr/src/linux-headers-common/Makefile\n", root.path().display());
        assert_eq!(text, want);
        let other = tempfile::tempdir().unwrap();
        copy(root.path(), &other.path().join("copy")).unwrap();
        assert!(other.path().join("copy/usr/src/linux-headers-x/Makefile").is_file());
    }
}
