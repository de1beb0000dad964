//! What VirtualBox needs inside: the VMM, its parts for the kernel, and the libraries of the suite
//! that it comes from.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::debian::virtualbox::{FOLDER, LIBRARIES, LOADER};
use crate::lab::initramfs::Extra;
use crate::lab::libraries::{answer, extra, parse_list, read};
use crate::vmm::Unavailable;

/// What is loaded by name. The libraries that these need, the loader lists.
const PARTS: [&str; 4] = ["VBoxVMM.so", "VBoxDD.so", "VMMR0.r0", "VBoxDDR0.r0"];

/// All files, with the paths that they have inside. `root` has Debian's unpacked packages.
///
/// # Errors
/// One is missing.
pub fn gather(root: &Path) -> Result<Vec<Extra>, Unavailable> {
    let folder = root.join(FOLDER);
    let loader = root.join(LOADER);
    let search = format!("{}:{}", root.join(LIBRARIES).display(), folder.display());
    let mut paths = vec![loader.clone()];
    for part in PARTS {
        let part = folder.join(part);
        if part.extension().is_some_and(|extension| extension == "so") {
            let mut list = Command::new(&loader);
            list.args(["--inhibit-cache", "--library-path", &search, "--list"]).arg(&part);
            let listed = answer(&mut list, "list the libraries of VirtualBox")?;
            paths.extend(parse_list(&listed).map_err(|missing| {
                Unavailable::new(format!("VirtualBox lacks the library {missing}"), "add --refresh")
            })?);
        }
        paths.push(part);
    }
    paths.sort();
    paths.dedup();
    let mut files = Vec::new();
    for path in paths {
        // The loader also lists itself, by the path that programs have.
        let Ok(mut inside) = path.strip_prefix(root) else { continue };
        if path == loader {
            // Debian has `/lib64` as a link.
            inside = inside.strip_prefix("usr").unwrap_or(inside);
        }
        let bytes = read(&fs::canonicalize(&path).unwrap_or_else(|_| path.clone()))?;
        files.push(extra(inside, true, bytes));
    }
    Ok(files)
}
