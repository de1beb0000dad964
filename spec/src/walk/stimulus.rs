//! One access of L2 with a known answer.

use core::fmt;

use crate::manual::paging::{Access, Maxphyaddr, Mode, Privilege, walk};
use crate::manual::pfec::Pfec;
use crate::walk::layout;
use crate::walk::page::{PAGES, PageIndex};
use crate::walk::setting::{BASE, Setting};

/// Who accesses which page how.
///
/// Written as `WHO-ACCESS-PAGE`, as in `user-write-np-pte`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stimulus {
    /// Made at CPL 0 or CPL 3.
    pub privilege: Privilege,
    /// Read, write or fetch.
    pub access: Access,
    /// The row of [`PAGES`].
    pub page: PageIndex,
}

/// The order in which L2 walks: who and how.
pub const WALK_ORDER: [(Privilege, Access); 6] = [
    (Privilege::Supervisor, Access::Read),
    (Privilege::Supervisor, Access::Write),
    (Privilege::Supervisor, Access::Fetch),
    (Privilege::User, Access::Read),
    (Privilege::User, Access::Write),
    (Privilege::User, Access::Fetch),
];

impl Stimulus {
    /// All stimuli of a setting, in the order in which L2 walks them.
    ///
    /// [`BASE`] makes every one that the processor can have. Another setting makes those that end
    /// differently than in [`BASE`], faulting or silent.
    pub fn all(setting: &Setting, maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Self> {
        let mode = setting.mode;
        WALK_ORDER
            .into_iter()
            .flat_map(|(privilege, access)| {
                (0..PAGES.len()).map(move |page| Self { privilege, access, page })
            })
            .filter(move |stimulus| PAGES[stimulus.page].exists(maxphyaddr))
            .filter(move |stimulus| {
                mode == BASE.mode
                    || stimulus.pfec_in(mode, maxphyaddr) != stimulus.pfec_in(BASE.mode, maxphyaddr)
            })
    }

    /// All stimuli or, if `thin`, the first that each loop has for each error code and for silence.
    pub fn selected(
        setting: &Setting,
        maxphyaddr: Maxphyaddr,
        thin: bool,
    ) -> impl Iterator<Item = Self> {
        Self::thin_and(setting, maxphyaddr, move |_| !thin)
    }

    /// The first stimulus that each loop has for each error code, and for silence; and those that
    /// `also` names.
    pub fn thin_and(
        setting: &Setting,
        maxphyaddr: Maxphyaddr,
        also: impl Fn(&Self) -> bool,
    ) -> impl Iterator<Item = Self> {
        let mode = setting.mode;
        // For each loop the codes seen, and at 32 silence.
        let mut seen = [0u64; LOOPS];
        Self::all(setting, maxphyaddr).filter(move |stimulus| {
            let code = stimulus.pfec_in(mode, maxphyaddr).map_or(Some(32), Pfec::basic_index);
            let bit = code.map_or(0, |code| 1 << code);
            let loop_seen = &mut seen[stimulus.loop_number()];
            let new = bit == 0 || *loop_seen & bit == 0;
            *loop_seen |= bit;
            new || also(stimulus)
        })
    }

    /// The error code of the fault that the access must raise, or `None` if it must be silent.
    #[must_use]
    pub fn pfec(&self, setting: &Setting, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        self.pfec_in(setting.mode, maxphyaddr)
    }

    /// Whether the access must end on a processor with only the SMEP and SMAP of `offered` as it
    /// must on one with both.
    #[must_use]
    pub fn is_same_on(&self, offered: Mode, setting: &Setting, maxphyaddr: Maxphyaddr) -> bool {
        let mode = setting.mode;
        self.pfec_in(mode.on(offered), maxphyaddr) == self.pfec_in(mode, maxphyaddr)
    }

    fn pfec_in(&self, mode: Mode, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        walk(PAGES[self.page].entries(maxphyaddr), self.access, self.privilege, mode, maxphyaddr)
            .err()
    }

    /// The linear address that the access touches.
    #[must_use]
    pub fn address(&self) -> u64 {
        let page = &PAGES[self.page];
        layout::page_address(page.level, self.page)
            + match (self.access, self.privilege) {
                (Access::Fetch, _) => layout::FRAME_CODE,
                (Access::Read, _) => layout::FRAME_DATA,
                (Access::Write, Privilege::Supervisor) => layout::FRAME_WRITE_SUPERVISOR,
                (Access::Write, Privilege::User) => layout::FRAME_WRITE_USER,
            }
    }

    /// The number of L2's loop that makes the access.
    #[must_use]
    pub fn loop_number(&self) -> usize {
        loop_number(self.privilege, self.access, false)
    }
}

/// How many loops L2 has: for each privilege read, write, fetch, and read and write of 4 bytes.
pub const LOOPS: usize = 10;

/// The number of L2's loop for an access; `narrow` ones have 4 bytes. L2 walks them in this order.
#[must_use]
pub const fn loop_number(privilege: Privilege, access: Access, narrow: bool) -> usize {
    let access = match (access, narrow) {
        (Access::Read, false) => 0,
        (Access::Write, false) => 1,
        (Access::Fetch, _) => 2,
        (Access::Read, true) => 3,
        (Access::Write, true) => 4,
    };
    match privilege {
        Privilege::Supervisor => access,
        Privilege::User => LOOPS / 2 + access,
    }
}

impl fmt::Display for Stimulus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.privilege, self.access, PAGES[self.page].name)
    }
}

