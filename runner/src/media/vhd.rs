//! A disk as a fixed VHD, which Azure and Hyper-V take: the disk, and a footer (Microsoft, "Virtual
//! Hard Disk Image Format Specification", "Hard Disk Footer Format").

use super::disk::SIZE;

/// Cylinders, heads, sectors of a track.
pub const GEOMETRY: (u16, u8, u8) = (512, 4, 17);
// Programs that go by the geometry then see the whole disk.
const _: () =
    assert!(GEOMETRY.0 as usize * GEOMETRY.1 as usize * GEOMETRY.2 as usize * 512 == SIZE);

const FOOTER: usize = 512;
const CHECKSUM: usize = 64;
const RESERVED_FEATURE: u32 = 2;
const VERSION: u32 = 0x1_0000;
const FIXED: u32 = 2;

/// Adds the footer.
pub fn of(mut disk: Vec<u8>) -> Vec<u8> {
    let size = (disk.len() as u64).to_be_bytes();
    let mut footer = [0; FOOTER];
    let mut put =
        |place: usize, bytes: &[u8]| footer[place..][..bytes.len()].copy_from_slice(bytes);
    put(0, b"conectix");
    put(8, &RESERVED_FEATURE.to_be_bytes());
    put(12, &VERSION.to_be_bytes());
    // Where a dynamic disk's header is: a fixed one has none.
    put(16, &u64::MAX.to_be_bytes());
    put(28, b"mskm");
    put(32, &VERSION.to_be_bytes());
    put(40, &size);
    put(48, &size);
    put(56, &GEOMETRY.0.to_be_bytes());
    put(58, &[GEOMETRY.1, GEOMETRY.2]);
    put(60, &FIXED.to_be_bytes());
    // A UUID of its own, which all of these disks share.
    put(68, b"maskmatch's disk");
    let sum: u32 = footer.iter().map(|byte| u32::from(*byte)).sum();
    footer[CHECKSUM..][..4].copy_from_slice(&(!sum).to_be_bytes());
    disk.extend(footer);
    disk
}

#[cfg(test)]
mod tests {
    use super::{CHECKSUM, of};
    use crate::media::disk::SIZE;

    #[test]
    fn the_footer_checks_itself() {
        let file = of(vec![0; SIZE]);
        let footer = &file[SIZE..];
        assert_eq!((footer.len(), &footer[..8]), (512, &b"conectix"[..]));
        let checked = |at: usize| !(CHECKSUM..CHECKSUM + 4).contains(&at);
        let sum: u32 = (0..512).filter(|at| checked(*at)).map(|at| u32::from(footer[at])).sum();
        assert_eq!(footer[CHECKSUM..][..4], (!sum).to_be_bytes());
    }
}
