//! Which kernel the lab boots, and where its files are.
//!
//! A kernel is named by a Debian suite (`bookworm`), by a version (`6.1`, or exactly `6.1.0-50`),
//! or by the user's own files. Debian's are kept in the cache folder: `kernels/PACKAGE_VERSION/`
//! has `bzImage`, `vmlinux` (unpacked) and `modules/`; `kernels/names/NAME` says which of them a
//! name stood for when it was first asked for. As long as both are whole, neither network nor apt
//! is used. A kernel that is damaged is fetched again. [`Which::refresh`] looks a name up again, as
//! does deleting its file in `names`.

use std::fs;
use std::path::{Path, PathBuf};

use super::vmlinux;
use crate::debian::{self, sums};
use crate::vmm::Unavailable;

/// Where a build tree has the kernel.
const BZIMAGE: &str = "arch/x86/boot/bzImage";

/// What the user asked for. If all fields are empty, the machine's own suite.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Which {
    /// `--kernel`: a suite or a version.
    pub kernel: Option<String>,
    /// `--kernel-image`: a bzImage of the user's own.
    pub image: Option<PathBuf>,
    /// `--modules`: the folder with that kernel's modules, or its build tree.
    pub modules: Option<PathBuf>,
    /// `--kvm-intel`: a module to take instead of the kernel's own.
    pub kvm_intel: Option<PathBuf>,
    /// Look the name up again, even if the cache knows it.
    pub refresh: bool,
}

/// A kernel whose files are there.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// What the user called it, for tables.
    pub label: String,
    /// Its release, like `6.1.0-50-cloud-amd64`.
    pub release: String,
    /// The bzImage.
    pub image: PathBuf,
    /// The folder with its modules.
    pub modules: PathBuf,
    /// Where the unpacked kernel is, if it is kept.
    pub unpacked: Option<PathBuf>,
}

/// Finds or fetches the kernel; `progress` gets a word about what takes time.
///
/// # Errors
/// The request contradicts itself, a file is missing, or Debian's package cannot be had.
pub fn obtain(which: &Which, progress: &mut dyn FnMut(&str)) -> Result<Kernel, Unavailable> {
    match (&which.image, &which.modules, &which.kernel) {
        (Some(image), Some(modules), None) => own(image, modules),
        (None, Some(tree), None) => own(&built_image(tree)?, tree),
        (None, None, name) => {
            fetched(name.as_deref(), which.refresh, &debian::cache_folder()?, progress)
        }
        _ => Err(Unavailable::usage(
            "the kernel is named in two ways or by halves",
            "give either --kernel, or both --kernel-image and --modules",
        )),
    }
}

/// The kernel of a build tree.
fn built_image(tree: &Path) -> Result<PathBuf, Unavailable> {
    let image = tree.join(BZIMAGE);
    if image.is_file() {
        return Ok(image);
    }
    Err(Unavailable::usage(
        format!("{} is no build tree of a kernel: it has no {BZIMAGE}", tree.display()),
        "build it by `make bzImage modules`, or name the kernel with --kernel-image",
    ))
}

/// The user's own files.
fn own(image: &Path, modules: &Path) -> Result<Kernel, Unavailable> {
    // At the latest here it shows whether the file is a whole kernel.
    let release = vmlinux::unpack(image).and_then(|_| vmlinux::release(image)).map_err(|why| {
        let why = format!("{} cannot be booted: {why}", image.display());
        Unavailable::usage(why, "name a Linux x86-64 bzImage with --kernel-image")
    })?;
    Ok(Kernel {
        label: image.file_name().unwrap_or(image.as_os_str()).to_string_lossy().into_owned(),
        release,
        image: image.to_path_buf(),
        modules: modules.to_path_buf(),
        unpacked: None,
    })
}

/// A kernel of Debian's, from the cache or fetched into it.
fn fetched(
    name: Option<&str>,
    refresh: bool,
    cache: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Kernel, Unavailable> {
    let name = match name {
        Some(name) => name.to_string(),
        None => debian::own_suite()?,
    };
    if !debian::is_name(&name) {
        return Err(Unavailable::usage(
            format!("'{name}' names no kernel"),
            "give --kernel a Debian suite like bookworm or a version like 6.1",
        ));
    }
    let kernels = cache.join("kernels");
    let pointer = kernels.join("names").join(&name);
    let known = fs::read_to_string(&pointer).ok().filter(|_| !refresh);
    let known = known.map(|folder| kernels.join(folder.trim())).filter(|folder| {
        let whole = sums::check(folder);
        if let Err(why) = &whole {
            progress(&format!("the kernel in {} is fetched again: {why}", folder.display()));
        }
        whole.is_ok()
    });
    let folder = if let Some(folder) = known {
        folder
    } else {
        let folder =
            debian::kernel::fetch(&debian::kernel::Wanted::parse(&name), &kernels, progress)?;
        remember(&pointer, &folder)?;
        folder
    };
    let image = folder.join("bzImage");
    Ok(Kernel {
        label: name,
        release: vmlinux::release(&image).map_err(|why| {
            Unavailable::new(
                format!("{} cannot be booted: {why}", image.display()),
                "add --refresh",
            )
        })?,
        image,
        modules: folder.join("modules"),
        unpacked: Some(folder.join("vmlinux")),
    })
}

fn remember(pointer: &Path, folder: &Path) -> Result<(), Unavailable> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let parent = pointer.parent().unwrap_or(pointer);
    fs::create_dir_all(parent).and_then(|()| fs::write(pointer, format!("{name}\n"))).map_err(
        |error| {
            Unavailable::new(
                format!("{} cannot be written: {error}", pointer.display()),
                "set XDG_CACHE_HOME to a folder that can be written to",
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_and_odd_names_are_sentences() {
        let quiet = &mut |_: &str| {};
        let half = Which { image: Some("/boot/vmlinuz".into()), ..Which::default() };
        assert!(obtain(&half, quiet).unwrap_err().mend.contains("--modules"));
        for name in ["", "../x", "a b", ".x"] {
            let odd = Which { kernel: Some(name.into()), ..Which::default() };
            assert!(obtain(&odd, quiet).unwrap_err().why.contains("names no kernel"));
        }
    }
}
