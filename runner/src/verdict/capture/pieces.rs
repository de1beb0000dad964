//! Puts together the lines that Xen's console cuts.
//!
//! What a guest of Xen writes to port 0xe9 is on Xen's console, in pieces of at most [`PIECE`]
//! bytes, each with the domain in front: `(d1) `.

/// Bytes after which Xen begins another line: `DOMAIN_PBUF_SIZE` in its source, less one.
const PIECE: usize = 199;

/// The text with whole lines, or `None` if none was cut.
pub fn joined(text: &str) -> Option<String> {
    let (mut joined, mut is_cut, mut any) = (String::with_capacity(text.len()), false, false);
    for line in text.split_terminator('\n') {
        let piece = piece(line);
        match piece {
            Some(piece) if is_cut => {
                joined.pop();
                joined.push_str(piece);
                any = true;
            }
            _ => joined.push_str(line),
        }
        joined.push('\n');
        is_cut = piece.is_some_and(|piece| piece.len() == PIECE);
    }
    any.then_some(joined)
}

/// What a domain wrote of a line of Xen's console.
fn piece(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("(d")?;
    rest.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix(") ")
}

#[cfg(test)]
mod tests {
    use super::{PIECE, joined};

    #[test]
    fn pieces_of_a_line_are_put_together() {
        let long = "x".repeat(PIECE);
        assert_eq!(
            joined(&format!("(d1) a\n(d1) {long}\n(d1) {long}\n(d1) y\n(d1) z\n")).unwrap(),
            format!("(d1) a\n(d1) {long}{long}y\n(d1) z\n")
        );
        // A line of just this length is followed by an empty one.
        assert_eq!(joined(&format!("(d1) {long}\n(d1) \n")).unwrap(), format!("(d1) {long}\n"));
        assert_eq!(joined(&format!("(d1) {long}\n(XEN) b\n(d1) c\n{long}\nd\n")), None);
    }
}
