//! A disk as QEMU's qcow2, version 2 (QEMU's `docs/interop/qcow2.txt`).

const MAGIC: u32 = u32::from_be_bytes(*b"QFI\xfb");
const VERSION: u32 = 2;
const CLUSTER_BITS: u32 = 16;
const CLUSTER: usize = 1 << CLUSTER_BITS;
/// In a table's entry: the cluster is used once, so it can be written in place.
const COPIED: u64 = 1 << 63;
/// The clusters before the data: the header, the table and the block of reference counts, the two
/// levels of mapping tables.
const HEADER: usize = 0;
const COUNTS_TABLE: usize = 1;
const COUNTS: usize = 2;
const L1: usize = 3;
const L2: usize = 4;
const DATA: usize = 5;

/// The file for a disk that one table of each level maps. What is 0 is left out.
pub fn of(disk: &[u8]) -> Vec<u8> {
    assert!(disk.len() <= CLUSTER / 8 * CLUSTER, "one table maps it");
    let mut file = vec![0; DATA * CLUSTER];
    let at = |cluster: usize| (cluster * CLUSTER) as u64;
    let mut put = |place: usize, bytes: &[u8]| file[place..][..bytes.len()].copy_from_slice(bytes);
    for (place, word) in [(0, MAGIC), (4, VERSION), (20, CLUSTER_BITS), (36, 1), (56, 1)] {
        put(HEADER * CLUSTER + place, &word.to_be_bytes());
    }
    for (place, word) in [(24, disk.len() as u64), (40, at(L1)), (48, at(COUNTS_TABLE))] {
        put(HEADER * CLUSTER + place, &word.to_be_bytes());
    }
    put(COUNTS_TABLE * CLUSTER, &at(COUNTS).to_be_bytes());
    put(L1 * CLUSTER, &(at(L2) | COPIED).to_be_bytes());
    for (number, cluster) in disk.chunks(CLUSTER).enumerate() {
        if cluster.iter().any(|byte| *byte != 0) {
            let entry = file.len() as u64 | COPIED;
            file[L2 * CLUSTER + number * 8..][..8].copy_from_slice(&entry.to_be_bytes());
            file.extend(cluster);
            file.resize(file.len().next_multiple_of(CLUSTER), 0);
        }
    }
    for cluster in 0..file.len() / CLUSTER {
        file[COUNTS * CLUSTER + cluster * 2..][..2].copy_from_slice(&1u16.to_be_bytes());
    }
    file
}

#[cfg(test)]
mod tests {
    use super::{CLUSTER, DATA, of};

    #[test]
    fn only_what_is_not_0_takes_room() {
        let mut disk = vec![0; 40 * CLUSTER];
        disk[7 * CLUSTER + 5] = 1;
        let file = of(&disk);
        assert_eq!(file.len(), (DATA + 1) * CLUSTER);
        assert_eq!(file[DATA * CLUSTER + 5], 1);
        let entry = (DATA * CLUSTER) as u64 | 1 << 63;
        assert_eq!(file[4 * CLUSTER + 7 * 8..][..8], entry.to_be_bytes());
    }
}
