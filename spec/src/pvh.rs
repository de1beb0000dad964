//! What a loader hands over by PVH: Xen's `public/arch-x86/hvm/start_info.h`.

/// First word of the start information.
pub const MAGIC: u32 = 0x336e_c578;

/// `struct hvm_start_info`, version 1.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StartInfo {
    /// [`MAGIC`].
    pub magic: u32,
    /// The memory map is there from version 1 on.
    pub version: u32,
    /// What the guest is.
    pub flags: u32,
    /// How many modules there are.
    pub nr_modules: u32,
    /// Physical address of the list of modules.
    pub modlist_paddr: u64,
    /// Physical address of the command line, which ends in 0; or 0.
    pub cmdline_paddr: u64,
    /// Physical address of ACPI's root pointer, or 0.
    pub rsdp_paddr: u64,
    /// Physical address of the memory map, or 0.
    pub memmap_paddr: u64,
    /// How many entries it has.
    pub memmap_entries: u32,
    /// 0.
    pub reserved: u32,
}

/// `struct hvm_memmap_table_entry`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Memory {
    /// Physical address.
    pub addr: u64,
    /// Bytes.
    pub size: u64,
    /// As in E820: 1 is usable, see [`Memory::RAM`].
    pub r#type: u32,
    /// 0.
    pub reserved: u32,
}

impl Memory {
    /// Usable memory.
    pub const RAM: u32 = 1;
    /// What nobody may use.
    pub const RESERVED: u32 = 2;
    /// ACPI's tables.
    pub const ACPI_TABLES: u32 = 3;
    /// What firmware keeps for its sleep states.
    pub const ACPI_NVS: u32 = 4;
}