/// Whether the access meets the lowest reserved address bit, which is not reserved with a greater
/// MAXPHYADDR.
#[must_use]
pub fn is_corrected(stimulus: &Stimulus) -> bool {
    let page = &PAGES[stimulus.page];
    page.entry(36) & 1 << 36 != 0
}

#[cfg(test)]
mod tests {
    use super::{Access, LOOPS, Mode, Pfec, Privilege, Stimulus, WALK_ORDER};
    use crate::walk::layout::MAX_SLOTS;
    use crate::walk::setting::{BASE, SETTINGS};
    use std::collections::{BTreeSet, HashSet};
    use std::string::ToString;
    use std::vec::Vec;

    /// Widths of physical addresses that processors have.
    const WIDTHS: [u8; 6] = [36, 39, 40, 46, 48, 52];

    #[test]
    fn a_processor_without_smep_and_smap_lacks_the_faults_that_they_make() {
        let neither = Mode { smep: false, smap: false, ..BASE.mode };
        for setting in SETTINGS {
            for stimulus in Stimulus::all(setting, 40) {
                let (mode, fetches) = (setting.mode, stimulus.access == Access::Fetch);
                let by_smap = mode.smap && !mode.ac && !fetches;
                let supervisor = stimulus.privilege == Privilege::Supervisor;
                // Without NXE only SMEP brings the bit I/D, for user-mode fetches too.
                let by_smep = mode.smep && fetches && (supervisor || !mode.nxe);
                let same = stimulus.is_same_on(neither, setting, 40);
                assert!(same || by_smep || by_smap && supervisor, "{stimulus} {}", setting.name);
                assert!(stimulus.is_same_on(BASE.mode, setting, 40));
            }
        }
        let left_out =
            Stimulus::all(BASE, 40).filter(|stimulus| !stimulus.is_same_on(neither, BASE, 40));
        let left_out: Vec<_> = left_out.map(|stimulus| stimulus.to_string()).collect();
        assert!(left_out.iter().any(|name| name == "super-read-user"), "{left_out:?}");
        assert!(left_out.iter().any(|name| name == "super-fetch-user"), "{left_out:?}");
    }

    #[test]
    fn ids_and_addresses_are_unique_and_fit() {
        for setting in SETTINGS {
            for maxphyaddr in [36, 39, 40, 46, 48, 51, 52] {
                let all: std::vec::Vec<_> = Stimulus::all(setting, maxphyaddr).collect();
                assert!(!all.is_empty());
                assert!(all.len() <= MAX_SLOTS, "{} has {}", setting.name, all.len());
                let names: HashSet<_> = all.iter().map(ToString::to_string).collect();
                assert_eq!(names.len(), all.len());
                let order: std::vec::Vec<_> = all.iter().map(Stimulus::loop_number).collect();
                assert!(order.is_sorted());
                assert!(order.iter().all(|&at| at < LOOPS));
            }
        }
    }

    #[test]
    fn every_code_that_the_five_bits_allow_is_raised() {
        let possible: BTreeSet<u32> =
            (0..32).filter(|code| Pfec::POSSIBLE >> code & 1 == 1).collect();
        assert_eq!(possible.len(), 18);
        for width in WIDTHS {
            let raised: BTreeSet<u32> = Stimulus::all(BASE, width)
                .filter_map(|s| s.pfec(BASE, width))
                .map(|pfec| pfec.bits())
                .collect();
            assert_eq!(raised, possible, "{width}");
        }
    }

    #[test]
    fn the_thin_selection_has_every_code_once_for_each_loop() {
        for (setting, width) in
            SETTINGS.iter().flat_map(|setting| WIDTHS.map(|width| (setting, width)))
        {
            let key =
                |s: &Stimulus| (s.loop_number(), s.pfec(setting, width).map(|pfec| pfec.bits()));
            let all: BTreeSet<_> = Stimulus::all(setting, width).map(|s| key(&s)).collect();
            let thin: std::vec::Vec<_> =
                Stimulus::selected(setting, width, true).map(|s| key(&s)).collect();
            assert_eq!(thin.len(), all.len());
            assert_eq!(thin.into_iter().collect::<BTreeSet<_>>(), all);
        }
    }

    #[test]
    fn every_fault_has_a_legal_twin() {
        for (privilege, access) in WALK_ORDER {
            let silent = SETTINGS.iter().any(|setting| {
                Stimulus::all(setting, 40).any(|s| {
                    s.privilege == privilege && s.access == access && s.pfec(setting, 40).is_none()
                })
            });
            assert!(silent, "{privilege:?} {access:?} never succeeds");
        }
    }

    #[test]
    fn settings_change_something_each() {
        for (setting, width) in SETTINGS
            .iter()
            .filter(|setting| setting.mode != BASE.mode)
            .flat_map(|setting| WIDTHS.map(|width| (setting, width)))
        {
            for stimulus in Stimulus::all(setting, width) {
                assert_ne!(stimulus.pfec(setting, width), stimulus.pfec(BASE, width));
            }
        }
    }
}
