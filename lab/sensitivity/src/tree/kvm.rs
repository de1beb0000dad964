//! KVM's build tree: Debian's sources of it and what builds them.
//!
//! The kernel is the one that maskmatch's lab keeps under the name 6.1. Its sources, headers and
//! build tools come from the package index that the lab fetched with it, so that all are of one
//! version. `source/` stays as Debian has it; `work/` is what is changed and built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Build, Sources, Tree, WHOLE, cache_folder, check_tools, made, make, run};
use crate::change::Change;
use crate::host::Host;
use crate::lab::Lab;
use crate::stop::Stop;

/// The kernel, as `maskmatch lab --kernel` takes it.
const KERNEL: &str = "6.1";
/// The suite whose index the lab fetches for it.
const SUITE: &str = "bookworm";
/// How the names of the kernel's packages end.
const FLAVOUR: &str = "-cloud-amd64";
/// What must be installed: a program, and the package that has it.
const TOOLS: [(&str, &str); 6] = [
    ("apt-get", "apt"),
    ("dpkg-deb", "dpkg"),
    ("make", "make"),
    ("gcc-12", "gcc-12"),
    ("tar", "tar"),
    ("xz", "xz-utils"),
];
/// Where KVM is in a kernel's source.
const KVM: &str = "arch/x86/kvm";

/// KVM's tree.
pub struct Kvm {
    /// The kernel's package with its version.
    kernel: String,
    /// The kernel with Debian's own modules.
    stock: Modules,
    folder: PathBuf,
    headers: PathBuf,
}

/// A kernel's bzImage and the folder of its modules.
struct Modules {
    image: PathBuf,
    folder: PathBuf,
}

/// The kernel's package: the name of its folder in the lab's cache.
struct Package {
    folder: String,
    abi: String,
    version: String,
}

impl Package {
    /// Reads `linux-image-ABI-cloud-amd64-unsigned_VERSION`.
    fn parse(folder: &str) -> Option<Self> {
        let (name, version) = folder.split_once('_')?;
        let abi = name
            .strip_prefix("linux-image-")?
            .trim_end_matches("-unsigned")
            .strip_suffix(FLAVOUR)?;
        Some(Self { folder: folder.into(), abi: abi.into(), version: version.into() })
    }

    /// The packages with its sources and what builds them.
    fn needed(&self) -> [String; 4] {
        let Self { abi, version, .. } = self;
        [
            "source-6.1".into(),
            "kbuild-6.1".into(),
            format!("headers-{abi}-common"),
            format!("headers-{abi}{FLAVOUR}"),
        ]
        .map(|name| format!("linux-{name}={version}"))
    }
}

impl Kvm {
    /// Finds the tree, or makes it from Debian's packages.
    ///
    /// # Errors
    /// A tool or a package is missing.
    pub fn open(lab: &Lab) -> Result<Self, Stop> {
        let of_lab = cache_folder()?;
        let cache = of_lab.join("sensitivity");
        let kernels = of_lab.join("kernels");
        let named = || {
            let name = fs::read_to_string(kernels.join("names").join(KERNEL)).ok()?;
            Package::parse(name.trim())
                .filter(|package| kernels.join(&package.folder).join("bzImage").is_file())
        };
        let at = |package: &Package| Self {
            kernel: package.folder.clone(),
            stock: Modules {
                image: kernels.join(&package.folder).join("bzImage"),
                folder: kernels.join(&package.folder).join("modules"),
            },
            folder: cache.join(&package.version),
            headers: cache
                .join(&package.version)
                .join("root/usr/src")
                .join(format!("linux-headers-{}{FLAVOUR}", package.abi)),
        };
        if let Some(tree) =
            named().map(|package| at(&package)).filter(|tree| tree.folder.join(WHOLE).is_file())
        {
            return Ok(tree);
        }
        check_tools(Host::Kvm, &TOOLS)?;
        // The index is of the day when the kernel was fetched: the archive may have gone on since.
        let fetched = || {
            let package = named()
                .ok_or_else(|| Stop::missing(format!("the lab keeps no kernel {KERNEL}")))?;
            fetch(&package, &kernels, &at(&package).folder).map(|()| package)
        };
        let package = fetched().or_else(|_| lab.refresh_kernel(KERNEL).and_then(|()| fetched()))?;
        let tree = at(&package);
        tree.lay_out(&package)?;
        Ok(tree)
    }

