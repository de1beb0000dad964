//! KVM's build tree: Debian's sources of it and what builds them.
//!
//! The kernel is one that maskmatch's lab keeps: see [`Release`]. Its sources, headers and build tools
//! come from the package index that the lab fetched with it, so that all are of one version.
//! `source/` stays as Debian has it; `work/` is what is changed and built.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Build, Sources, Tree, WHOLE, cache_folder, check_tools, made, make, run};
use crate::change::Change;
use crate::host::Host;
use crate::lab::Lab;
use crate::stop::Stop;

/// A kernel whose KVM is built.
pub struct Release {
    /// The kernel, as `maskmatch lab --kernel` takes it.
    kernel: &'static str,
    /// The suite whose index the lab fetches for it.
    suite: &'static str,
    /// Packages with the C library of its build tools, where that of bookworm is too old for them.
    libraries: &'static [&'static str],
    /// Its configuration is for a newer compiler: what [`COMPILER`] lacks is turned off.
    too_new: &'static [&'static str],
}

/// Linux 6.1.
pub const BOOKWORM: Release =
    Release { kernel: "6.1", suite: "bookworm", libraries: &[], too_new: &[] };
/// The newest kernel.
pub const SID: Release = Release {
    kernel: "sid",
    suite: "sid",
    libraries: &["libc6", "libelf1t64", "libzstd1", "zlib1g"],
    too_new: &["CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT="],
};
/// The compiler of all of them.
const COMPILER: &str = "CC=x86_64-linux-gnu-gcc-12";
/// Where the packages with libraries have them.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// What is in the names of build tools for one kind of machine.
const OF_ONE_MACHINE: &str = ".real-";
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
    release: &'static Release,
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
    /// Reads `linux-image-ABI-cloud-amd64-unsigned_VERSION`, or
    /// `linux-binary-unsigned-ABI-cloud-amd64_VERSION` as newer kernels have it.
    fn parse(folder: &str) -> Option<Self> {
        let (name, version) = folder.split_once('_')?;
        let abi = name
            .strip_prefix("linux-image-")
            .or_else(|| name.strip_prefix("linux-binary-unsigned-"))?
            .trim_end_matches("-unsigned")
            .strip_suffix(FLAVOUR)?;
        Some(Self { folder: folder.into(), abi: abi.into(), version: version.into() })
    }

    /// The packages with its sources and what builds them.
    fn needed(&self) -> [String; 4] {
        let Self { abi, version, .. } = self;
        let series = self.series();
        let kbuild = if self.names_release() { abi } else { &series };
        [
            format!("source-{series}"),
            format!("kbuild-{kbuild}"),
            format!("headers-{abi}-common"),
            format!("headers-{abi}{FLAVOUR}"),
        ]
        .map(|name| format!("linux-{name}={version}"))
    }

    /// The first two numbers of its version.
    fn series(&self) -> String {
        self.abi.split('.').take(2).collect::<Vec<_>>().join(".")
    }

    /// Whether its ABI names Debian's release. Then the build tools are of that ABI, and the headers'
    /// Makefile says where they are.
    fn names_release(&self) -> bool {
        self.abi.contains("+deb")
    }
}

