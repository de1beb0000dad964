//! The image's options: passed to the application, else from the file beside it, else those that
//! `maskmatch image` put into it.

use arrayvec::ArrayString;

use crate::room::LINE;

/// The file that a user can edit. GRUB reads the same one as a script.
pub const FILE: &str = "maskmatch.txt";
/// What the option's line in it begins with.
const KEY: &str = "options=";
/// What the file may have, comments included.
pub const FILE_ROOM: usize = 4 * LINE;

/// A command line, with a byte more than it may have, so that one that is too long shows.
pub type Line = ArrayString<{ LINE + 1 }>;

/// Takes as much of a text as there is room for, as ASCII.
pub fn line(text: impl Iterator<Item = char>) -> Line {
    let mut line = Line::new();
    for character in text {
        // DEL stands for what no option has.
        let shown = if character.is_ascii() { character } else { '\x7f' };
        if line.try_push(shown).is_err() {
            break;
        }
    }
    line
}

/// The options that the file has: what the quotes hold after the last `options=`.
#[must_use]
pub fn of_file(text: &[u8]) -> Option<Line> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let value = lines.filter_map(|line| line.strip_prefix(KEY.as_bytes())).next_back()?;
    let value = match value {
        [open @ (b'"' | b'\''), inner @ .., close] if open == close => inner,
        bare => bare,
    };
    Some(line(value.iter().copied().map(char::from)))
}

/// The options that were passed as EFI's load options, which are UTF-16. `None` if there is no text
/// in them.
#[must_use]
pub fn of_load_options(bytes: &[u8]) -> Option<Line> {
    let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let text =
        char::decode_utf16(units.take_while(|unit| *unit != 0)).map(Result::unwrap_or_default);
    // Firmware may leave bytes of its own there.
    let text = line(text);
    let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    // One word without a value is the application's own name.
    (printable && text.contains('=')).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::{of_file, of_load_options};
    use crate::room::LINE;

    fn utf16(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn the_last_line_of_options_counts_however_editors_end_lines() {
        for text in [
            "# options=\"no\"\noptions=\"profile=quick filter=a.*\"\n",
            "options=x\r\n options='profile=quick filter=a.*' \r\n# end",
            "options=profile=quick filter=a.*",
        ] {
            assert_eq!(of_file(text.as_bytes()).unwrap().as_str(), "profile=quick filter=a.*");
        }
        assert_eq!(of_file(b"# nothing\n"), None);
        assert_eq!(of_file(b"options=\"\"").unwrap().as_str(), "");
        let long = [b"options=".as_slice(), &[b'x'; 9000]].concat();
        assert_eq!(of_file(&long).unwrap().len(), LINE + 1, "it stays too long");
    }

    #[test]
    fn only_text_with_an_option_is_passed() {
        let passed = |bytes: &[u8]| of_load_options(bytes).map(|line| line.as_str().len());
        assert_eq!(passed(&utf16("maskmatch.efi profile=quick")), Some(27));
        assert_eq!(passed(&utf16("maskmatch.efi")), None, "its name");
        assert_eq!(passed(&utf16("")), None);
        assert_eq!(passed(&[]), None);
        assert_eq!(passed(&[0x3d, 0, 0x12, 0x34, 7]), None, "a GUID of the boot manager's");
        assert_eq!(passed(&utf16("profile=qu\u{ef}ck")), None);
    }
}
