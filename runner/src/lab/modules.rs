//! The KVM modules of a kernel: `kvm_intel` and all it needs, in the order in which they load.
//!
//! Dependencies are read from the modules themselves (`depends=` in `.modinfo`): an unpacked
//! package has no `modules.dep`, and a folder that has one says the same. Either of `kvm` and
//! `kvm_intel` may be part of the kernel instead: then it gets its parameters by the kernel's
//! command line.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::kmod;
use crate::files;
use crate::vmm::Unavailable;

/// The module under test.
pub const KVM_INTEL: &str = "kvm_intel";
/// The module that it is built on, which has parameters too.
pub const KVM: &str = "kvm";
/// What the modules that are part of a kernel say about themselves, in its build tree and in the
/// folder of its modules.
const BUILT_IN: &str = "modules.builtin.modinfo";
/// How deep a folder of modules may be.
const MAX_DEPTH: usize = 16;

/// A module ready to be loaded, or one that is part of the kernel.
#[derive(Debug, Clone)]
pub struct Module {
    /// Its name as the kernel has it, with underscores.
    pub name: String,
    /// Where it was found.
    pub file: PathBuf,
    /// The ELF, unpacked and lean; `None`: it is part of the kernel.
    pub elf: Option<Vec<u8>>,
    /// The parameters it has, with their types.
    pub parameters: Vec<(String, String)>,
    /// The kernel that it was built for: the release, then what must be the same in it.
    vermagic: String,
}

/// Finds `kvm_intel` below `folder` and everything that it needs. The last one is `kvm_intel`
/// itself; `instead` is a file to take in its place.
///
/// # Errors
/// A module is missing or unreadable, or `instead` is for one that is part of the kernel.
pub fn gather(folder: &Path, instead: Option<&Path>) -> Result<Vec<Module>, Unavailable> {
    let mut index = index_built(folder);
    if index.is_empty() {
        index_folder(folder, MAX_DEPTH, &mut index);
    }
    let of_tree = Some(folder.join(BUILT_IN)).filter(|path| path.is_file());
    let said = of_tree.or_else(|| index.get(BUILT_IN).cloned());
    let mut loaded = said.map_or(Ok(Vec::new()), |file| built_in(&file))?;
    if let Some(file) = instead {
        if loaded.iter().any(|module| module.name == KVM_INTEL) {
            return Err(Unavailable::new(
                format!("{} cannot be used: {KVM_INTEL} is part of this kernel", file.display()),
                "leave out --kvm-intel, or name a kernel with CONFIG_KVM_INTEL=m",
            ));
        }
        index.insert(KVM_INTEL.to_string(), file.to_path_buf());
    }
    visit(KVM_INTEL, folder, &index, &mut Vec::new(), &mut loaded)?;
    Ok(loaded)
}

/// The parameters of all modules with their types. Those of other modules than `kvm_intel` have the
/// module's name before theirs.
pub fn parameters(modules: &[Module]) -> Vec<(String, String)> {
    let of = |module: &Module| {
        let before =
            if module.name == KVM_INTEL { String::new() } else { format!("{}.", module.name) };
        let named = |(name, kind): &(String, String)| (format!("{before}{name}"), kind.clone());
        module.parameters.iter().map(named).collect::<Vec<_>>()
    };
    modules.iter().flat_map(of).collect()
}

/// Checks that all modules were built for the kernel of this release, and in the same way.
///
/// # Errors
/// One was not.
pub fn check(modules: &[Module], release: &str) -> Result<(), Unavailable> {
    let Some(first) = modules.iter().find(|module| module.elf.is_some()) else { return Ok(()) };
    for Module { vermagic, file, .. } in modules.iter().filter(|module| module.elf.is_some()) {
        let built_for = vermagic.split(' ').next().unwrap_or_default();
        let why = if built_for != release {
            format!("it was built for Linux {built_for}, and the kernel is {release}")
        } else if *vermagic != first.vermagic {
            format!(
                "its vermagic is '{vermagic}', that of the kernel's modules '{}'",
                first.vermagic
            )
        } else {
            continue;
        };
        return Err(wrong(file, why));
    }
    Ok(())
}

