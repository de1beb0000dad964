//! The scenes as the image has them: small, since there are many.
//!
//! A row sets few of a scene's fields, and many rows set a field to the same value. So each field
//! has a column with its values, each of them once, and a row is a list of details: a field, and
//! the value's place in its column. All of this is made from the rows at compile time. What only
//! people read is apart: L1 does not ask for it, so the linker leaves it out of the image.

#![allow(
    clippy::redundant_pattern_matching,
    clippy::match_like_matches_macro,
    clippy::needless_continue,
    reason = "one macro for fields of all types; clippy says so of the image's build only"
)]

use super::end::{Word, Words};
use super::environment::{ENVIRONMENTS, Environment};
use super::ept::Nested;
use super::event::{Event, Pending};
use super::flaw::Flaw;
use super::parts::{before, first_of, fits, joined, part};
use super::place::{Kind, Place};
use super::tested::Tested;
use super::{
    Act, Answer, Exiting, Fault, Feature, Fits, Intercepted, RIP, Row, Stop, Unwanted, details,
    same,
};
use crate::manual::paging::{Level, Mode, Privilege};
use crate::manual::section::Citation;
use crate::walk::page::Page;

/// A scene in the tables of [`Act`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SceneId(pub(super) u16);

/// What people read about a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Texts {
    /// The scene's name in ids. The image has it in another form, which [`SceneId`] displays.
    pub name: &'static str,
    /// What happens, in a few words.
    pub what: &'static str,
    /// The instruction as a disassembler writes it.
    pub instruction: &'static str,
    /// Where the manual says so, beside the sections of [`super::expect`].
    pub section: Option<Citation>,
}

/// How many values a column can have: a detail is its field's number times this, and the value's
/// place.
const COLUMN: usize = 512;

/// A field's values, and where each row finds its own.
struct Column<T> {
    values: [T; COLUMN],
    len: usize,
    /// The row's value, if it is another than most have.
    places: [Option<u16>; COUNT],
    /// How many rows have one.
    rows: usize,
}

/// Makes the column of a field. It is given the value that most rows have, and how two values are
/// found to be the same.
macro_rules! column {
    ($field:ident: $type:ty = ($($usual:tt)+), $same:path) => {
        pub const ALL: &Column<$type> = &{
            let mut column: Column<$type> =
                Column { values: [$($usual)+; COLUMN], len: 0, places: [None; COUNT], rows: 0 };
            let mut row = 0;
            while row < COUNT {
                let value = ROWS[row].scene.$field;
                if !matches!(value, $($usual)+) {
                    // Rows that are alike stand together, so the newest value comes first.
                    let mut left = column.len;
                    while left > 0 && !$same(&column.values[left - 1], &value) {
                        left -= 1;
                    }
                    if left == 0 {
                        assert!(column.len < COLUMN, "too many values: `same` must find equal ones");
                        column.values[column.len] = value;
                        column.len += 1;
                    }
                    let place = if left == 0 { column.len } else { left } - 1;
                    column.places[row] = Some(place as u16);
                    column.rows += 1;
                }
                row += 1;
            }
            column
        };
    };
}

