//! The names of the scenes as the image has them: small, since there are many.
//!
//! A name is a few words, joined by `-`, and the scenes share their words. So each word stands here
//! once, and a name is a list of their numbers. All of this is made from the rows at compile time.

use core::fmt;

use super::parts::{PartOfScene, first_of, fits, part};
use super::table::{COUNT, ROWS, SceneId};

/// Words with a number of less than this take one byte of a name. Others take two, of which the
/// first is this or more.
const LONG: usize = 0xf0;

/// More than there is of each: what is made at compile time is cut to its length after that.
const TEXT: usize = 4096;
const WORDS: usize = 512;
const NAMES: usize = 16384;
const HASHES: usize = 256;

struct Made {
    /// The words, one after another, and how many bytes those before each have.
    text: [u8; TEXT],
    before: [u16; WORDS + 1],
    words: usize,
    /// The newest word of each hash, and for each word the one before it with its hash; `WORDS` is
    /// none. A search of all words would take the compiler seconds.
    newest: [u16; HASHES],
    older: [u16; WORDS],
    /// The words' numbers in all names, how many bytes these are, and which of them are whose.
    names: [u8; NAMES],
    len: usize,
    name_of: PartOfScene,
}

const MADE: Made = {
    let mut made = Made {
        text: [0; TEXT],
        before: [0; WORDS + 1],
        words: 0,
        newest: [WORDS as u16; HASHES],
        older: [WORDS as u16; WORDS],
        names: [0; NAMES],
        len: 0,
        name_of: PartOfScene::EMPTY,
    };
    let mut row = 0;
    while row < COUNT {
        let (name, mut start) = (ROWS[row].texts.name.as_bytes(), 0);
        let mut len = made.len;
        while start < name.len() {
            let mut end = start;
            while end < name.len() && name[end] != b'-' {
                end += 1;
            }
            let number = made.number(name, start, end);
            if number >= LONG {
                made.names[len] = (LONG + (number >> 8)) as u8;
                len += 1;
            }
            made.names[len] = number as u8;
            (len, start) = (len + 1, end + 1);
        }
        made.name_of.set(row, made.len, len);
        (row, made.len) = (row + 1, len);
    }
    made
};

impl Made {
    /// The number of the word `name[start..end]`, which is added if it is new.
    const fn number(&mut self, name: &[u8], start: usize, end: usize) -> usize {
        let (mut hash, mut at) = (end - start, start);
        while at < end {
            (hash, at) = ((hash * 31 + name[at] as usize) % HASHES, at + 1);
        }
        let mut number = self.newest[hash] as usize;
        while number < WORDS {
            let (at, after) = (self.before[number] as usize, self.before[number + 1] as usize);
            let mut same = 0;
            while after - at == end - start
                && same < end - start
                && self.text[at + same] == name[start + same]
            {
                same += 1;
            }
            if same == end - start {
                return number;
            }
            number = self.older[number] as usize;
        }
        let number = self.words;
        self.older[number] = self.newest[hash];
        self.newest[hash] = fits(number);
        let (mut len, mut at) = (self.before[number] as usize, start);
        while at < end {
            self.text[len] = name[at];
            (len, at) = (len + 1, at + 1);
        }
        self.words += 1;
        self.before[self.words] = fits(len);
        number
    }
}

const TEXT_LEN: usize = MADE.before[MADE.words] as usize;
static WORD_BYTES: [u8; TEXT_LEN] = first_of(&MADE.text);
static WORDS_BEFORE: [u16; MADE.words + 1] = first_of(&MADE.before);
static NAME_BYTES: [u8; MADE.len] = first_of(&MADE.names);
static NAME_OF: PartOfScene = MADE.name_of;

impl fmt::Display for SceneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = NAME_BYTES[NAME_OF.of(self.number())].iter();
        let mut joint = "";
        while let Some(&byte) = name.next() {
            let number = match usize::from(byte).checked_sub(LONG) {
                None => byte.into(),
                Some(high) => high << 8 | usize::from(*name.next().unwrap_or(&0)),
            };
            f.write_str(joint)?;
            // The panic of an index would bring the tables of Unicode into the image.
            let word = part(&WORD_BYTES, &WORDS_BEFORE, number).unwrap_or_default();
            f.write_str(str::from_utf8(word).unwrap_or_default())?;
            joint = "-";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{COUNT, LONG, MADE, SceneId};
    use std::string::ToString;

    const _: () = assert!(MADE.words > LONG, "some words have long numbers");

    #[test]
    fn each_name_is_what_its_row_says() {
        for number in 0..COUNT {
            let id = SceneId(number as u16);
            assert_eq!(id.to_string(), id.name());
        }
    }
}
