//! A kernel from Debian's archive: which packages have it, and the three files that the lab needs
//! from them.
//!
//! The kernels are those "for cloud", small and with few drivers. Up to 6.12 one package has image
//! and modules; later ones are two. Their names carry the kernel's ABI name, which the meta
//! package's dependency gives away.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::{NEWEST, Scratch, lock, not_put, own_suite, put, sums};
use crate::lab::{modules, vmlinux};
use crate::vmm::Unavailable;

/// How the kernels' names end.
const FLAVOUR: &str = "-cloud-amd64";
/// Depends on the suite's current kernel.
const META: &str = "linux-image-cloud-amd64";
/// Which suite was released with which kernel; other versions are looked for in the newest suite.
const SERIES: &[(&str, &str)] = &[("5.10", "bullseye"), ("6.1", "bookworm"), ("6.12", "trixie")];

/// What a name given to `--kernel` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Suites to look in, in this order.
    suites: Vec<String>,
    /// The version, as far as it was given. If empty, the suite's current kernel.
    version: String,
}

impl Wanted {
    /// Reads a suite or a version.
    pub fn parse(name: &str) -> Self {
        if !name.starts_with(|c: char| c.is_ascii_digit()) {
            return Self { suites: vec![name.into()], version: String::new() };
        }
        let version = name.trim_end_matches(FLAVOUR);
        let home = SERIES
            .iter()
            .find(|(series, _)| is_version(version, series))
            .map_or(NEWEST, |(_, suite)| suite);
        // A suite's security updates may have the kernel of the next one.
        let mut suites = vec![home.to_string()];
        suites.extend(own_suite().ok().filter(|own| own != home));
        Self { suites, version: version.into() }
    }
}

