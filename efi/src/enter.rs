//! From 64-bit mode with firmware's page tables to the image's 32-bit entry.
//!
//! The image belongs where firmware may have its page tables, its stack and this application. So
//! everything that is needed on the way is first put into one block below 4 GiB and above the
//! image: the code, its GDT, the image itself, and what the image is handed over.

use core::arch::{asm, global_asm};
use core::mem::offset_of;
use core::ptr::NonNull;

use efi::image::Image;
use efi::options::Line;
use efi::pvh::{self, Memory, StartInfo};
use efi::{FLAT, memory};
use uefi::boot::{self, AllocateType, MemoryType, PAGE_SIZE};
use uefi::mem::memory_map::{MemoryMap, MemoryMapMut, MemoryMapOwned};

/// Selectors of the block's GDT.
const CODE_SELECTOR: u16 = 0x08;
const DATA_SELECTOR: u16 = 0x10;
/// Room for the code below.
const CODE_ROOM: usize = 128;
/// Entries of the memory map that fit.
const MAP_ROOM: usize = 512;
/// A line as [`Line`] can be, and its end.
const LINE_ROOM: usize = size_of::<Line>();
const IA32_EFER: u32 = 0xc000_0080;
const EFER_LME: u32 = 1 << 8;
const CR0_PG: u32 = 1 << 31;
const HIGHEST: u64 = u32::MAX as u64;

/// What the code below reads.
#[repr(C)]
struct Way {
    image: u32,
    address: u32,
    bytes: u32,
    zeroes: u32,
    start_info: u32,
    entry: u32,
}

#[repr(C, align(16))]
struct Block {
    code: [u8; CODE_ROOM],
    gdt: [u64; 3],
    way: Way,
    start_info: StartInfo,
    map: [Memory; MAP_ROOM],
    command_line: [u8; LINE_ROOM],
}

global_asm!(
    r#"
    # On entry: compatibility mode, a flat 32-bit code segment, EDI = the block's `Way`.
    # It runs where it was copied to.
    .code32
    efi_way:
        mov eax, {data}
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov ss, eax
        mov eax, cr0
        and eax, {no_paging}
        mov cr0, eax
        mov ecx, {efer}
        rdmsr
        and eax, {no_lme}
        wrmsr
        xor eax, eax
        mov cr4, eax
        cld
        mov ebx, [edi + {start_info}]
        mov ebp, [edi + {entry}]
        mov esi, [edi + {image}]
        mov ecx, [edi + {bytes}]
        mov edx, [edi + {zeroes}]
        mov edi, [edi + {address}]
        rep movsb
        mov ecx, edx
        rep stosb
        jmp ebp
    efi_way_end:
    .code64
    "#,
    data = const DATA_SELECTOR,
    no_paging = const !CR0_PG,
    efer = const IA32_EFER,
    no_lme = const !EFER_LME,
    start_info = const offset_of!(Way, start_info),
    entry = const offset_of!(Way, entry),
    image = const offset_of!(Way, image),
    bytes = const offset_of!(Way, bytes),
    zeroes = const offset_of!(Way, zeroes),
    address = const offset_of!(Way, address),
);

unsafe extern "C" {
    static efi_way: [u8; 0];
    static efi_way_end: [u8; 0];
}

/// A block that is ready but for the memory map.
pub struct Ready(NonNull<Block>);