/// Makes the scene, a column for each field, and the lists of details. It is given the fields, each
/// with the value that most rows have, and with how two values are found to be the same; and those
/// that are lists, of which most rows have an empty one.
macro_rules! fields {
    (
        values { $($(#[doc = $doc:literal])+ $field:ident: $type:ty = $usual:tt, $same:path;)* }
        lists { $($(#[doc = $list_doc:literal])+ $list:ident: $item:ty, $same_list:path;)* }
    ) => {
        /// One scene, as it is played. A [`Row`] makes it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Scene {
            /// Which one it is.
            pub id: SceneId,
            $($(#[doc = $doc])+ pub $field: $type,)*
            $($(#[doc = $list_doc])+ pub $list: &'static [$item],)*
        }

        impl Scene {
            /// What most rows have.
            pub(super) const USUAL: Self =
                Self { id: SceneId(0), $($field: $usual,)* $($list: &[],)* };
        }

        #[expect(non_camel_case_types, reason = "they are called as the fields")]
        enum Field {
            $($field,)*
            $($list,)*
            Number,
        }

        /// Details are less than this.
        pub(super) const DETAIL: usize = Field::Number as usize * COLUMN;

        mod columns {
            $(pub mod $field {
                use super::super::*;
                column!($field: $type = $usual, $same);
                pub static VALUES: [$type; ALL.len] = first_of(&ALL.values);
            })*
            $(pub mod $list {
                use super::super::*;
                column!($list: &'static [$item] = (&[]), $same_list);
                pub static BEFORE: [u16; ALL.len + 1] = before(&ALL.values);
                pub static ITEMS: [$item; BEFORE_ALL[ALL.len] as usize] = joined(&ALL.values);
                const BEFORE_ALL: [u16; ALL.len + 1] = before(&ALL.values);
            })*
        }

        /// How many details all rows have.
        pub(super) const DETAILS_LEN: usize =
            0 $(+ columns::$field::ALL.rows)* $(+ columns::$list::ALL.rows)*;

        /// The details of all rows, and how many the rows before each have.
        pub(super) const DETAILS: &([u16; DETAILS_LEN], [u16; COUNT + 1]) = &{
            let (mut details, mut before) = ([0; DETAILS_LEN], [0; COUNT + 1]);
            let (mut len, mut row) = (0, 0);
            while row < COUNT {
                $(if let Some(place) = columns::$field::ALL.places[row] {
                    details[len] = Field::$field as u16 * COLUMN as u16 + place;
                    len += 1;
                })*
                $(if let Some(place) = columns::$list::ALL.places[row] {
                    details[len] = Field::$list as u16 * COLUMN as u16 + place;
                    len += 1;
                })*
                row += 1;
                before[row] = fits(len);
            }
            (details, before)
        };

        impl SceneId {
            /// The scene.
            #[must_use]
            pub fn scene(self) -> Scene {
                let mut scene = Scene { id: self, ..Scene::USUAL };
                for detail in details::of(self.number()) {
                    let (field, place) = (usize::from(detail) / COLUMN, usize::from(detail) % COLUMN);
                    $(if field == Field::$field as usize {
                        scene.$field = columns::$field::VALUES[place];
                        continue;
                    })*
                    $(if field == Field::$list as usize {
                        let (items, before) = (&columns::$list::ITEMS, &columns::$list::BEFORE);
                        scene.$list = part(items, before, place).unwrap_or_default();
                        continue;
                    })*
                }
                scene
            }
        }
    };
}

fields! {
    values {
        /// CPL 0 or CPL 3.
        cpl: Privilege = (Privilege::User), same::privilege;
        /// Linear address of the instruction.
        rip: u64 = (RIP), same::number;
        /// RSP at the start; the top of the stack of the CPL by default.
        rsp: Option<u64> = (None), same::optional_number;
        /// RFLAGS beside bit 1.
        rflags: u64 = (0), same::number;
        /// Guest interruptibility state at the entry.
        interruptibility: u64 = (0), same::number;
        /// Guest pending debug exceptions at the entry.
        pending_debug: u64 = (0), same::number;
        /// The widths of code in which it can play.
        fits: Fits = (Fits::All), same::fits;
        /// The page that it accesses beside those of [`Place`].
        tested: Option<Tested> = (None), same::tested;
        /// That page at the start, where L2's code or [`Answer::Spoil`] makes [`Scene::tested`] of it.
        before: Option<Page> = (None), same::page;
        /// The level of the table that L2 has at [`Place::Device`].
        table: Option<Level> = (None), same::never;
        /// Guest activity state at the entry.
        activity: u64 = (0), same::number;
        /// Pin-based controls that are set beside those of the environment.
        pins: u32 = (0), same::never;
        /// Linear address of eight bytes that are looked at afterwards.
        watch: Option<u64> = (None), same::optional_number;
        /// Vectors beside #PF that L1 intercepts: bits of the exception bitmap.
        intercepts: u32 = (0), same::never;
        /// Gates of these vectors, one bit each up to 63, use [`Place::EventStack`].
        event_stack: u64 = (0), same::number;
        /// The access in which EPT has a word, and what it meets.
        nested: Option<Nested> = (None), same::nested;
        /// The instruction is one of 16-bit code, and its pointers are those of real mode.
        real: bool = (false), same::never;
        /// The event that is under way when the fault comes, or that is delivered where none comes.
        event: Option<Event> = (None), same::event;
        /// What L1's local APIC has. It is [`Scene::event`], or L2 blocks it.
        pending: Option<Pending> = (None), same::never;
        /// The page fault in whose delivery [`Scene::fault`] comes, or after which it comes
        /// ([`Answer::GoOn`]), if that is so. Both meet L1's filter.
        first: Option<Fault> = (None), same::fault;
        /// The fault, if there is one.
        fault: Option<Fault> = (None), same::fault;
        /// What comes where the filter does not want it.
        unwanted: Unwanted = (Unwanted::PageFault), same::unwanted;
        /// Bit 12 of the interruption information is set: the fault is one of IRET, which unblocked
        /// NMIs.
        nmi_unblocked: bool = (false), same::never;
        /// The instruction's operand is in several parts, or on two pages: any byte of it can be the
        /// one that a fault names.
        parts: bool = (false), same::never;
        /// What L1 intercepts of instructions.
        exiting: Exiting = (Exiting::Nothing), same::never;
        /// The VM exit that comes before any access of the instruction.
        intercepted: Option<Intercepted> = (None), same::intercepted;
        /// The VM exit at an instruction boundary.
        stop: Option<Stop> = (None), same::stop;
        /// PKRU, or IA32_PKRS where the scene needs [`Feature::Pks`].
        keys: u32 = (0), same::never;
        /// SSP at the start, where the scene needs [`Feature::ShadowStack`].
        ssp: u64 = (0), same::number;
        /// The rights of protection keys once L2's code has changed them.
        keys_then: Option<u32> = (None), same::never;
        /// The bits of its mode that L2's code has turned over when the access comes that can fault.
        flips: Mode = (Mode::NONE), same::never;
        /// It is an implicit access that faults, at CPL 0: RFLAGS.AC does not count.
        implicit: bool = (false), same::never;
        /// L2 leaves more of its state changed than a VM entry of the next scene writes.
        unsettles: bool = (false), same::never;
        /// Whether it is a shadow-stack access that faults.
        shadow: bool = (false), same::never;
        /// Words that the manual leaves open here.
        open: Words = (0), same::number;
        /// What is wrong with the first VM entry, which fails; the next one is right.
        flaw: Option<Flaw> = (None), same::never;
        /// What L1 does about an exit.
        answer: Answer = (Answer::Nothing), same::answer;
        /// What the processor must have.
        needs: Option<Feature> = (None), same::feature;
    }
    lists {
        /// The instruction's bytes; none where an event alone is the scene.
        code: u8, same::bytes;
        /// Registers that do not hold [`super::initial_register`].
        registers: (Word, u64), same::words;
        /// The pages that are not good.
        pages: (Place, Kind), same::pages;
        /// Eight bytes each that are written before: linear address and value.
        memory: (u64, u64), same::memory;
        /// Words that a fault leaves otherwise than at the start: a string instruction's registers.
        at_fault: (Word, u64), same::words;
        /// Words that completion leaves otherwise than at the start.
        at_end: (Word, u64), same::words;
    }
}

/// The scenes of each act, by the act's own number: the first, and where the next act's begin.
pub(super) const OF_ACT: [(u16, u16); Act::ALL.len()] = {
    let (mut of_act, mut count, mut act) = ([(0, 0); Act::ALL.len()], 0, 0);
    while act < Act::ALL.len() {
        let end = count + Act::ALL[act].rows().len();
        of_act[Act::ALL[act] as usize] = (fits(count), fits(end));
        (count, act) = (end, act + 1);
    }
    of_act
};

/// How many scenes there are.
pub(super) const COUNT: usize = {
    let (mut count, mut act) = (0, 0);
    while act < Act::ALL.len() {
        count += Act::ALL[act].rows().len();
        act += 1;
    }
    count
};

/// The row of each scene. By reference, since each use of a constant array copies it.
pub(super) const ROWS: &[&Row; COUNT] = &{
    let (mut all, mut act) = ([&Act::ALL[0].rows()[0]; COUNT], 0);
    while act < Act::ALL.len() {
        let (rows, (first, _), mut at) = (Act::ALL[act].rows(), OF_ACT[Act::ALL[act] as usize], 0);
        while at < rows.len() {
            all[first as usize + at] = &rows[at];
            at += 1;
        }
        act += 1;
    }
    all
};

/// Sets of environments in which scenes can play, a bit each by their numbers, and which of them is
/// whose.
const PLAYS_IN: ([u32; SETS], [u8; COUNT]) = {
    let (mut sets, mut of_row, mut len, mut row) = ([0; SETS], [0; COUNT], 0, 0);
    while row < COUNT {
        let (mut set, mut number) = (0, 0);
        while number < ENVIRONMENTS.len() {
            set |= (ENVIRONMENTS[number].admits(&ROWS[row].scene) as u32) << number;
            number += 1;
        }
        let mut place = 0;
        while place < len && sets[place] != set {
            place += 1;
        }
        assert!(place < SETS, "there are more sets of environments");
        sets[place] = set;
        len = if place == len { len + 1 } else { len };
        of_row[row] = place as u8;
        row += 1;
    }
    (sets, of_row)
};
/// More sets than there are.
const SETS: usize = 72;

/// The environments in which an act's scenes can play, by the act's own number.
pub(super) static ACT_PLAYS_IN: [u32; Act::ALL.len()] = {
    let (mut plays_in, mut act) = ([0; Act::ALL.len()], 0);
    while act < plays_in.len() {
        let (mut scene, end) = OF_ACT[act];
        while scene < end {
            plays_in[act] |= PLAYS_IN.0[PLAYS_IN.1[scene as usize] as usize];
            scene += 1;
        }
        act += 1;
    }
    plays_in
};

/// The scenes that the quick profile plays before their neighbours, a bit each.
static TELLING: [u64; COUNT.div_ceil(64)] = {
    let (mut telling, mut row) = ([0; COUNT.div_ceil(64)], 0);
    while row < COUNT {
        telling[row / 64] |= (ROWS[row].telling as u64) << (row % 64);
        row += 1;
    }
    telling
};

/// Not in the image: nothing there asks for it.
static TEXTS: [Texts; COUNT] = {
    let (mut texts, mut row) = ([ROWS[0].texts; COUNT], 0);
    while row < COUNT {
        texts[row] = ROWS[row].texts;
        row += 1;
    }
    texts
};

impl SceneId {
    /// The scene's name in ids.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.texts().name
    }

    /// A number of its own.
    #[must_use]
    pub const fn number(self) -> usize {
        self.0 as usize
    }

    /// What people read about it.
    #[must_use]
    pub fn texts(self) -> &'static Texts {
        &TEXTS[usize::from(self.0)]
    }

    /// Whether the scene can play in an environment.
    #[must_use]
    pub fn plays_in(self, environment: &Environment) -> bool {
        static SETS: ([u32; self::SETS], [u8; COUNT]) = PLAYS_IN;
        SETS.0[usize::from(SETS.1[usize::from(self.0)])] >> environment.number & 1 == 1
    }

    /// Whether the quick profile plays the scene before its neighbours.
    #[must_use]
    pub fn is_telling(self) -> bool {
        TELLING[usize::from(self.0 / 64)] >> (self.0 % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::{COUNT, ENVIRONMENTS, ROWS, Scene, SceneId};

    #[test]
    fn each_scene_is_what_its_row_says() {
        assert_eq!(ROWS.len(), COUNT);
        for (at, row) in ROWS.iter().enumerate() {
            let id = SceneId(at as u16);
            assert_eq!(id.scene(), Scene { id, ..row.scene });
            assert_eq!(*id.texts(), row.texts);
            for environment in ENVIRONMENTS {
                assert_eq!(
                    id.plays_in(environment),
                    environment.admits(&row.scene),
                    "{id} {}",
                    environment.name
                );
            }
        }
    }
}