impl Kvm {
    /// Finds the tree, or makes it from Debian's packages.
    ///
    /// # Errors
    /// A tool or a package is missing.
    pub fn open(release: &'static Release, lab: &Lab) -> Result<Self, Stop> {
        let kernel = release.kernel;
        let of_lab = cache_folder()?;
        let cache = of_lab.join("sensitivity");
        let kernels = of_lab.join("kernels");
        let named = || {
            let name = fs::read_to_string(kernels.join("names").join(kernel)).ok()?;
            Package::parse(name.trim())
                .filter(|package| kernels.join(&package.folder).join("bzImage").is_file())
        };
        let at = |package: &Package| Self {
            kernel: package.folder.clone(),
            release,
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
                .ok_or_else(|| Stop::missing(format!("the lab keeps no kernel {kernel}")))?;
            fetch(release, &package, &kernels, &at(&package).folder).map(|()| package)
        };
        let package = fetched().or_else(|_| lab.refresh_kernel(kernel).and_then(|()| fetched()))?;
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
        let sources = format!("linux-source-{}", package.series());
        for folder in [&source, &work] {
            put(folder, fs::create_dir_all(folder))?;
            let tarball = root.join("usr/src").join(format!("{sources}.tar.xz"));
            let mut tar = Command::new("tar");
            tar.arg("-xJf").arg(tarball).arg("-C").arg(folder).arg("--strip-components=1");
            run(tar.args([KVM, "virt"].map(|below| format!("{sources}/{below}"))))?;
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
        let output = if package.names_release() {
            format!("KBUILD_OUTPUT={}\n", self.headers.display())
        } else {
            String::new()
        };
        let text = format!("{output}include {}/Makefile\n", common.display());
        put(&makefile, fs::write(&makefile, text))?;
        if !self.release.libraries.is_empty() {
            let kbuild = format!("usr/lib/linux-kbuild-{}", package.abi);
            for folder in ["scripts/mod", "tools/objtool"] {
                give_libraries(&root.join(&kbuild).join(folder), &root.join(LIBRARIES))?;
            }
        }
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
            COMPILER,
            "modules",
        ]);
        make.args(self.release.too_new);
        if let Err(stop) = run(&mut make) {
            return Ok(Build::Failed(stop.why));
        }
        let folder = made(&self.folder, place)?;
        let stock = &self.stock.folder;
        let packed = stock.join("irqbypass.ko.xz").exists();
        let third = if packed { "irqbypass.ko.xz" } else { "irqbypass.ko" };
        for (from, name) in [(&work, "kvm.ko"), (&work, "kvm-intel.ko"), (stock, third)] {
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
fn fetch(release: &Release, package: &Package, kernels: &Path, folder: &Path) -> Result<(), Stop> {
    println!("fetching the sources of {}", package.folder);
    let (debs, root) = (folder.join("debs"), folder.join("root"));
    for folder in [&debs, &root] {
        fs::create_dir_all(folder).map_err(|error| Stop::file(folder, error))?;
    }
    let index = kernels.join("apt").join(release.suite).join("apt.conf");
    run(Command::new("apt-get")
        .arg("-qq")
        .arg("-c")
        .arg(index)
        .arg("download")
        .args(package.needed())
        .args(release.libraries)
        .current_dir(&debs))?;
    let files = fs::read_dir(&debs).map_err(|error| Stop::file(&debs, error))?;
    for deb in files.flatten().map(|entry| entry.path()) {
        run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&root))?;
        fs::remove_file(&deb).map_err(|error| Stop::file(&deb, error))?;
    }
    Ok(())
}

/// Has the programs of a folder of build tools that are made for one kind of machine, as
/// `objtool.real-x86`, run with other libraries than this system's.
fn give_libraries(folder: &Path, libraries: &Path) -> Result<(), Stop> {
    let files = fs::read_dir(folder).map_err(|error| Stop::file(folder, error))?;
    let names = files.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    for name in names.filter(|name| name.contains(OF_ONE_MACHINE)).collect::<Vec<_>>() {
        let program = folder.join(&name);
        // Another name, so that what an interrupted run moved is not taken for a program again.
        let moved = folder.join(name.replace(OF_ONE_MACHINE, ".program-"));
        let text = format!(
            "#!/bin/sh\nexec {0}/ld-linux-x86-64.so.2 --library-path {0} {1} \"$@\"\n",
            libraries.display(),
            moved.display()
        );
        fs::rename(&program, &moved)
            .and_then(|()| fs::write(&program, text))
            .and_then(|()| fs::set_permissions(&program, fs::Permissions::from_mode(0o755)))
            .map_err(|error| Stop::file(&program, error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{env, fs, process};

    use super::{Package, give_libraries};

    #[test]
    fn programs_get_libraries_once_however_often_they_are_unpacked() {
        let folder = env::temp_dir().join(format!("maskmatch-tools-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        for _ in 0..2 {
            fs::write(folder.join("objtool.real-x86"), "program").unwrap();
            assert!(give_libraries(&folder, Path::new("/libraries")).is_ok());
        }
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read("objtool.program-x86"), "program");
        assert!(read("objtool.real-x86").contains("objtool.program-x86 \"$@\""));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_kernel_s_folder_names_the_packages_of_its_sources() {
        let package =
            Package::parse("linux-image-6.1.0-57-cloud-amd64-unsigned_6.1.192-3").unwrap();
        assert_eq!(package.needed()[3], "linux-headers-6.1.0-57-cloud-amd64=6.1.192-3");
        assert_eq!(package.needed()[2], "linux-headers-6.1.0-57-common=6.1.192-3");
        assert_eq!(package.needed()[1], "linux-kbuild-6.1=6.1.192-3");
        assert!(Package::parse("linux-image-6.1.0-57").is_none());
        let newer =
            Package::parse("linux-binary-unsigned-7.2.13+deb14-cloud-amd64_7.2.13-1").unwrap();
        assert_eq!(newer.needed()[0], "linux-source-7.2=7.2.13-1");
        assert_eq!(newer.needed()[1], "linux-kbuild-7.2.13+deb14=7.2.13-1");
    }
}
