//! The log that the image keeps in memory: signature, where the oldest byte is, how many bytes there
//! are, each in 32 bits, and the bytes (`memory=` of the image's options).
//!
//! A byte at COM1 would go through VirtualBox's threads, at 20,000 instructions each. What the image
//! writes to memory costs the machine nothing.

use std::fs::{File, OpenOptions};
use std::io::Write;

use crate::vmm::Machine;

/// "DBGC", as the image has it.
const SIGNATURE: u32 = 0x4347_4244;
const HEADER: usize = 12;
/// What is read at once.
const PIECE: usize = 4096;

/// The log, and how much of it was passed on.
pub struct Kept {
    address: u64,
    passed_on: u32,
    file: File,
}

impl Kept {
    /// The log at an address of RAM, written as 0x400000. A file gets its bytes.
    ///
    /// # Errors
    /// The address is no number, or the file cannot be written.
    pub fn new(address: &str, path: &str) -> Result<Self, String> {
        let digits = address.strip_prefix("0x").unwrap_or(address);
        let address = u64::from_str_radix(digits, 16).map_err(|error| error.to_string())?;
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.map_err(|error| format!("{path}: {error}"))?;
        Ok(Self { address, passed_on: 0, file })
    }

    /// Passes on what the image has written since the last time.
    ///
    /// # Errors
    /// VirtualBox does not give the memory, or the file cannot be written.
    pub fn pass_on(&mut self, machine: &Machine<'_>) -> Result<(), String> {
        let mut header = [0; HEADER];
        machine.read(self.address, &mut header)?;
        let word = |at: usize| {
            header[at..].first_chunk().map_or(0, |bytes: &[u8; 4]| u32::from_le_bytes(*bytes))
        };
        // Before the image has begun its log there is none.
        let length = if word(0) == SIGNATURE { word(8) } else { 0 };
        let mut piece = [0; PIECE];
        while self.passed_on < length {
            let room = PIECE.min((length - self.passed_on) as usize);
            let bytes = &mut piece[..room];
            machine.read(self.address + (HEADER as u64) + u64::from(self.passed_on), bytes)?;
            self.file.write_all(bytes).map_err(|error| error.to_string())?;
            self.passed_on += room as u32;
        }
        Ok(())
    }
}
