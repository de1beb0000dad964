// For build scripts, by `include!`: an EFI application from a position-independent ELF.

/// The PE32+ file for the ELF that `efi.ld` links: a section for each of its segments, a base
/// relocation for each of its relocations.
fn efi_application(elf: &[u8]) -> Vec<u8> {
    use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
    use object::{LittleEndian, Object, RelocationFlags, RelocationTarget, elf as format, pe};

    const PAGE: u32 = 4096;
    const SECTOR: u32 = 512;
    // Both are what the specification of UEFI calls a boot application on x86-64.
    const MACHINE: pe::Machine = pe::IMAGE_FILE_MACHINE_AMD64;
    const SUBSYSTEM: pe::Subsystem = pe::IMAGE_SUBSYSTEM_EFI_APPLICATION;

    let file = ElfFile64::<LittleEndian>::parse(elf).expect("an ELF64");
    let headers = file.elf_header().program_headers(LittleEndian, elf).expect("its segments");
    let mut segments: Vec<(u32, u32, bool, Vec<u8>)> = headers
        .iter()
        .filter(|segment| segment.p_type(LittleEndian) == format::PT_LOAD)
        .map(|segment| {
            let bytes = segment.data(LittleEndian, elf).expect("in the file").to_vec();
            let writable = segment.p_flags(LittleEndian).contains(format::PF_W);
            let (at, size) = (segment.p_vaddr(LittleEndian), segment.p_memsz(LittleEndian));
            (at as u32, size as u32, writable, bytes)
        })
        .collect();

    let mut out = Vec::new();
    let mut writer = object::write::pe::Writer::new(true, PAGE, SECTOR, &mut out);
    writer.reserve_dos_header();
    writer.reserve_nt_headers(pe::IMAGE_NUMBEROF_DIRECTORY_ENTRIES);
    writer.reserve_section_headers(segments.len() as u16 + 1);
    let mut places = Vec::new();
    for (at, size, writable, bytes) in &segments {
        let (name, kind) = if *writable {
            (*b".data\0\0\0", pe::IMAGE_SCN_CNT_INITIALIZED_DATA | pe::IMAGE_SCN_MEM_WRITE)
        } else {
            (*b".text\0\0\0", pe::IMAGE_SCN_CNT_CODE | pe::IMAGE_SCN_MEM_EXECUTE)
        };
        writer.reserve_virtual_until(*at);
        let kind = kind | pe::IMAGE_SCN_MEM_READ;
        let place = writer.reserve_section(name, kind, *size, bytes.len() as u32);
        assert_eq!(place.virtual_address, *at, "a segment overlaps what is before it");
        places.push(place.file_offset);
    }
    let mut relocations: Vec<_> = file.dynamic_relocations().expect("it is dynamic").collect();
    relocations.sort_by_key(|(at, _)| *at);
    for (at, relocation) in relocations {
        let RelocationFlags::Elf { r_type } = relocation.flags() else { unreachable!("an ELF") };
        assert_eq!(r_type, format::R_X86_64_RELATIVE, "at {at:#x}");
        assert_eq!(relocation.target(), RelocationTarget::Absolute, "at {at:#x}");
        let at = at as u32;
        let (start, _, _, bytes) = segments
            .iter_mut()
            .find(|(start, _, _, bytes)| (*start..*start + bytes.len() as u32).contains(&at))
            .expect("it is in a segment");
        let offset = (at - *start) as usize;
        bytes[offset..offset + 8].copy_from_slice(&relocation.addend().to_le_bytes());
        writer.add_reloc(at, pe::IMAGE_REL_BASED_DIR64);
    }
    writer.reserve_reloc_section();
    writer.write_empty_dos_header().expect("memory can be written");
    writer.write_nt_headers(object::write::pe::NtHeaders {
        machine: MACHINE,
        time_date_stamp: 0,
        characteristics: pe::IMAGE_FILE_EXECUTABLE_IMAGE | pe::IMAGE_FILE_LARGE_ADDRESS_AWARE,
        major_linker_version: 0,
        minor_linker_version: 0,
        address_of_entry_point: file.entry() as u32,
        image_base: 0,
        major_operating_system_version: 0,
        minor_operating_system_version: 0,
        major_image_version: 0,
        minor_image_version: 0,
        major_subsystem_version: 0,
        minor_subsystem_version: 0,
        subsystem: SUBSYSTEM,
        dll_characteristics: pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT
            | pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE,
        size_of_stack_reserve: 0,
        size_of_stack_commit: 0,
        size_of_heap_reserve: 0,
        size_of_heap_commit: 0,
    });
    writer.write_section_headers();
    for (place, (_, _, _, bytes)) in places.into_iter().zip(&segments) {
        writer.write_section(place, bytes);
    }
    writer.write_reloc_section();
    out
}
