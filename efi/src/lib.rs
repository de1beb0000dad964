//! What the EFI application decides without firmware: its options, the memory map that it hands
//! over, and where the image it carries belongs.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod image;
pub mod memory;
pub mod options;
#[path = "../../spec/src/pvh.rs"]
pub mod pvh;
pub mod room;

/// Descriptors of flat segments for CPL 0: 32-bit code, and data.
pub const FLAT: [u64; 2] = [0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

#[cfg(test)]
mod tests {
    use spec::catalogue::options::MAX_COMMAND_LINE;
    use spec::manual::descriptor::{CODE_32, DATA};

    #[test]
    fn what_stands_here_is_what_spec_says() {
        assert_eq!(super::FLAT, [CODE_32, DATA]);
        assert_eq!(super::room::LINE, MAX_COMMAND_LINE);
    }
}
