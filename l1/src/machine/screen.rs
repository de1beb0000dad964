//! The screen, if it is one of 80 by 25 characters: where the log goes on a machine without a
//! serial port.
#![allow(unsafe_code, reason = "the screen's memory")]

use core::ptr::copy;

/// The screen's memory: two bytes for each character, its code and its colour.
pub const TEXT: usize = 0xb_8000;
/// Characters of a row.
pub const COLUMNS: usize = 80;
/// Light grey on black.
pub const COLOUR: u8 = 7;
const ROWS: usize = 25;

/// The screen, filled from the top.
pub struct Screen {
    row: usize,
    column: usize,
}

impl Screen {
    /// An empty one.
    pub const fn new() -> Self {
        Self { row: 0, column: 0 }
    }

    /// Shows bytes.
    #[cold]
    #[inline(never)]
    pub fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' || self.column == COLUMNS {
                self.next_row();
            }
            if byte != b'\n' {
                // SAFETY: `cell` is within the screen.
                unsafe {
                    cell(self.row, self.column).write_volatile(u16::from_le_bytes([byte, COLOUR]));
                };
                self.column += 1;
            }
        }
    }

    fn next_row(&mut self) {
        self.column = 0;
        self.row += 1;
        if self.row == ROWS {
            self.row -= 1;
            // SAFETY: both ranges are rows of the screen, and `copy` lets them overlap.
            unsafe { copy(cell(1, 0), cell(0, 0), (ROWS - 1) * COLUMNS) };
            // SAFETY: the last row is within the screen.
            (0..COLUMNS).for_each(|column| unsafe { cell(self.row, column).write_volatile(0) });
        }
    }
}

/// Where a character is. The low 4 GiB are mapped one to one. Where there is no screen, the place is
/// the PC's hole for one: nothing of L1 is there, nor of a loader after its words were read.
fn cell(row: usize, column: usize) -> *mut u16 {
    (TEXT as *mut u16).wrapping_add(row * COLUMNS + column)
}
