//! Memory that keeps the log, for a VMM or a debugger that reads it, or for a Linux that boots after
//! a reset: its ramoops has the same form for a console (fs/pstore/ram_core.c, `struct
//! persistent_ram_buffer`).
#![allow(unsafe_code, reason = "writes memory that the options give")]

use spec::catalogue::machine::Region;

/// "DBGC", then where the oldest byte is and how many there are.
const SIGNATURE: u32 = 0x4347_4244;
const HEADER: u32 = 12;

/// The memory.
pub struct Kept {
    region: Region,
    length: u32,
}

impl Kept {
    /// An empty log in a region. `None` if that is no memory.
    pub fn begin(region: Region) -> Option<Self> {
        let kept = Self { region, length: 0 };
        kept.write_header();
        // SAFETY: as in `write_header`.
        let first = unsafe { (region.start as usize as *const u32).read_volatile() };
        (first == SIGNATURE).then_some(kept)
    }

    fn write_header(&self) {
        let header = self.region.start as usize as *mut [u32; 3];
        // SAFETY: `Region` is below 4 GiB, so mapped, above all of the image, and has room for the
        // header. The loader's map is cut there, so nothing of L1 or L2 is in it.
        unsafe { header.write_volatile([SIGNATURE, 0, self.length]) };
    }

    /// Adds bytes while there is room: a log that has none left is cut.
    #[cold]
    #[inline(never)]
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes.iter().take((self.region.size - HEADER - self.length) as usize) {
            let at = self.region.start + HEADER + self.length;
            // SAFETY: as in `write_header`: it is within the region.
            unsafe { (at as usize as *mut u8).write_volatile(byte) };
            self.length += 1;
        }
        self.write_header();
    }
}
