//! A kernel from Debian's archive: which packages, and out of them the three files that the lab needs.
//!
//! The kernels are those "for cloud", small and with few drivers. Up to 6.12 one package has image and modules; later
//! ones are two. Their names carry the kernel's ABI name, which the meta package's dependency gives away.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::Duration;

use super::apt::Apt;
use super::external::run;
use super::modules;
use crate::vmm::Unavailable;

/// What unpacking a package may take.
const UNPACK_LIMIT: Duration = Duration::from_mins(2);
/// How the kernels' names end.
const FLAVOUR: &str = "-cloud-amd64";
/// Depends on the suite's current kernel.
const META: &str = "linux-image-cloud-amd64";
/// Which suite was released with which kernel; other versions are looked for in the newest suite.
const SERIES: &[(&str, &str)] = &[("5.10", "bullseye"), ("6.1", "bookworm"), ("6.12", "trixie")];
const NEWEST: &str = "sid";

/// What a name given to `--kernel` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Suites to look in, in this order.
    suites: Vec<String>,
    /// The version, or as much of it as was given; empty: the suite's current kernel.
    version: String,
}

impl Wanted {
    /// Reads a suite or a version.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        if !name.starts_with(|c: char| c.is_ascii_digit()) {
            return Self { suites: vec![name.into()], version: String::new() };
        }
        let version = name.trim_end_matches(FLAVOUR);
        let home = SERIES.iter().find(|(series, _)| is_version(version, series)).map_or(NEWEST, |(_, suite)| suite);
        // A suite's security updates may have the kernel of the next one.
        let mut suites = vec![home.to_string()];
        suites.extend(own_suite().ok().filter(|own| own != home));
        Self { suites, version: version.into() }
    }
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
    value("ID").filter(|id| id == "debian").map(|_| codename()).ok_or_else(|| Unavailable {
        why: "kernels are taken from Debian's archive, and this machine is not a Debian".into(),
        mend: "name a kernel of your own with --kernel-image and --modules".into(),
    })
}