    /// Unpacks sources beside the packages, and joins them to the headers.
    fn lay_out(&self, package: &Package) -> Result<(), Stop> {
        let (root, source, work) =
            (self.folder.join("root"), self.folder.join("source"), self.folder.join("work"));
        let put = |path: &Path, result: std::io::Result<()>| {
            result.map_err(|error| Stop::file(path, error))
        };
        for folder in [&source, &work] {
            put(folder, fs::create_dir_all(folder))?;
            let tarball = root.join("usr/src/linux-source-6.1.tar.xz");
            let mut tar = Command::new("tar");
            tar.arg("-xJf").arg(tarball).arg("-C").arg(folder).arg("--strip-components=1");
            run(tar.args([format!("linux-source-6.1/{KVM}"), "linux-source-6.1/virt".into()]))?;
        }
        let common = root.join("usr/src").join(format!("linux-headers-{}-common", package.abi));
        for below in [KVM, "virt"] {
            let link = common.join(below);
            if link.exists() {
                put(&link, fs::remove_dir_all(&link))?;
            }
            put(&link, std::os::unix::fs::symlink(work.join(below), &link))?;
        }
        // The package expects to be installed.
        let makefile = self.headers.join("Makefile");
        let text = format!("include {}/Makefile\n", common.display());
        put(&makefile, fs::write(&makefile, text))?;
        let whole = self.folder.join(WHOLE);
        put(&whole, fs::write(&whole, ""))
    }
}

impl Tree for Kvm {
    fn package(&self) -> &str {
        &self.kernel
    }

    fn build(&self, change: &Change, place: usize) -> Result<Build, Stop> {
        let in_folder = |name: &str| self.folder.join(name).join(KVM);
        let (right, work) = (in_folder("source"), in_folder("work"));
        if let Err(why) = (Sources { right, work: work.clone() }).put(Host::Kvm, change)? {
            return Ok(Build::Failed(why));
        }
        let mut make = make(&self.headers);
        make.arg(format!("M={}", work.display()));
        // Neither debug information nor AMD's module is needed.
        make.args([
            "CONFIG_KVM_AMD=",
            "CONFIG_KVM_WERROR=",
            "CONFIG_DEBUG_INFO_BTF_MODULES=",
            "KCFLAGS=-g0",
            "modules",
        ]);
        if let Err(stop) = run(&mut make) {
            return Ok(Build::Failed(stop.why));
        }
        let folder = made(&self.folder, place)?;
        for (from, name) in
            [(&work, "kvm.ko"), (&work, "kvm-intel.ko"), (&self.stock.folder, "irqbypass.ko")]
        {
            fs::copy(from.join(name), folder.join(name))
                .map_err(|error| Stop::file(&from.join(name), error))?;
        }
        Ok(Build::Done(vec![
            "--kernel-image".into(),
            self.stock.image.clone().into(),
            "--modules".into(),
            folder.into(),
        ]))
    }
}

/// Downloads and unpacks a kernel's sources and build tools below `folder`.
fn fetch(package: &Package, kernels: &Path, folder: &Path) -> Result<(), Stop> {
    println!("fetching the sources of {}", package.folder);
    let (debs, root) = (folder.join("debs"), folder.join("root"));
    for folder in [&debs, &root] {
        fs::create_dir_all(folder).map_err(|error| Stop::file(folder, error))?;
    }
    let index = kernels.join("apt").join(SUITE).join("apt.conf");
    run(Command::new("apt-get")
        .arg("-qq")
        .arg("-c")
        .arg(index)
        .arg("download")
        .args(package.needed())
        .current_dir(&debs))?;
    let files = fs::read_dir(&debs).map_err(|error| Stop::file(&debs, error))?;
    for deb in files.flatten().map(|entry| entry.path()) {
        run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&root))?;
        fs::remove_file(&deb).map_err(|error| Stop::file(&deb, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Package;

    #[test]
    fn a_kernel_s_folder_names_the_packages_of_its_sources() {
        let package =
            Package::parse("linux-image-6.1.0-57-cloud-amd64-unsigned_6.1.192-3").unwrap();
        assert_eq!(package.needed()[3], "linux-headers-6.1.0-57-cloud-amd64=6.1.192-3");
        assert_eq!(package.needed()[2], "linux-headers-6.1.0-57-common=6.1.192-3");
        assert!(Package::parse("linux-image-6.1.0-57").is_none());
    }
}