impl Ready {
    /// Makes the block.
    ///
    /// # Errors
    /// A sentence that says why the image cannot be entered.
    pub fn new(image: &Image, line: &Line, rsdp: u64) -> Result<Self, &'static str> {
        const NO_MAP: &str = "the firmware gives no memory map";
        let mut now = boot::memory_map(MemoryType::LOADER_DATA).map_err(|_| NO_MAP)?;
        let mut map = EMPTY_MAP;
        let entries = translate(&mut now, &mut map);
        if !memory::usable(&map[..entries], image.address.into(), image.end()) {
            return Err("the firmware keeps memory at 2 MiB, where the image belongs");
        }
        let size = size_of::<Block>() + image.bytes.len();
        let place = AllocateType::MaxAddress(HIGHEST);
        let block = boot::allocate_pages(place, MemoryType::LOADER_DATA, size.div_ceil(PAGE_SIZE))
            .map_err(|_| "there is too little memory below 4 GiB")?
            .cast::<Block>();
        if address(block.as_ptr()) < image.end() {
            return Err("there is no memory between the image and 4 GiB");
        }
        let elf = address(block.as_ptr().wrapping_add(1)) as u32;
        let inside = |offset: usize| address(block.as_ptr()) + offset as u64;
        let filled = Block {
            code: code(),
            gdt: [0, FLAT[0], FLAT[1]],
            way: Way {
                image: elf,
                address: image.address,
                bytes: image.bytes.len() as u32,
                zeroes: image.size - image.bytes.len() as u32,
                start_info: inside(offset_of!(Block, start_info)) as u32,
                entry: image.entry,
            },
            start_info: StartInfo {
                magic: pvh::MAGIC,
                version: 1,
                flags: 0,
                nr_modules: 0,
                modlist_paddr: 0,
                cmdline_paddr: inside(offset_of!(Block, command_line)),
                rsdp_paddr: rsdp,
                memmap_paddr: inside(offset_of!(Block, map)),
                memmap_entries: 0,
                reserved: 0,
            },
            map: EMPTY_MAP,
            command_line: core::array::from_fn(|at| line.as_bytes().get(at).copied().unwrap_or(0)),
        };
        // SAFETY: firmware allocated the block's size and the image's, page-aligned, for us.
        unsafe {
            block.write(filled);
            let room = block.add(1).cast::<u8>();
            room.copy_from_nonoverlapping(NonNull::from(image.bytes).cast(), image.bytes.len());
        }
        Ok(Self(block))
    }

    /// Ends firmware's services and enters the image.
    pub fn go(mut self) -> ! {
        // SAFETY: nothing of the boot services is used after this; the block is memory of ours.
        let mut map = unsafe { boot::exit_boot_services(None) };
        // SAFETY: `new` filled the block, and nobody else has it.
        let block = unsafe { self.0.as_mut() };
        block.start_info.memmap_entries = translate(&mut map, &mut block.map) as u32;
        // LGDT reads a limit of 16 bits and a base of 64.
        let limit = (size_of_val(&block.gdt) - 1) as u128;
        let gdtr: u128 = limit | u128::from(address(&raw const block.gdt)) << 16;
        // SAFETY: firmware's services are gone, and the block's code needs no stack and nothing
        // outside the block. UEFI maps memory one to one.
        unsafe {
            asm!(
                "cli",
                "lgdt [{gdtr}]",
                "push {selector}",
                "push {code}",
                "retfq",
                gdtr = in(reg) &raw const gdtr,
                selector = const CODE_SELECTOR,
                code = in(reg) block.code.as_ptr(),
                in("rdi") &raw const block.way,
                options(noreturn),
            )
        }
    }
}

const EMPTY_MAP: [Memory; MAP_ROOM] =
    [Memory { addr: 0, size: 0, r#type: 0, reserved: 0 }; MAP_ROOM];

fn translate(map: &mut MemoryMapOwned, room: &mut [Memory]) -> usize {
    map.sort();
    memory::translate(map.entries(), room)
}

/// The code above, to be copied.
fn code() -> [u8; CODE_ROOM] {
    let (start, end) = (&raw const efi_way, &raw const efi_way_end);
    let length = (address(end) - address(start)) as usize;
    let mut code = [0; CODE_ROOM];
    // SAFETY: the two symbols are the code's ends; the slice below panics if it has no room.
    let bytes = unsafe { core::slice::from_raw_parts(start.cast::<u8>(), length) };
    code[..length].copy_from_slice(bytes);
    code
}

fn address<T>(at: *const T) -> u64 {
    at as u64
}
