//! Room for the image's options in the application, where `maskmatch image` puts them. The runner
//! reads this file too.

/// The room begins with this mark, which is nowhere else in the file.
pub const MARK: &[u8] = b"\x7fmaskmatch options\x7f";
/// The longest line that the image takes.
pub const LINE: usize = 2048;
/// Bytes of the room: the mark, a line, and a 0.
pub const ROOM: usize = MARK.len() + LINE + 1;
