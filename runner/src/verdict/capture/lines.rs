//! Cuts the bytes of a capture into lines, in bounded memory.
//!
//! A serial line, a terminal program and a file system each have their own idea of a line's end:
//! LF, CR LF, CR CR LF and LF CR all end one. NULs belong to no log. They come from a line that was
//! not yet set up, or from UTF-16, which is left as the log's characters by dropping them.

/// Bytes of an unfinished line that are kept. Firmware may write this much on the log's first line.
const KEPT: usize = 8192;
/// How many bytes may gather before they are cut to [`KEPT`].
const GATHERED: usize = 8 * KEPT;

/// The line that is not finished yet.
#[derive(Debug, Default)]
pub struct Lines {
    line: Vec<u8>,
    is_cut: bool,
}

impl Lines {
    /// Takes bytes that hold no line feed, except maybe as the last. With it, the line is over and
    /// this returns whether it is.
    pub fn push(&mut self, piece: &[u8]) -> bool {
        let text = piece.strip_suffix(b"\n").unwrap_or(piece);
        self.line.extend(text.iter().filter(|byte| **byte != 0));
        if self.line.len() > GATHERED {
            self.line.drain(..self.line.len() - KEPT);
            self.is_cut = true;
        }
        text.len() < piece.len()
    }

    /// How many bytes the unfinished line has, as far as they are kept.
    pub fn len(&self) -> usize {
        if self.is_cut { usize::MAX } else { self.line.len() }
    }

    /// The line, or its end if it is long, without what ends it. The next one begins.
    pub fn take(&mut self) -> String {
        let line = std::mem::take(self).line;
        let text = String::from_utf8_lossy(&line);
        text.trim_matches('\r').to_string()
    }
}
