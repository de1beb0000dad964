//! Xen's build tree: only the hypervisor, of Debian's source package.
//!
//! The package is the suite's own: its updates for security may lack sources on a mirror. Where the
//! archive is, the index says that maskmatch's lab fetched with its Xen. `work/` is what is changed
//! and built; `source/` keeps the files for x86 as Debian has them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Build, Sources, Tree, WHOLE, cache_folder, check_tools, made, make, run};
use crate::change::Change;
use crate::host::Host;
use crate::lab::Lab;
use crate::stop::Stop;

/// The version, as `maskmatch lab --host xen --kernel` takes it.
const VERSION: &str = "4.17";
/// The suite that has it.
const SUITE: &str = "bookworm";
/// What must be installed: a program, and the package that has it.
const TOOLS: [(&str, &str); 7] = [
    ("apt-get", "apt"),
    ("dpkg-source", "dpkg-dev"),
    ("make", "make"),
    ("gcc", "gcc"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("python3", "python3"),
];
/// Where the hypervisor is in the package, and in it what rows change.
const HYPERVISOR: &str = "xen";
const X86: &str = "arch/x86";
/// What is built in: Debian's choice, without what the lab has no use for and takes time to build.
const CONFIGURATION: &str =
    "CONFIG_DEBUG=n\nCONFIG_LIVEPATCH=n\nCONFIG_SHADOW_PAGING=n\nCONFIG_KEXEC=n\n";
/// What is built, as the lab takes it.
const BUILT: &str = "xen-4.17-amd64.gz";

/// Xen's tree.
pub struct Xen {
    package: String,
    folder: PathBuf,
}

impl Xen {
    /// Finds the tree, or makes it from Debian's packages.
    ///
    /// # Errors
    /// A tool or a package is missing.
    pub fn open(lab: &Lab) -> Result<Self, Stop> {
        let cache = cache_folder()?;
        let folder = cache.join("sensitivity").join(format!("xen-{VERSION}"));
        if let Ok(package) = fs::read_to_string(folder.join(WHOLE)) {
            return Ok(Self { package, folder });
        }
        check_tools(Host::Xen, &TOOLS)?;
        let index = cache.join("xen/apt").join(SUITE);
        let fetch = || Self::lay_out(&index, &folder);
        // The index may be missing, or older than what the archive has.
        let package = fetch().or_else(|_| lab.refresh_xen(VERSION).and_then(|()| fetch()))?;
        Ok(Self { package, folder })
    }

    /// Fetches and unpacks the sources below `folder`. Returns the package with its version.
    fn lay_out(index: &Path, folder: &Path) -> Result<String, Stop> {
        println!("fetching the sources of Xen {VERSION}");
        let (apt, debian) = (folder.join("apt"), folder.join("debian"));
        // What an interrupted run left.
        let _ = fs::remove_dir_all(folder);
        for made in [apt.join("lists/partial"), apt.join("etc"), debian.clone()] {
            fs::create_dir_all(&made).map_err(|error| Stop::file(&made, error))?;
        }
        let listed = index.join("etc/archive.sources");
        let entries = fs::read_to_string(&listed).map_err(|error| Stop::file(&listed, error))?;
        // The first entry is the suite itself.
        let suite = entries.split("\n\n").next().unwrap_or_default();
        let written = apt.join("etc/archive.sources");
        fs::write(&written, suite.replace("Types: deb\n", "Types: deb-src\n") + "\n")
            .map_err(|error| Stop::file(&written, error))?;
        let ask = |words: &[&str]| {
            let mut command = Command::new("apt-get");
            command.arg("-qq").arg("-c").arg(index.join("apt.conf"));
            for (name, folder) in [("Etc::sourceparts", "etc"), ("State::lists", "lists")] {
                command.arg("-o").arg(format!("Dir::{name}={}", apt.join(folder).display()));
            }
            run(command.args(words).current_dir(&debian))
        };
        ask(&["--error-on=any", "update"])?;
        ask(&["source", "xen"])?;
        let (unpacked, package) = found(&debian)?;
        let (work, config) = (folder.join("work"), folder.join("work/xen/.config"));
        fs::rename(&unpacked, &work).map_err(|error| Stop::file(&unpacked, error))?;
        let x86 = work.join(HYPERVISOR).join(X86);
        run(Command::new("cp").arg("-a").arg(x86).arg(folder.join("source")))?;
        fs::write(&config, CONFIGURATION).map_err(|error| Stop::file(&config, error))?;
        run(make(&work.join(HYPERVISOR)).arg("olddefconfig"))?;
        let whole = folder.join(WHOLE);
        fs::write(&whole, &package).map_err(|error| Stop::file(&whole, error))?;
        Ok(package)
    }
}

/// The folder that a source package was unpacked into, and the package's name.
fn found(debian: &Path) -> Result<(PathBuf, String), Stop> {
    let (mut folder, mut package) = (None, None);
    let files = fs::read_dir(debian).map_err(|error| Stop::file(debian, error))?;
    for path in files.flatten().map(|file| file.path()) {
        if path.is_dir() {
            folder = Some(path);
        } else if path.extension().is_some_and(|extension| extension == "dsc") {
            package = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        }
    }
    folder
        .zip(package)
        .ok_or_else(|| Stop::missing(format!("{} holds no sources of Xen", debian.display())))
}

impl Tree for Xen {
    fn package(&self) -> &str {
        &self.package
    }

    fn build(&self, change: &Change, place: usize) -> Result<Build, Stop> {
        let hypervisor = self.folder.join("work").join(HYPERVISOR);
        let sources = Sources { right: self.folder.join("source"), work: hypervisor.join(X86) };
        if let Err(why) = sources.put(Host::Xen, change)? {
            return Ok(Build::Failed(why));
        }
        // A loader of EFI would be linked too, and is of no use here.
        if let Err(stop) =
            run(make(&hypervisor).args(["XEN_TARGET_ARCH=x86_64", "efi-y=", "build"]))
        {
            return Ok(Build::Failed(stop.why));
        }
        let (from, to) = (hypervisor.join("xen.gz"), made(&self.folder, place)?.join(BUILT));
        fs::copy(&from, &to).map_err(|error| Stop::file(&from, error))?;
        Ok(Build::Done(vec!["--host".into(), "xen".into(), "--xen-image".into(), to.into()]))
    }
}