/// Fetches a kernel into a folder below `kernels` and returns that folder.
///
/// # Errors
/// No suite has such a kernel, or its packages cannot be had or unpacked.
pub fn fetch(
    wanted: &Wanted,
    kernels: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, Unavailable> {
    let own = own_suite()?;
    // Held until it is dropped: another run may do the same.
    let _lock = lock(kernels).map_err(|error| not_put(kernels, &error))?;
    let (mut reasons, mut is_wrong_name) = (Vec::new(), true);
    // An old suite's security archive may be gone, or list packages that are gone: the suite itself
    // stays.
    for (suite, updates) in wanted.suites.iter().flat_map(|suite| [(suite, true), (suite, false)]) {
        progress(&format!("fetching the package index of Debian {suite}"));
        let apt = Apt::open(&kernels.join("apt").join(suite), suite, &own, updates);
        let folder = apt.and_then(|apt| match packages(&apt, wanted)? {
            Some(packages) => install(&apt, &packages, kernels, progress).map(Some),
            None => Ok(None),
        });
        let reason = match folder {
            Ok(Some(folder)) => {
                for reason in &reasons {
                    progress(&format!("the kernel may be older than it could be: {reason}"));
                }
                return Ok(folder);
            }
            Ok(None) => format!("Debian {suite} has no such kernel"),
            Err(error) => {
                is_wrong_name &= error.is_usage;
                error.why
            }
        };
        if !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }
    let why = format!("the kernel cannot be had: {}", reasons.join("; "));
    let mend = "give --kernel a Debian suite like bookworm or a version like 6.1, or --kernel-image and --modules";
    Err(if is_wrong_name { Unavailable::usage(why, mend) } else { Unavailable::new(why, mend) })
}

/// The packages' kernel in its folder, which may already exist under another name.
fn install(
    apt: &Apt,
    packages: &[String],
    kernels: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, Unavailable> {
    let there = packages.first().and_then(|image| {
        let version = apt.field(image, "Version")?.replace(':', "%3a");
        Some(kernels.join(format!("{image}_{version}")))
            .filter(|folder| sums::check(folder).is_ok())
    });
    if let Some(folder) = there {
        return Ok(folder);
    }
    progress(&format!("downloading {}", packages.join(" and ")));
    unpack(apt, packages, kernels)
}

/// The packages to download, image first, or `None` if the suite has no such kernel.
fn packages(apt: &Apt, wanted: &Wanted) -> Result<Option<Vec<String>>, Unavailable> {
    let names = apt.names("linux-")?;
    let current = if wanted.version.is_empty() {
        apt.depends(META).iter().find_map(|name| abi(name))
    } else {
        None
    };
    let matching =
        names.iter().filter_map(|name| abi(name)).filter(|abi| is_version(abi, &wanted.version));
    Ok(current
        .or_else(|| matching.max_by(|a, b| by_version(a, b)))
        .and_then(|abi| choose(&names, &abi)))
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
pub(super) fn is_version(version: &str, wanted: &str) -> bool {
    let rest = version.strip_prefix(wanted);
    rest.is_some_and(|rest| wanted.is_empty() || !rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Compares the numbers in two versions, in order.
pub(super) fn by_version(a: &str, b: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
    };
    numbers(a).cmp(&numbers(b))
}

/// Downloads and unpacks next to its final place, then moves it there at once: no half-made kernel
/// is ever seen.
fn unpack(apt: &Apt, packages: &[String], kernels: &Path) -> Result<PathBuf, Unavailable> {
    let io = |error: std::io::Error| not_put(kernels, &error);
    let scratch = Scratch::below(kernels);
    let (debs, root, done) =
        (scratch.0.join("debs"), scratch.0.join("root"), scratch.0.join("done"));
    for folder in [&debs, &root, &done] {
        fs::create_dir_all(folder).map_err(io)?;
    }
    apt.download(packages, &debs)?;
    let mut name = None;
    for entry in fs::read_dir(&debs).map_err(io)?.flatten() {
        super::unpack(&entry.path(), &root)?;
        // PACKAGE_VERSION_ARCHITECTURE.deb
        let file = entry.file_name().to_string_lossy().into_owned();
        let stem = file.rsplit_once('_').map_or(file.clone(), |(stem, _)| stem.to_string());
        name = name.or_else(|| {
            packages.first().filter(|image| stem.starts_with(&format!("{image}_"))).map(|_| stem)
        });
    }
    let image = find_image(&root);
    let (Some(name), Some(image)) = (name, image) else {
        return Err(Unavailable::new(
            format!("{} hold no kernel image", packages.join(" and ")),
            "name a kernel of your own with --kernel-image and --modules",
        ));
    };
    fs::rename(&image, done.join("bzImage")).map_err(io)?;
    let vmlinux = vmlinux::unpack(&done.join("bzImage"));
    let vmlinux = vmlinux.map_err(|why| {
        Unavailable::new(format!("the kernel of {name} cannot be booted: {why}"), "")
    })?;
    fs::write(done.join("vmlinux"), vmlinux).map_err(io)?;
    modules::copy_needed(&root, &done.join("modules"))?;
    sums::write(&done).map_err(io)?;
    let folder = kernels.join(name);
    put(&done, &folder).map_err(io)?;
    Ok(folder)
}

/// `boot/vmlinuz-*`, or in newer packages `vmlinuz*` in the modules' own folder.
fn find_image(root: &Path) -> Option<PathBuf> {
    let of_modules =
        ["usr/lib/modules", "lib/modules"].map(|folder| fs::read_dir(root.join(folder)));
    let releases = of_modules.into_iter().flatten().flatten().flatten().map(|entry| entry.path());
    let folders = [root.join("boot")].into_iter().chain(releases);
    let files = folders
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    files.into_iter().find(|file| {
        file.is_file()
            && file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_names_yield_abis_and_back() {
        assert_eq!(abi("linux-image-6.1.0-50-cloud-amd64-unsigned"), Some("6.1.0-50".into()));
        assert_eq!(
            abi("linux-binary-unsigned-7.2.13+deb14-cloud-amd64"),
            Some("7.2.13+deb14".into())
        );
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
        assert!(
            is_version("6.1.0-50", "6.1")
                && !is_version("6.12.1", "6.1")
                && is_version("6.1.0-50", "6.1.0-50")
        );
        assert_eq!(by_version("6.1.0-9", "6.1.0-10"), Ordering::Less);
        assert_eq!(by_version("6.12.107+deb13", "6.12.117+deb13"), Ordering::Less);
    }

    #[test]
    fn names_are_suites_or_versions() {
        assert_eq!(
            Wanted::parse("sid"),
            Wanted { suites: vec!["sid".into()], version: String::new() }
        );
        let wanted = Wanted::parse("5.10.0-32-cloud-amd64");
        assert_eq!((wanted.suites[0].as_str(), wanted.version.as_str()), ("bullseye", "5.10.0-32"));
    }
}