/// Copies the files that [`gather`] would read from `from` to `to`, as they are.
///
/// # Errors
/// As [`gather`], or the copy cannot be written.
pub fn copy_needed(from: &Path, to: &Path) -> Result<(), Unavailable> {
    for module in gather(from, None)? {
        let name = module.file.file_name().unwrap_or_default();
        fs::create_dir_all(to).and_then(|()| fs::copy(&module.file, to.join(name))).map_err(
            |error| {
                Unavailable::new(
                    format!(
                        "{} cannot be copied to {}: {error}",
                        module.file.display(),
                        to.display()
                    ),
                    "check the folder's free space and permissions",
                )
            },
        )?;
    }
    Ok(())
}

/// Those of `kvm` and `kvm_intel` that are part of the kernel, by the file that says so.
fn built_in(file: &Path) -> Result<Vec<Module>, Unavailable> {
    let said = files::read(file, kmod::LIMIT as u64).map_err(|error| wrong(file, error))?;
    let said = kmod::entries(&said);
    let of = |name: &str| {
        let own = |key: &str| Some(key.strip_prefix(name)?.strip_prefix('.')?.to_string());
        let info = said.iter().filter_map(|(key, value)| Some((own(key)?, value.clone())));
        let info: Vec<_> = info.collect();
        (!info.is_empty()).then(|| Module {
            name: name.into(),
            file: file.to_path_buf(),
            elf: None,
            parameters: kmod::parameters(&info),
            vermagic: String::new(),
        })
    };
    Ok([KVM, KVM_INTEL].into_iter().filter_map(of).collect())
}

/// The modules that a kernel's build tree lists, in which copies of them may lie about. Empty for any
/// other folder.
fn index_built(folder: &Path) -> HashMap<String, PathBuf> {
    let listed = fs::read_to_string(folder.join("modules.order")).unwrap_or_default();
    // As `arch/x86/kvm/kvm.o`, by older kernels `kernel/arch/x86/kvm/kvm.ko`.
    let built = |line: &str| {
        let path = line.strip_prefix("kernel/").unwrap_or(line);
        Some(folder.join(path).with_extension("ko")).filter(|path| path.is_file())
    };
    let paths = listed.lines().filter_map(built);
    paths.filter_map(|path| Some((module_name(&path)?, path))).collect()
}

/// Adds every module file below `folder` under its name, and what is said of those that are part of
/// the kernel.
fn index_folder(folder: &Path, depth: usize, index: &mut HashMap<String, PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth > 0 {
                index_folder(&path, depth - 1, index);
            }
        } else if path.ends_with(BUILT_IN) {
            index.insert(BUILT_IN.into(), path);
        } else if let Some(name) = module_name(&path) {
            index.insert(name, path);
        }
    }
}

/// `kvm-intel.ko.xz` is `kvm_intel`; `None`: not a module's file.
fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let packing = [".xz", ".zst", ".gz"];
    let name = packing.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    Some(name.strip_suffix(".ko")?.replace('-', "_"))
}

/// Reads `name` after all it depends on. `above`: the modules on the way to it, so that a cycle
/// ends.
fn visit(
    name: &str,
    folder: &Path,
    index: &HashMap<String, PathBuf>,
    above: &mut Vec<String>,
    loaded: &mut Vec<Module>,
) -> Result<(), Unavailable> {
    let name = name.replace('-', "_");
    if loaded.iter().any(|module| module.name == name) || above.contains(&name) {
        return Ok(());
    }
    let file = index.get(&name).ok_or_else(|| {
        Unavailable::new(
            format!(
                "{} has no module {name}, and says of none that it is built in",
                folder.display()
            ),
            "name the folder of the kernel's own modules (lib/modules/RELEASE) with --modules",
        )
    })?;
    let wrong = |why: String| wrong(file, why);
    let bytes = files::read(file, kmod::LIMIT as u64).map_err(|error| wrong(error.to_string()))?;
    let elf = kmod::unpack(bytes).map_err(wrong)?;
    let info = kmod::info(&elf).map_err(wrong)?;
    let own_name = kmod::value(&info, "name");
    if !own_name.is_empty() && own_name != name {
        return Err(wrong(format!("it is the module {own_name}, not {name}")));
    }
    above.push(name.clone());
    for needed in kmod::dependencies(&info) {
        visit(&needed, folder, index, above, loaded)?;
    }
    above.pop();
    let (parameters, vermagic) =
        (kmod::parameters(&info), kmod::value(&info, "vermagic").to_string());
    // A module that cannot be made leaner still loads, only slower.
    let elf = kmod::lean(&elf).unwrap_or(elf);
    loaded.push(Module { name, file: file.clone(), elf: Some(elf), parameters, vermagic });
    Ok(())
}

