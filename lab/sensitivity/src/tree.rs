//! The build tree: Debian's sources of KVM and what builds them, unpacked in the cache folder.
//!
//! The kernel is the one that maskmatch's lab keeps under the name 6.1. Its sources, headers and
//! build tools come from the package index that the lab fetched with it, so that all are of one
//! version. `source/` stays as Debian has it; `work/` is what is changed and built.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;

use crate::change::{self, Change};
use crate::lab::Lab;
use crate::stop::Stop;

/// The kernel, as `maskmatch lab --kernel` takes it.
pub const KERNEL: &str = "6.1";
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
/// The last file that is put into a tree: with it, the tree is whole.
const WHOLE: &str = "whole";
/// How much of a failed program's words is passed on.
const COMPLAINT_LINES: usize = 6;

/// A tree that can be built.
pub struct Tree {
    /// The kernel's package with its version.
    pub kernel: String,
    /// The cache folder of this tool.
    pub cache: PathBuf,
    /// The kernel with Debian's own modules.
    stock: Modules,
    folder: PathBuf,
    headers: PathBuf,
}

/// A kernel's bzImage and the folder of its modules.
#[derive(Clone)]
pub struct Modules {
    /// The bzImage.
    pub image: PathBuf,
    /// The folder.
    pub folder: PathBuf,
}

/// What came of a build.
pub enum Build {
    /// What is to be run.
    Done(Modules),
    /// Why there is none.
    Failed(String),
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

impl Tree {
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
            cache: cache.clone(),
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
        check_tools()?;
        // The index is of the day when the kernel was fetched: the archive may have gone on since.
        let fetched = || {
            let package = named()
                .ok_or_else(|| Stop::missing(format!("the lab keeps no kernel {KERNEL}")))?;
            fetch(&package, &kernels, &at(&package).folder).map(|()| package)
        };
        let package = fetched().or_else(|_| lab.refresh_kernel().and_then(|()| fetched()))?;
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

    /// Builds KVM with a change. The folder that it returns is the next build's too.
    ///
    /// # Errors
    /// A file cannot be read or written, or `make` cannot be started.
    pub fn build(&self, change: &Change) -> Result<Build, Stop> {
        let (source, work) =
            (self.folder.join("source").join(KVM), self.folder.join("work").join(KVM));
        let read = |path: &Path| fs::read_to_string(path).map_err(|error| Stop::file(path, error));
        let write = |path: &Path, text: &str| {
            fs::write(path, text).map_err(|error| Stop::file(path, error))
        };
        // What an earlier change left is taken back. A file that is right keeps its time.
        let files =
            change::all().into_iter().map(|change| change.file).filter(|file| *file != change.file);
        for file in files {
            let right = read(&source.join(&file))?;
            if read(&work.join(&file))? != right {
                write(&work.join(&file), &right)?;
            }
        }
        if !change.file.is_empty() {
            match change.apply(&read(&source.join(&change.file))?) {
                Ok(text) => write(&work.join(&change.file), &text)?,
                Err(why) => {
                    return Ok(Build::Failed(format!("the change no longer applies: {why}")));
                }
            }
        }
        let mut make = Command::new("make");
        make.arg("-C").arg(&self.headers).arg(format!("M={}", work.display()));
        make.arg(format!("-j{}", available_parallelism().map_or(1, usize::from)));
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
        let folder = self.folder.join("modules");
        fs::create_dir_all(&folder).map_err(|error| Stop::file(&folder, error))?;
        for (from, name) in
            [(&work, "kvm.ko"), (&work, "kvm-intel.ko"), (&self.stock.folder, "irqbypass.ko")]
        {
            fs::copy(from.join(name), folder.join(name))
                .map_err(|error| Stop::file(&from.join(name), error))?;
        }
        Ok(Build::Done(Modules { image: self.stock.image.clone(), folder }))
    }
}

/// maskmatch's cache folder.
fn cache_folder() -> Result<PathBuf, Stop> {
    let absolute =
        |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("maskmatch"))
        .ok_or_else(|| Stop::missing("neither XDG_CACHE_HOME nor HOME is set: set one of them"))
}

fn check_tools() -> Result<(), Stop> {
    let folders: Vec<PathBuf> =
        env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    let is_there = |tool: &str| folders.iter().any(|folder| folder.join(tool).is_file());
    let missing: Vec<_> = TOOLS.into_iter().filter(|(tool, _)| !is_there(tool)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = |of: fn(&(&'static str, &'static str)) -> &'static str| {
        missing.iter().map(of).collect::<Vec<_>>().join(" ")
    };
    let (tools, packages) = (list(|(tool, _)| tool), list(|(_, package)| package));
    Err(Stop::missing(format!(
        "KVM cannot be built without {tools}; to fix it: apt-get install {packages}"
    )))
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

/// Runs a program to its end.
fn run(command: &mut Command) -> Result<(), Stop> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("LC_ALL", "C.UTF-8")
        .output()
        .map_err(|error| Stop::missing(format!("{name} cannot be started: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> =
        said.lines().filter(|line| line.contains("rror") || line.starts_with("E:")).collect();
    let errors = errors[..errors.len().min(COMPLAINT_LINES)].join(" | ");
    Err(Stop::missing(format!("{name} failed ({}): {errors}", output.status)))
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
