//! Unpacks what a kernel package holds: the kernel itself and its modules, in whichever format they
//! were packed.
//!
//! The first bytes show the format. The caller bounds every result, so a damaged file ends in a
//! sentence and does not fill the machine's memory.

use std::io::Read;

/// The LZ4 that the kernel's build uses: the "legacy" frame, blocks of a length and data without
/// checksums.
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
/// What a block of that format unpacks to at most.
const LZ4_LEGACY_BLOCK: usize = 8 << 20;
/// Zstandard windows as large as `zstd --ultra -22` makes them.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 1952.
    Gzip,
    /// The .xz container, whichever filters it names.
    Xz,
    /// RFC 8878.
    Zstd,
    /// LZ4's legacy frame.
    Lz4,
}

impl Format {
    /// What `packed` starts with, or `None` if it is unknown.
    pub fn of(packed: &[u8]) -> Option<Self> {
        let known: [(&[u8], Self); 4] = [
            (b"\x1f\x8b", Self::Gzip),
            (b"\xfd7zXZ\0", Self::Xz),
            (b"\x28\xb5\x2f\xfd", Self::Zstd),
            (&LZ4_LEGACY, Self::Lz4),
        ];
        known.into_iter().find(|(magic, _)| packed.starts_with(magic)).map(|(_, format)| format)
    }
}

/// Unpacks the one stream that `packed` starts with, and ignores what follows it.
///
/// # Errors
/// A clause that says what is wrong: an unknown format, damage, or more than `limit` bytes.
pub fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let format = Format::of(packed)
        .ok_or("it is packed in a format that is neither gzip, xz, zstd nor lz4")?;
    match format {
        Format::Gzip => read(flate2::bufread::GzDecoder::new(packed), limit),
        Format::Xz => read(liblzma::bufread::XzDecoder::new(packed), limit),
        Format::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::with_buffer(packed).map_err(damage)?.single_frame();
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(damage)?;
            read(decoder, limit)
        }
        Format::Lz4 => lz4(packed, limit),
    }
}

fn read(decoder: impl Read, limit: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(damage)?;
    if bytes.len() > limit { Err(too_long(limit)) } else { Ok(bytes) }
}

fn lz4(packed: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = &packed[LZ4_LEGACY.len()..];
    // The kernel's build pads nothing, but appends four bytes: the length of the result.
    while rest.len() > 4 {
        let (size, after) = rest.split_at(4);
        let size = u32::from_le_bytes(size.try_into().map_err(damage)?) as usize;
        let (block, after) = after.split_at_checked(size).ok_or("an lz4 block is cut off")?;
        bytes.extend(lz4_flex::block::decompress(block, LZ4_LEGACY_BLOCK).map_err(damage)?);
        if bytes.len() > limit {
            return Err(too_long(limit));
        }
        rest = after;
    }
    Ok(bytes)
}

fn damage(error: impl std::fmt::Display) -> String {
    format!("it does not unpack: {error}")
}

fn too_long(limit: usize) -> String {
    format!("it unpacks to more than {limit} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn sample() -> Vec<u8> {
        (0..200_000_u32).flat_map(|i| (i.wrapping_mul(i) >> 7).to_le_bytes()).collect()
    }

    fn packed(format: Format) -> Vec<u8> {
        let sample = sample();
        match format {
            Format::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&sample).unwrap();
                encoder.finish().unwrap()
            }
            Format::Xz => {
                // As the kernel's build packs itself: the x86 filter before LZMA2.
                let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
                let mut filters = liblzma::stream::Filters::new();
                filters.x86().lzma2(&options);
                let stream = liblzma::stream::Stream::new_stream_encoder(
                    &filters,
                    liblzma::stream::Check::Crc32,
                )
                .unwrap();
                let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
                encoder.write_all(&sample).unwrap();
                encoder.finish().unwrap()
            }
            Format::Zstd => zstd::stream::encode_all(&sample[..], 1).unwrap(),
            Format::Lz4 => {
                let mut bytes = LZ4_LEGACY.to_vec();
                for block in sample.chunks(300_000) {
                    let block = lz4_flex::block::compress(block);
                    bytes.extend((block.len() as u32).to_le_bytes());
                    bytes.extend(block);
                }
                bytes
            }
        }
    }

    #[test]
    fn each_format_unpacks_and_ignores_the_length_after_it() {
        for format in [Format::Gzip, Format::Xz, Format::Zstd, Format::Lz4] {
            let mut bytes = packed(format);
            assert_eq!(Format::of(&bytes), Some(format));
            bytes.extend([1, 2, 3, 4]);
            assert!(unpack(&bytes, 1 << 20).unwrap() == sample(), "{format:?}");
        }
    }

    #[test]
    fn damage_and_excess_are_errors() {
        for format in [Format::Gzip, Format::Xz, Format::Zstd, Format::Lz4] {
            let bytes = packed(format);
            assert!(unpack(&bytes, 1000).is_err(), "{format:?} too long");
            assert!(unpack(&bytes[..bytes.len() / 2], 1 << 20).is_err(), "{format:?} cut");
        }
        assert!(unpack(b"plain", 10).is_err());
    }
}