/// Why a module's file is not taken.
fn wrong(file: &Path, why: impl fmt::Display) -> Unavailable {
    Unavailable::new(
        format!("{} cannot be used: {why}", file.display()),
        "name a module that was built for this kernel",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kernels() {
        let name = |text: &str| module_name(Path::new(text));
        assert_eq!(name("a/kvm-intel.ko.xz"), Some("kvm_intel".into()));
        assert_eq!(name("irqbypass.ko"), Some("irqbypass".into()));
        assert_eq!(name("modules.dep"), None);
    }

    #[test]
    fn of_a_build_tree_what_it_lists_counts() {
        let tree = tempfile::tempdir().unwrap();
        for path in ["arch/x86/kvm/kvm-intel.ko", "virt/lib/irqbypass.ko", "copy/kvm-intel.ko"] {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        assert!(index_built(tree.path()).is_empty());
        for listed in [
            "arch/x86/kvm/kvm-intel.o\nvirt/lib/irqbypass.o\nnot/built.o\n",
            "kernel/arch/x86/kvm/kvm-intel.ko\nkernel/virt/lib/irqbypass.ko\n",
        ] {
            fs::write(tree.path().join("modules.order"), listed).unwrap();
            let index = index_built(tree.path());
            assert_eq!(index.len(), 2, "{index:?}");
            assert_eq!(index[KVM_INTEL], tree.path().join("arch/x86/kvm/kvm-intel.ko"));
        }
    }

    #[test]
    fn what_is_part_of_the_kernel_is_not_looked_for() {
        let tree = tempfile::tempdir().unwrap();
        let say = |path: &str, text: &str| {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        // Left by an earlier build.
        say("arch/x86/kvm/kvm-intel.ko", "");
        say(
            "lib/modules.builtin.modinfo",
            "kvm.license=GPL\0kvm.parmtype=tdp_mmu:bool\0kvm_intel.parmtype=ept:bool\0",
        );
        let found = gather(tree.path(), None).unwrap();
        let named = |name: &str| (name.to_string(), "bool".to_string());
        assert_eq!(parameters(&found), [named("kvm.tdp_mmu"), named("ept")]);
        assert!(found.iter().all(|module| module.elf.is_none()));
        assert_eq!(check(&found, "6.1.0"), Ok(()));
        let kept = tempfile::tempdir().unwrap();
        copy_needed(tree.path(), kept.path()).unwrap();
        assert_eq!(gather(kept.path(), None).unwrap().len(), 2);
        let other = gather(tree.path(), Some(Path::new("/x/kvm-intel.ko"))).unwrap_err();
        assert!(other.why.contains("is part of this kernel"), "{other:?}");
        // The tree's own word counts, and kvm_intel is then a module, which this one is not.
        say("modules.builtin.modinfo", "kvm.license=GPL\0");
        assert!(gather(tree.path(), None).unwrap_err().why.contains("kvm-intel.ko cannot be used"));
    }

    #[test]
    fn modules_are_of_one_kernel() {
        let module = |vermagic: &str| Module {
            name: "kvm".into(),
            file: "kvm.ko".into(),
            elf: Some(Vec::new()),
            parameters: Vec::new(),
            vermagic: vermagic.into(),
        };
        let why = |first: &str, second: &str| {
            check(&[module(first), module(second)], "6.1.0-57").map_err(|e| e.why)
        };
        assert_eq!(why("6.1.0-57 SMP ", "6.1.0-57 SMP "), Ok(()));
        assert!(
            why("6.1.0-57 SMP ", "6.1.0-5 SMP ")
                .unwrap_err()
                .contains("built for Linux 6.1.0-5, and")
        );
        assert!(
            why("6.1.0-57 SMP ", "6.1.0-57 SMP preempt ").unwrap_err().contains("its vermagic is")
        );
        assert!(why("6.1.0-57 SMP ", "").is_err());
    }

    #[test]
    fn a_folder_without_the_module_is_a_sentence() {
        let error = gather(Path::new("/nonexistent"), None).unwrap_err();
        assert!(error.why.contains("kvm_intel"));
    }
}