/// Fetches a kernel into a folder below `kernels` and returns that folder.
///
/// # Errors
/// No suite has such a kernel, or its packages cannot be had or unpacked.
pub fn fetch(wanted: &Wanted, kernels: &Path, progress: &mut dyn FnMut(&str)) -> Result<PathBuf, Unavailable> {
    let own = own_suite()?;
    let mut reasons: Vec<String> = Vec::new();
    // An old suite's security archive may be gone, or list packages that are gone: the suite itself stays.
    for (suite, updates) in wanted.suites.iter().flat_map(|suite| [(suite, true), (suite, false)]) {
        progress(&format!("fetching the package index of Debian {suite}"));
        let apt = Apt::open(&kernels.join("apt").join(suite), suite, &own, updates);
        let folder = apt.and_then(|apt| match packages(&apt, wanted)? {
            Some(packages) => install(&apt, &packages, kernels, progress).map(Some),
            None => Ok(None),
        });
        let reason = match folder {
            Ok(Some(folder)) => return Ok(folder),
            Ok(None) => format!("Debian {suite} has no such kernel"),
            Err(error) => format!("Debian {suite}: {}", error.why),
        };
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    Err(Unavailable {
        why: format!("the kernel cannot be had: {}", reasons.join("; ")),
        mend: "give --kernel a Debian suite like bookworm or a version like 6.1, or --kernel-image and --modules"
            .into(),
    })
}

/// The packages' kernel in its folder, which may be there already under another name.
fn install(
    apt: &Apt,
    packages: &[String],
    kernels: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, Unavailable> {
    let there = packages.first().and_then(|image| {
        let version = apt.field(image, "Version")?.replace(':', "%3a");
        Some(kernels.join(format!("{image}_{version}"))).filter(|folder| folder.join("bzImage").is_file())
    });
    if let Some(folder) = there {
        return Ok(folder);
    }
    progress(&format!("downloading {}", packages.join(" and ")));
    unpack(apt, packages, kernels)
}

/// The packages to download, image first; `None`: the suite has no such kernel.
fn packages(apt: &Apt, wanted: &Wanted) -> Result<Option<Vec<String>>, Unavailable> {
    let names = apt.names("linux-")?;
    let current = if wanted.version.is_empty() { apt.depends(META).iter().find_map(|name| abi(name)) } else { None };
    let matching = names.iter().filter_map(|name| abi(name)).filter(|abi| is_version(abi, &wanted.version));
    Ok(current.or_else(|| matching.max_by(|a, b| by_version(a, b))).and_then(|abi| choose(&names, &abi)))
}

/// Which of the archive's packages have the image and the modules of the kernel named `abi`.
fn choose(names: &[String], abi: &str) -> Option<Vec<String>> {
    let have = |name: String| names.contains(&name).then_some(name);
    let split = || {
        let image = have(format!("linux-binary-unsigned-{abi}{FLAVOUR}"))
            .or_else(|| have(format!("linux-binary-{abi}{FLAVOUR}")))?;
        Some(vec![image, have(format!("linux-modules-{abi}{FLAVOUR}"))?])
    };
    let whole = || {
        let unsigned = have(format!("linux-image-{abi}{FLAVOUR}-unsigned"));
        Some(vec![unsigned.or_else(|| have(format!("linux-image-{abi}{FLAVOUR}")))?])
    };
    split().or_else(whole)
}

/// `linux-image-6.1.0-50-cloud-amd64-unsigned` is of the ABI `6.1.0-50`.
fn abi(package: &str) -> Option<String> {
    let kinds = ["linux-image-", "linux-binary-unsigned-", "linux-binary-"];
    let rest = kinds.iter().find_map(|kind| package.strip_prefix(kind))?;
    let abi = rest.strip_suffix("-unsigned").unwrap_or(rest).strip_suffix(FLAVOUR)?;
    abi.starts_with(|c: char| c.is_ascii_digit()).then(|| abi.to_string())
}

/// Whether `version` is `wanted` or a version of it: 6.1.0-50 is of 6.1, 6.12 is not.
fn is_version(version: &str, wanted: &str) -> bool {
    let rest = version.strip_prefix(wanted);
    rest.is_some_and(|rest| wanted.is_empty() || !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Compares the numbers in two versions, in order.
fn by_version(a: &str, b: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
    };
    numbers(a).cmp(&numbers(b))
}

/// A folder that is gone when this is dropped.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in the cache and harms no one.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Downloads and unpacks beside the place it will have, then moves it there at once: no half-made kernel is ever seen.
fn unpack(apt: &Apt, packages: &[String], kernels: &Path) -> Result<PathBuf, Unavailable> {
    let io = |error: std::io::Error| Unavailable {
        why: format!("the kernel cannot be put below {}: {error}", kernels.display()),
        mend: "check the folder's free space and permissions, or set XDG_CACHE_HOME".into(),
    };
    let scratch = Scratch(kernels.join(format!(".part{}", process::id())));
    let (debs, root, done) = (scratch.0.join("debs"), scratch.0.join("root"), scratch.0.join("done"));
    for folder in [&debs, &root, &done] {
        fs::create_dir_all(folder).map_err(io)?;
    }
    apt.download(packages, &debs)?;
    let mut name = None;
    for entry in fs::read_dir(&debs).map_err(io)?.flatten() {
        let mut command = Command::new("dpkg-deb");
        command.arg("-x").arg(entry.path()).arg(&root);
        run(command, UNPACK_LIMIT)?;
        // PACKAGE_VERSION_ARCHITECTURE.deb
        let file = entry.file_name().to_string_lossy().into_owned();
        let stem = file.rsplit_once('_').map_or(file.clone(), |(stem, _)| stem.to_string());
        name = name.or_else(|| packages.first().filter(|image| stem.starts_with(&format!("{image}_"))).map(|_| stem));
    }
    let image = find_image(&root);
    let (Some(name), Some(image)) = (name, image) else {
        return Err(Unavailable {
            why: format!("{} hold no kernel image", packages.join(" and ")),
            mend: "name a kernel of your own with --kernel-image and --modules".into(),
        });
    };
    fs::rename(&image, done.join("bzImage")).map_err(io)?;
    modules::copy_needed(&root, &done.join("modules"))?;
    let folder = kernels.join(name);
    if folder.is_dir() {
        fs::remove_dir_all(&folder).map_err(io)?;
    }
    fs::rename(&done, &folder).map_err(io)?;
    Ok(folder)
}

/// `boot/vmlinuz-*`, or in newer packages `vmlinuz*` in the modules' own folder.
fn find_image(root: &Path) -> Option<PathBuf> {
    let of_modules = ["usr/lib/modules", "lib/modules"].map(|folder| fs::read_dir(root.join(folder)));
    let releases = of_modules.into_iter().flatten().flatten().flatten().map(|entry| entry.path());
    let folders = [root.join("boot")].into_iter().chain(releases);
    let files = folders.filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten().map(|entry| entry.path());
    files.into_iter().find(|file| {
        file.is_file() && file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names_yield_abis_and_back() {
        assert_eq!(abi("linux-image-6.1.0-50-cloud-amd64-unsigned"), Some("6.1.0-50".into()));
        assert_eq!(abi("linux-binary-unsigned-7.2.13+deb14-cloud-amd64"), Some("7.2.13+deb14".into()));
        assert_eq!(abi(META), None);
        assert_eq!(abi("linux-image-6.1.0-50-cloud-amd64-dbg"), None);
        let names = [
            "linux-image-6-cloud-amd64",
            "linux-binary-7-cloud-amd64",
            "linux-modules-7-cloud-amd64",
            "linux-image-7-cloud-amd64",
        ];
        let names = names.map(String::from);
        assert_eq!(choose(&names, "6"), Some(vec![names[0].clone()]));
        assert_eq!(choose(&names, "7"), Some(names[1..3].to_vec()));
        assert_eq!(choose(&names, "8"), None);
    }

    #[test]
    fn versions_are_numbers() {
        assert!(is_version("6.1.0-50", "6.1") && !is_version("6.12.1", "6.1") && is_version("6.1.0-50", "6.1.0-50"));
        assert_eq!(by_version("6.1.0-9", "6.1.0-10"), Ordering::Less);
        assert_eq!(by_version("6.12.107+deb13", "6.12.117+deb13"), Ordering::Less);
    }

    #[test]
    fn names_are_suites_or_versions() {
        assert_eq!(Wanted::parse("sid"), Wanted { suites: vec!["sid".into()], version: String::new() });
        let wanted = Wanted::parse("5.10.0-32-cloud-amd64");
        assert_eq!((wanted.suites[0].as_str(), wanted.version.as_str()), ("bullseye", "5.10.0-32"));
    }
}
