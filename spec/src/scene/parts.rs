//! Lists whose parts stand one after another, in the few bytes that the image has for them. All of
//! this is made at compile time.

use core::ops::Range;

use super::table::COUNT;

/// Where the part of each scene is in a list.
#[derive(Clone, Copy)]
pub struct PartOfScene {
    /// Where the parts of the first scene of each block begin.
    begins: [u16; COUNT.div_ceil(BLOCK)],
    /// How long each part is.
    lens: [u8; COUNT],
}

/// So many scenes are a block: more would take less room and more time.
const BLOCK: usize = 16;

impl PartOfScene {
    /// All of them empty.
    pub const EMPTY: Self = Self { begins: [0; COUNT.div_ceil(BLOCK)], lens: [0; COUNT] };

    /// Sets the part of a scene, after those of all scenes before it.
    pub const fn set(&mut self, scene: usize, begin: usize, end: usize) {
        if scene.is_multiple_of(BLOCK) {
            self.begins[scene / BLOCK] = fits(begin);
        }
        assert!(end - begin <= u8::MAX as usize);
        self.lens[scene] = (end - begin) as u8;
    }

    /// The part of a scene.
    pub fn of(&self, scene: usize) -> Range<usize> {
        let first = scene / BLOCK * BLOCK;
        let before = self.lens[first..scene].iter().map(|&len| usize::from(len));
        let begin = usize::from(self.begins[scene / BLOCK]) + before.sum::<usize>();
        begin..begin + usize::from(self.lens[scene])
    }
}

/// What a list has for an item, given how much those before each have.
pub fn part<'a, T>(list: &'a [T], before: &[u16], item: usize) -> Option<&'a [T]> {
    list.get((*before.get(item)?).into()..(*before.get(item + 1)?).into())
}

/// How much the lists before each have; the last of all is how much all have.
pub const fn before<T, const N: usize>(lists: &[&[T]]) -> [u16; N] {
    let (mut before, mut at) = ([0; N], 0);
    while at + 1 < N {
        before[at + 1] = fits(before[at] as usize + lists[at].len());
        at += 1;
    }
    before
}

/// The lists as one. The first is not empty.
pub const fn joined<T: Copy, const N: usize>(lists: &[&[T]]) -> [T; N] {
    let (mut joined, mut len, mut list, mut at) = ([lists[0][0]; N], 0, 0, 0);
    while len < N {
        if at < lists[list].len() {
            joined[len] = lists[list][at];
            (len, at) = (len + 1, at + 1);
        } else {
            (list, at) = (list + 1, 0);
        }
    }
    joined
}

/// The first `N` values.
pub const fn first_of<T: Copy, const N: usize>(values: &[T]) -> [T; N] {
    let (mut first, mut at) = ([values[0]; N], 0);
    while at < N {
        first[at] = values[at];
        at += 1;
    }
    first
}

/// A number in 16 bits.
pub const fn fits(number: usize) -> u16 {
    assert!(number <= u16::MAX as usize);
    number as u16
}
