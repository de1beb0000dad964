//! Under which filters scenes play.
//!
//! A host decides about a scene's fault where the scene leads it: on a hardware exit, in its
//! emulator, while it delivers an event. What it makes of EB.PF, MASK and MATCH there shows under
//! always and never in both forms. Which error code it compares shows under the two filters that
//! tell that code from all others. The standard profile plays each scene under these, and in turns
//! under some of those for single bits.

use super::act::Act;
use crate::catalogue::plan::{self, FORMS, Profile, QUICK_BASIC};
use crate::manual::filter::Filter;
use crate::manual::pfec::Pfec;

/// The filters of an act in a profile, and which of them a scene plays under.
#[derive(Clone, Copy)]
pub(super) struct Filters {
    act: Act,
    profile: Profile,
}

/// What the filters of a scene depend on.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// The error code of its fault, if it has one.
    pub(super) code: Option<Pfec>,
    /// Its turn: scenes that follow each other in a group have other samples.
    pub(super) turn: usize,
}

/// The standard profile plays a scene with a fault under one in so many of the filters for single
/// bits, and one without a fault, which no filter is asked about, under fewer.
const STEP: usize = 5;
const STEP_WITHOUT_FAULT: usize = 10;

impl Filters {
    /// Those of an act in a profile.
    pub(super) const fn of(act: Act, profile: Profile) -> Self {
        Self { act, profile }
    }

    /// How many they are.
    pub(super) const fn len(self) -> usize {
        match (self.profile, self.bit()) {
            (Profile::Quick, None) => self.quick().len(),
            (Profile::Quick, Some(_)) => self.quick().len() + BIT.len(),
            (Profile::Standard | Profile::Exhaustive, None) => ALL.len(),
            (Profile::Standard, Some(_)) => ALL.len() + BIT.len(),
            (Profile::Exhaustive, Some(_)) => plan::EVERY_NAMED,
        }
    }

    /// The filter at `index`, which must be below [`Filters::len`].
    pub(super) fn at(self, index: usize) -> Filter {
        let row = if matches!(self.profile, Profile::Quick) { self.quick() } else { &ALL };
        match (self.bit(), self.profile) {
            (Some(_), Profile::Exhaustive) => plan::every_named(index),
            (Some(bit), _) if index >= row.len() => BIT[index - row.len()](bit.bits()),
            _ => row[index],
        }
    }

    /// Whether a scene plays under the filter at `index`. In the quick profile it plays under one.
    pub(super) fn asks(self, index: usize, of: Asked) -> bool {
        let Asked { code, turn } = of;
        match (self.profile, index) {
            (Profile::Quick, _) => turn % self.len() == index,
            (Profile::Exhaustive, _) | (Profile::Standard, ..FORMS) => true,
            (Profile::Standard, FORMS..SINGLE) => {
                code.is_some_and(|code| (code & Pfec::BASIC).bits() == ALL[index].matching)
            }
            // Many scenes that differ in the error code alone.
            (Profile::Standard, SINGLE..) if self.act == Act::Page => false,
            (Profile::Standard, SINGLE..) => {
                let step = if code.is_some() { STEP } else { STEP_WITHOUT_FAULT };
                self.is_about_filters() || (turn + index).is_multiple_of(step)
            }
        }
    }

    /// Whether the scenes are about the filter or a bit of it, so that they play under all.
    const fn is_about_filters(self) -> bool {
        self.bit().is_some() || matches!(self.act, Act::Stale)
    }

    const fn quick(self) -> &'static [Filter] {
        if matches!(self.act, Act::Page) { &QUICK_PAGE } else { &QUICK }
    }

    /// The bit of the error code, beyond the basic ones, that the act is about.
    const fn bit(self) -> Option<Pfec> {
        match self.act {
            Act::Pkey => Some(Pfec::PK),
            Act::Shadow => Some(Pfec::SS),
            _ => None,
        }
    }
}

/// Where in [`ALL`] the filters for single bits begin, after those for whole codes.
const SINGLE: usize = FORMS + 2 * Pfec::POSSIBLE.count_ones() as usize;
/// The filters of [`QUICK_BASIC`] whose MASK has no whole code.
const SINGLES: usize = 20;

/// Always and never in both forms; for each error code it alone and all but it; then those for
/// single bits and the like.
static ALL: [Filter; SINGLE + SINGLES] = {
    const WHOLE: u32 = Pfec::BASIC.bits();
    let (mut all, mut count, mut at) = ([Filter::ALWAYS; SINGLE + SINGLES], 0, 0);
    while at < FORMS {
        all[at] = QUICK_BASIC[at];
        at += 1;
    }
    count += at;
    let mut code = 0;
    while code < 32 {
        if Pfec::POSSIBLE >> code & 1 == 1 {
            all[count] = Filter::new(true, WHOLE, code);
            all[count + 1] = Filter::new(false, WHOLE, code);
            count += 2;
        }
        code += 1;
    }
    while at < QUICK_BASIC.len() {
        if QUICK_BASIC[at].mask != WHOLE {
            all[count] = QUICK_BASIC[at];
            count += 1;
        }
        at += 1;
    }
    assert!(count == all.len());
    all
};

/// Filters with a bit of an act: wanted set, wanted clear, in both forms, together with P, and MASK
/// without MATCH.
const BIT: [fn(u32) -> Filter; 8] = [
    |bit| Filter::new(true, bit, bit),
    |bit| Filter::new(true, bit, 0),
    |bit| Filter::new(false, bit, bit),
    |bit| Filter::new(false, bit, 0),
    |bit| Filter::new(true, bit | 1, 1),
    |bit| Filter::new(true, bit | 1, bit | 1),
    |bit| Filter::new(true, 0, bit),
    |bit| Filter::new(false, bit | 0x1f, bit | 0x05),
];

/// Always and never in both forms, not present, present.
const QUICK: [Filter; 6] = [
    Filter::ALWAYS,
    Filter::NEVER,
    Filter::new(false, 0, 1),
    Filter::new(false, 0, 0),
    Filter::new(true, 1, 0),
    Filter::new(true, 1, 1),
];

/// Always and never: each fault as an exit and as a delivery.
const QUICK_PAGE: [Filter; 2] = [Filter::ALWAYS, Filter::NEVER];
