//! Captures that are packed.
//!
//! The first bytes show how. What is packed by a program that is not known here is named, so that
//! nobody looks for a log in it in vain.

use std::io::{self, BufReader, Cursor, Read};

use liblzma::stream::{CONCATENATED, Stream};

/// Windows as large as `zstd --ultra -22` makes them.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Twice what `xz -9` needs.
const XZ_MEMORY: u64 = 128 << 20;
/// What other packers begin with.
const OTHERS: [(&[u8], &str); 5] = [
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"LZIP", "lzip"),
];

/// A capture's bytes, unpacked if they are packed.
///
/// # Errors
/// The first bytes cannot be read.
pub fn unpacked<'a>(mut input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::new();
    input.by_ref().take(8).read_to_end(&mut start)?;
    let input = BufReader::new(Cursor::new(start.clone()).chain(input));
    let is = |magic: &[u8]| start.starts_with(magic);
    Ok(if is(b"\x1f\x8b") {
        Box::new(Damage(flate2::bufread::MultiGzDecoder::new(input), "gzip"))
    } else if is(b"\xfd7zXZ\0") {
        let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
        Box::new(Damage(liblzma::bufread::XzDecoder::new_stream(input, stream), "xz"))
    } else if is(b"\x28\xb5\x2f\xfd") {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        Box::new(Damage(decoder, "zstd"))
    } else if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| is(magic)) {
        let why = format!("the capture is packed by {name}: unpack it first");
        Box::new(Damage(Refused(why), name))
    } else {
        Box::new(input)
    })
}

/// What is wrong with the packed bytes, if an error of reading says that.
pub fn damage(error: &io::Error) -> Option<String> {
    (error.kind() == io::ErrorKind::InvalidData).then(|| error.to_string())
}

/// A decoder whose errors are about the packed bytes.
struct Damage<R>(R, &'static str);

impl<R: Read> Read for Damage<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            io::ErrorKind::Unsupported => {
                io::Error::new(io::ErrorKind::InvalidData, error.to_string())
            }
            _ => io::Error::new(
                io::ErrorKind::InvalidData,
                format!("what {} packed is damaged, and the rest is lost: {error}", self.1),
            ),
        })
    }
}

/// Cannot be read.
struct Refused(String);

impl Read for Refused {
    fn read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::new(io::ErrorKind::Unsupported, self.0.clone()))
    }
}
