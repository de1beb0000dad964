//! Groups and cases of walks that test only a filter.

use crate::catalogue::kind::Kind;
use crate::catalogue::plan::Profile;
use crate::manual::enlightened::Use;
use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;
use crate::manual::pfec::Pfec;
use crate::walk::family::Family;
use crate::walk::setting::{BASE, SETTINGS, Setting};
use crate::walk::stimulus::{Stimulus, is_corrected};

/// A family of filters against all stimuli of a setting: `filter.FAMILY.SETTING`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkGroup {
    /// The filters.
    pub family: Family,
    /// What stays fixed around the stimuli. It decides which stimuli there are.
    pub setting: &'static Setting,
}

/// One stimulus under one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkCase {
    /// The group, which has the setting.
    pub group: WalkGroup,
    /// The access of L2.
    pub stimulus: Stimulus,
    /// L1's filter.
    pub filter: Filter,
}

/// Odd, since filters come in pairs of the direct and the inverse form.
const SETTING_STEP: usize = 9;
const HIGH_STEP: usize = 3;
const SPELLING_STEP: usize = 73;

impl WalkGroup {
    /// One filter in this many is tried. The quick profile tries all in the base setting, and a
    /// sample elsewhere; the other profiles a sample with an enlightened VMCS.
    fn step(self, profile: Profile) -> usize {
        match (self.family, profile) {
            (Family::Spelling, Profile::Quick | Profile::Exhaustive) => SPELLING_STEP,
            (Family::Each, _) => 1,
            // Hosts merge one filter as the other: what differs is how they read it.
            _ if self.setting.enlightened.is_some() => SETTING_STEP,
            (_, Profile::Standard | Profile::Exhaustive) => 1,
            _ if *self.setting != *BASE => SETTING_STEP,
            (Family::High, _) => HIGH_STEP,
            _ => 1,
        }
    }

    /// The stimuli that a profile tries under each filter. The quick profile has one of each error
    /// code. For the few filters of [`Family::Each`] it also has those whose error code L0 may have
    /// to correct. The standard profile has all under one filter of each meaning; how the filter is
    /// spelled, and bits that no code has, it tries with one of each error code.
    pub fn stimuli(
        self,
        profile: Profile,
        maxphyaddr: Maxphyaddr,
    ) -> impl Iterator<Item = Stimulus> {
        let each = self.family == Family::Each;
        let all = match profile {
            Profile::Quick => false,
            Profile::Standard => each || self.family == Family::Basic,
            Profile::Exhaustive => true,
        };
        Stimulus::thin_and(self.setting, maxphyaddr, move |stimulus| {
            all || each && is_corrected(stimulus)
        })
    }
}

impl Kind for WalkGroup {
    type Case = WalkCase;

    const NUMBERS: usize = Family::ALL.len() * SETTINGS.len();

    fn numbered(number: usize) -> Option<Self> {
        let (family, setting) = (number / SETTINGS.len(), number % SETTINGS.len());
        let group = Self { family: *Family::ALL.get(family)?, setting: &SETTINGS[setting] };
        // The base setting has every error code.
        (group.family != Family::Spelling || *group.setting == *BASE).then_some(group)
    }

    fn is_long(self) -> bool {
        let Self { family, setting } = self;
        let tells_most = |how: Use| family == Family::Basic && how.clean_fields;
        family == Family::Spelling || setting.enlightened.is_some_and(|how| !tells_most(how))
    }

    fn filter_count(self, profile: Profile) -> usize {
        self.family.len(profile).div_ceil(self.step(profile))
    }

    fn filter(self, profile: Profile, number: usize) -> Filter {
        let step = self.step(profile);
        // Each setting has its own sample.
        let first = if step == 1 { 0 } else { self.setting.number() };
        let index = (first + number * step) % self.family.len(profile);
        self.family.filter(self.setting, profile, index)
    }

    fn cases_with(
        self,
        filter: Filter,
        profile: Profile,
        maxphyaddr: Maxphyaddr,
    ) -> impl Iterator<Item = WalkCase> {
        self.stimuli(profile, maxphyaddr).map(move |stimulus| WalkCase {
            group: self,
            stimulus,
            filter,
        })
    }
}

impl WalkCase {
    /// The error code of the fault that must arise, if one must.
    #[must_use]
    pub fn pfec(&self, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        self.stimulus.pfec(self.group.setting, maxphyaddr)
    }
}

#[cfg(test)]
mod tests {
    use super::{WalkCase, WalkGroup};
    use crate::catalogue::kind::Kind;
    use crate::catalogue::plan::Profile;
    use crate::manual::filter::Filter;
    use crate::manual::pfec::Pfec;
    use std::collections::HashSet;

    /// What a filter decides of the error codes that there are.
    fn meaning(filter: Filter) -> u32 {
        filter.basic_exits() & Pfec::POSSIBLE
    }

    #[test]
    fn standard_tries_each_meaning_with_each_stimulus_and_each_spelling_with_each_code() {
        let filters = || (0..2048u32).map(|n| Filter::new(n < 1024, n & 31, n >> 5 & 31));
        let meanings: HashSet<u32> = filters().map(meaning).collect();
        let codes = Pfec::POSSIBLE.count_ones() as usize;
        for width in [36, 40, 52] {
            let (mut meant, mut spelled) = (HashSet::new(), HashSet::new());
            let mut stimuli = HashSet::new();
            let ordinary = WalkGroup::all().filter(|group| group.setting.enlightened.is_none());
            for group in ordinary {
                for case in group.cases(Profile::Standard, width) {
                    let WalkCase { stimulus, filter, .. } = case;
                    let access =
                        (group.setting.number(), stimulus.address(), stimulus.loop_number());
                    stimuli.insert(access);
                    meant.insert((access, meaning(filter)));
                    if let Some(code) = case.pfec(width) {
                        spelled.insert((code.bits(), filter));
                    }
                }
            }
            assert_eq!(meant.len(), stimuli.len() * meanings.len(), "{width}");
            let all = filters().flat_map(|filter| {
                (0..32)
                    .filter(|code| Pfec::POSSIBLE >> code & 1 == 1)
                    .map(move |code| (code, filter))
            });
            assert_eq!(all.clone().count(), 2048 * codes);
            assert!(all.into_iter().all(|one| spelled.contains(&one)), "{width}");
        }
    }
}
