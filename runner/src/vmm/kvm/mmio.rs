//! The scratch device: one page that behaves like memory but is not RAM, so each access exits to
//! the VMM.
//!
//! It holds what was written to it. At first the eight bytes with index `i` are
//! `0x4d4d_494f_0000_0000 + i` ("MMIO" in the upper half). This distinguishes the device's answer
//! from RAM and from no device at all (all ones).

/// Bytes of the device.
pub const SIZE: u64 = 4096;
/// The upper half of each eight bytes at first.
pub const PATTERN: u64 = 0x4d4d_494f_0000_0000;

/// The device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scratch {
    base: u64,
    bytes: Vec<u8>,
}

impl Scratch {
    /// A device at `base`.
    pub fn new(base: u64) -> Self {
        Self {
            base,
            bytes: (0..SIZE / 8).flat_map(|index| (PATTERN + index).to_le_bytes()).collect(),
        }
    }

    /// Reads. Where there is no device, it reads as ones, as an empty bus does.
    pub fn read(&self, address: u64, data: &mut [u8]) {
        for (at, byte) in (address..).zip(data) {
            *byte = self.index(at).map_or(0xff, |index| self.bytes[index]);
        }
    }

    /// Writes. Where there is no device, the write is dropped.
    pub fn write(&mut self, address: u64, data: &[u8]) {
        for (at, byte) in (address..).zip(data) {
            if let Some(index) = self.index(at) {
                self.bytes[index] = *byte;
            }
        }
    }

    fn index(&self, address: u64) -> Option<usize> {
        address.checked_sub(self.base).filter(|offset| *offset < SIZE).map(|offset| offset as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::Scratch;

    #[test]
    fn it_keeps_what_is_written_and_shows_its_pattern_else() {
        let mut device = Scratch::new(0xfeb0_0000);
        let mut data = [0; 8];
        device.read(0xfeb0_0ff8, &mut data);
        assert_eq!(u64::from_le_bytes(data), 0x4d4d_494f_0000_01ff);
        device.write(0xfeb0_0ffe, b"abcd");
        device.read(0xfeb0_0ffc, &mut data);
        assert_eq!(
            data,
            [0x4f, 0x49, b'a', b'b', 0xff, 0xff, 0xff, 0xff],
            "the end of the page is the end"
        );
        device.read(0xfeaf_fffe, &mut data);
        assert_eq!(data, [0xff, 0xff, 0, 0, 0, 0, 0x4f, 0x49]);
    }
}
