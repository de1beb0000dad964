//! How much is tried, and the filters that several kinds of groups share.

use crate::manual::filter::Filter;

crate::listed! {
    /// How much is tried.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
    pub enum Profile {
        /// A few dozen filters, each against one stimulus of each error code, and a sample of the
        /// rest. It finds every way to be wrong that was ever seen, in seconds on any host.
        Quick => "quick",
        /// All stimuli under a filter of each meaning over the five basic bits; all filters over
        /// these, and each of the other bits, for one stimulus of each error code; all scenes, each
        /// under the filters that its error code is about.
        #[default]
        Standard => "standard",
        /// All stimuli under all filters over the basic bits, PK and SS, under each of the other
        /// bits, and under all pairs of a bit in MASK and a bit in MATCH; all scenes under all
        /// filters of scenes.
        Exhaustive => "exhaustive",
    }
    /// The word on command lines and in logs.
    pub fn name;
}

impl Profile {
    /// The profile of a word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }
}

/// How many filters there are over bits 6:0: the basic ones, PK and SS.
pub(crate) const EVERY_NAMED: usize = 2 * 128 * 128;

/// The filter at `index` of those over bits 6:0.
pub(crate) fn every_named(index: usize) -> Filter {
    Filter::new(index & 1 == 1, (index >> 1 & 127) as u32, (index >> 8) as u32)
}

/// With how many filters [`QUICK_BASIC`] begins that are always or never, each in both forms.
pub(crate) const FORMS: usize = 4;

/// A filter of each class, in the direct and in the inverse form.
pub(crate) const QUICK_BASIC: [Filter; 28] = [
    Filter::ALWAYS,
    Filter::NEVER,
    // The inverse forms of both.
    Filter::new(false, 0, 1),
    Filter::new(false, 0, 0),
    // Each bit required to be set, and to be clear.
    Filter::new(true, 0x01, 0x01),
    Filter::new(true, 0x01, 0x00),
    Filter::new(true, 0x02, 0x02),
    Filter::new(true, 0x02, 0x00),
    Filter::new(true, 0x04, 0x04),
    Filter::new(true, 0x04, 0x00),
    Filter::new(true, 0x08, 0x08),
    Filter::new(true, 0x08, 0x00),
    Filter::new(true, 0x10, 0x10),
    Filter::new(true, 0x10, 0x00),
    Filter::new(false, 0x01, 0x01),
    Filter::new(false, 0x01, 0x00),
    Filter::new(false, 0x02, 0x02),
    Filter::new(false, 0x04, 0x04),
    Filter::new(false, 0x08, 0x08),
    Filter::new(false, 0x10, 0x10),
    // Whole codes: one code, and all codes except one.
    Filter::new(true, 0x1f, 0x00),
    Filter::new(true, 0x1f, 0x07),
    Filter::new(false, 0x1f, 0x03),
    Filter::new(false, 0x1f, 0x0d),
    // MATCH partly outside MASK, and a MASK and MATCH that reveal an exchange.
    Filter::new(true, 0x02, 0x03),
    Filter::new(true, 0x03, 0x01),
    // What hosts need themselves: present and not reserved; present fetches.
    Filter::new(true, 0x09, 0x01),
    Filter::new(true, 0x11, 0x11),
];

#[cfg(test)]
mod tests {
    use super::Profile;

    #[test]
    fn a_profile_is_found_by_its_name() {
        for profile in Profile::ALL {
            assert_eq!(Profile::from_name(profile.name()), Some(profile));
        }
        assert_eq!(Profile::from_name("fast"), None);
    }
}
