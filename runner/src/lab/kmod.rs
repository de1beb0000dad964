//! One kernel module's file: what it says about itself, and a leaner copy of it.
//!
//! Loading a module in an emulator costs by the byte and by the entry: a hash for a signature that
//! nobody checks, BTF to verify, one ftrace record per function, unwind tables to sort. These are
//! 24 of 48 million instructions of 6.1's three modules. [`lean`] leaves them out. Code, data and
//! relocations stay as they are, and functions keep their names, which a stack trace marks as
//! unreliable.

use std::collections::HashSet;

use object::build::elf::{Builder, SectionData, SymbolId};
use object::elf::{FileHeader64, R_X86_64_NONE, SHN_UNDEF, STB_LOCAL, STT_FUNC};
use object::read::elf::{FileHeader, SectionHeader};
use object::{LittleEndian, pod};

use super::decompress::{self, Format};

/// More than any module unpacks to.
pub const LIMIT: usize = 64 << 20;
/// Sections that only debuggers, BPF, ftrace and the unwinder read. Without `__mcount_loc`, ftrace
/// does not know the module's functions. Their entry stays as compiled: a call that returns at
/// once, or a no-op.
const SPARED: &[&str] = &[
    ".BTF",
    ".BTF.base",
    "__mcount_loc",
    ".comment",
    ".gnu.build.attributes",
    ".orc_unwind",
    ".orc_unwind_ip",
    ".orc_header",
];

/// The module's ELF, unpacked if it was packed.
///
/// # Errors
/// A clause that says what is wrong with the file.
pub fn unpack(file: Vec<u8>) -> Result<Vec<u8>, String> {
    match Format::of(&file) {
        Some(_) => decompress::unpack(&file, LIMIT),
        None => Ok(file),
    }
}

/// What `.modinfo` says: every `key=value` in order.
///
/// # Errors
/// A clause that says why `elf` is not a module.
pub fn info(elf: &[u8]) -> Result<Vec<(String, String)>, String> {
    let damaged = |_| "it is not a kernel module for x86-64".to_string();
    let (header, _) =
        pod::from_bytes::<FileHeader64<LittleEndian>>(elf).map_err(|()| "it is cut off")?;
    if !header.is_supported() {
        return Err("it is not a 64-bit ELF".into());
    }
    let sections = header.sections(LittleEndian, elf).map_err(damaged)?;
    let (_, section) =
        sections.section_by_name(LittleEndian, b".modinfo").ok_or("it has no .modinfo section")?;
    section.data(LittleEndian, elf).map(entries).map_err(damaged)
}

/// Every `key=value` in order, of which each ends with a zero.
pub fn entries(data: &[u8]) -> Vec<(String, String)> {
    let entries = data.split(|byte| *byte == 0).filter_map(|entry| {
        let (key, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
        Some((key.to_string(), value.to_string()))
    });
    entries.collect()
}

/// The modules that this one needs, by the names that `.modinfo` gives them.
pub fn dependencies(info: &[(String, String)]) -> Vec<String> {
    let lists =
        info.iter().filter(|(key, _)| key == "depends").flat_map(|(_, value)| value.split(','));
    lists.filter(|name| !name.is_empty()).map(str::to_string).collect()
}

/// The parameters that the module knows, each with its type.
pub fn parameters(info: &[(String, String)]) -> Vec<(String, String)> {
    // `parm` is the description and optional, `parmtype` comes with every parameter.
    let types = info
        .iter()
        .filter(|(key, _)| key == "parmtype")
        .filter_map(|(_, value)| value.split_once(':'));
    types.map(|(name, kind)| (name.into(), kind.into())).collect()
}

/// The one value of a key, or nothing.
pub fn value<'a>(info: &'a [(String, String)], key: &str) -> &'a str {
    info.iter().find(|(known, _)| known == key).map_or("", |(_, value)| value)
}

/// A copy that loads faster.
///
/// # Errors
/// A clause, if the file's layout is not understood. Then use the file as it is.
pub fn lean(elf: &[u8]) -> Result<Vec<u8>, String> {
    let wrong = |error: &dyn std::fmt::Display| format!("it cannot be made leaner: {error}");
    let mut builder = Builder::read64(elf).map_err(|error| wrong(&error))?;
    let spared: HashSet<usize> = builder
        .sections
        .iter()
        .filter(|section| std::str::from_utf8(section.name.as_slice()).is_ok_and(is_spared))
        .map(|section| object::build::Id::index(&section.id()))
        .collect();
    for section in &mut builder.sections {
        let target =
            section.sh_info_section.filter(|_| matches!(section.data, SectionData::Relocation(_)));
        let of_spared = target.is_some_and(|id| spared.contains(&object::build::Id::index(&id)));
        section.delete |= of_spared || spared.contains(&object::build::Id::index(&section.id()));
    }
    let used: HashSet<usize> = builder
        .sections
        .iter()
        .filter(|section| !section.delete)
        .filter_map(|section| {
            if let SectionData::Relocation(list) = &section.data { Some(list) } else { None }
        })
        .flatten()
        .filter(|relocation| relocation.r_type != R_X86_64_NONE)
        .filter_map(|relocation| relocation.symbol)
        .map(|id: SymbolId| object::build::Id::index(&id))
        .collect();
    for symbol in &mut builder.symbols {
        let unused = !used.contains(&object::build::Id::index(&symbol.id()));
        let local = symbol.st_bind() == STB_LOCAL && symbol.st_type() != STT_FUNC;
        let undefined = symbol.section.is_none() && symbol.st_shndx == SHN_UNDEF;
        symbol.delete |= unused && (local || undefined);
    }
    let mut bytes = Vec::new();
    builder.write(&mut bytes).map_err(|error| wrong(&error))?;
    Ok(bytes)
}

fn is_spared(name: &str) -> bool {
    SPARED.contains(&name) || name.starts_with(".debug_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modinfo_says_dependencies_and_parameters() {
        let info: Vec<(String, String)> = [
            ("depends", "kvm,irqbypass"),
            ("parmtype", "ept:bool"),
            ("parm", "ept:x"),
            ("depends", ""),
        ]
        .map(|(key, value)| (key.into(), value.into()))
        .into();
        assert_eq!(dependencies(&info), ["kvm", "irqbypass"]);
        assert_eq!(parameters(&info), [("ept".into(), "bool".into())]);
        assert_eq!((value(&info, "parm"), value(&info, "vermagic")), ("ept:x", ""));
    }

    #[test]
    fn what_is_no_module_is_an_error() {
        for bytes in [&b""[..], b"\x7fELF", &[0; 300]] {
            assert!(info(bytes).is_err());
            assert!(lean(bytes).is_err());
        }
        assert_eq!(unpack(b"plain".to_vec()), Ok(b"plain".to_vec()));
    }
}
