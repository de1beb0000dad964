//! How many VM exits of a vCPU KVM has taken, L2's included, and how often it has entered L2: its
//! statistics `exits` and `nested_run`.
//!
//! KVM gives a file for each vCPU (KVM_GET_STATS_FD, Linux 5.14 and later;
//! `Documentation/virt/kvm/api.rst`): a header, a descriptor for each statistic, and the values.
//! All are little-endian here, since x86 is.

#![allow(unsafe_code, reason = "an ioctl that gives a file descriptor")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;

use kvm_ioctls::VcpuFd;

/// `_IO(KVMIO, 0xce)`.
const KVM_GET_STATS_FD: u64 = 0xaece;
/// Bytes of the header: flags, size of a name, number of descriptors, offsets of id, descriptors,
/// and values.
const HEADER: usize = 24;
/// Bytes of a descriptor in front of its name: flags, exponent, size, offset of the value, size of
/// a bucket.
const DESCRIPTOR: usize = 16;
/// With more statistics, or longer names, the answer is not KVM's.
const MAX: u32 = 4096;

/// The counter of one vCPU.
pub struct ExitCounter {
    file: File,
    exits: u64,
    entries: u64,
}

impl ExitCounter {
    /// Finds the statistics; `None` where KVM does not have them.
    pub fn of(vcpu: &VcpuFd) -> Option<Self> {
        // SAFETY: the ioctl has no argument, and gives a new descriptor or -1.
        let fd = unsafe { libc::ioctl(vcpu.as_raw_fd(), KVM_GET_STATS_FD as libc::Ioctl, 0) };
        if fd < 0 {
            return None;
        }
        // SAFETY: the descriptor is new, and nobody else has it.
        let file = unsafe { File::from_raw_fd(fd) };
        let find = |name| place(&mut |at, bytes| file.read_exact_at(bytes, at), name).ok()?;
        let (exits, entries) = (find("exits")?, find("nested_run")?);
        Some(Self { file, exits, entries })
    }

    /// How many exits there have been.
    pub fn read(&self) -> Option<u64> {
        self.value(self.exits)
    }

    /// How many entries of L2 there have been, and how many exits.
    pub fn with_entries(&self) -> Option<(u64, u64)> {
        Some((self.value(self.entries)?, self.read()?))
    }

    fn value(&self, at: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        Some(u64::from_le_bytes(bytes))
    }
}

/// Where the value of a statistic stands in the file that `read` reads at a place.
fn place(
    read: &mut impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    name: &str,
) -> io::Result<Option<u64>> {
    let mut header = [0; HEADER];
    read(0, &mut header)?;
    let word = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (name_size, count, descriptors, values) = (word(4), word(8), word(16), word(20));
    if name_size > MAX || count > MAX {
        return Ok(None);
    }
    let size = DESCRIPTOR + name_size as usize;
    let mut descriptor = vec![0; size];
    for number in 0..u64::from(count) {
        read(u64::from(descriptors) + number * size as u64, &mut descriptor)?;
        let (front, text) = descriptor.split_at(DESCRIPTOR);
        if text.split(|&byte| byte == 0).next() == Some(name.as_bytes()) {
            let offset = u32::from_le_bytes([front[8], front[9], front[10], front[11]]);
            return Ok(Some(u64::from(values) + u64::from(offset)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::place;
    use std::io;

    /// A file with the statistics `halts` and `exits`, names of 8 bytes.
    fn file() -> Vec<u8> {
        let mut bytes: Vec<u8> =
            [0u32, 8, 2, 0, 24, 72].iter().flat_map(|word| word.to_le_bytes()).collect();
        for (name, offset) in [(b"halts\0\0\0", 0u32), (b"exits\0\0\0", 8)] {
            bytes.extend([0; 8]);
            bytes.extend(offset.to_le_bytes());
            bytes.extend([0; 4]);
            bytes.extend(name);
        }
        bytes.extend([7u64, 9].iter().flat_map(|value| value.to_le_bytes()));
        bytes
    }

    fn find(file: &[u8], name: &str) -> io::Result<Option<u64>> {
        place(
            &mut |at, bytes| {
                let part = file.get(at as usize..at as usize + bytes.len());
                bytes.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            },
            name,
        )
    }

    #[test]
    fn a_statistic_is_found_by_its_name() {
        let file = file();
        let at = find(&file, "exits").unwrap().unwrap() as usize;
        assert_eq!(file[at..at + 8], 9u64.to_le_bytes());
        assert_eq!(find(&file, "exit").unwrap(), None);
        assert!(find(&file[..40], "exits").is_err());
        assert_eq!(find(&[0xff; 24], "exits").unwrap(), None);
    }
}
