//! Groups and cases of walks that test only a filter.

use crate::catalogue::kind::Kind;
use crate::catalogue::plan::Profile;
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

impl WalkGroup {
    /// One filter in this many is tried. The quick profile tries all in the base setting, and a
    /// sample elsewhere.
    fn step(self, profile: Profile) -> usize {
        match self.family {
            _ if profile != Profile::Quick => 1,
            Family::Each => 1,
            _ if *self.setting != *BASE => SETTING_STEP,
            Family::Basic => 1,
            Family::High => HIGH_STEP,
        }
    }

    /// The stimuli that a profile tries under each filter. The quick profile has one of each error
    /// code. For the few filters of [`Family::Each`] it also has those whose error code L0 may have
    /// to correct.
    pub fn stimuli(
        self,
        profile: Profile,
        maxphyaddr: Maxphyaddr,
    ) -> impl Iterator<Item = Stimulus> {
        let all = profile != Profile::Quick;
        let each = self.family == Family::Each;
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
        Some(Self { family: *Family::ALL.get(family)?, setting: &SETTINGS[setting] })
    }

    fn filter_count(self, profile: Profile) -> usize {
        self.family.len(profile).div_ceil(self.step(profile))
    }

    fn filter(self, profile: Profile, number: usize) -> Filter {
        let step = self.step(profile);
        // Each setting has its own sample.
        let first = if step == 1 { 0 } else { self.setting.number() };
        self.family.filter(profile, (first + number * step) % self.family.len(profile))
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
