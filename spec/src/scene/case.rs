//! Groups and cases of scenes: which a profile plays in an environment, and in which order.

use super::act::Act;
use super::environment::{self, ENVIRONMENTS, Environment};
use super::filters::{Asked, Filters};
use super::table::{ACT_PLAYS_IN, OF_ACT};
use super::{Scene, SceneId};
use crate::catalogue::kind::Kind;
use crate::catalogue::plan::Profile;
use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;
use crate::manual::pfec::Pfec;

/// The scenes of an act in an environment: `ACT.ENVIRONMENT`, as in `access.long`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SceneGroup {
    /// The scenes.
    pub act: Act,
    /// What stays fixed around them.
    pub environment: &'static Environment,
}

/// A scene under one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SceneCase {
    /// The group, which has the environment.
    pub group: SceneGroup,
    /// The scene, one of the act's.
    pub id: SceneId,
    /// L1's filter.
    pub filter: Filter,
}

/// The scenes of the act that has most.
const MAX_SCENES: usize = {
    let (mut most, mut at) = (0, 0);
    while at < Act::ALL.len() {
        let count = Act::ALL[at].rows().len();
        most = if count > most { count } else { most };
        at += 1;
    }
    most
};

/// Steps of the quick profile: prime, since rows often come in pairs or in groups of a few.
const HOME_STEP: usize = 3;
const MANY_STEP: usize = 11;
const PAGE_STEP: usize = 19;
const EPT_STEP: usize = 11;
const ELSEWHERE_STEP: usize = 53;
const RARE_STEP: usize = 127;

impl SceneGroup {
    /// The scenes that the environment has.
    pub fn scenes(self) -> impl Iterator<Item = SceneId> {
        self.scenes_in(Profile::Exhaustive)
    }

    /// Whether the environment has any.
    fn has_scenes(self) -> bool {
        let Self { act, environment } = self;
        act.plays_at_all(environment) && ACT_PLAYS_IN[act as usize] >> environment.number & 1 == 1
    }

    /// The scenes that a profile plays. The quick profile plays one of several neighbours: one that
    /// is telling if the act is at home, else another one in each environment.
    pub fn scenes_in(self, profile: Profile) -> impl Iterator<Item = SceneId> {
        let Self { act, environment } = self;
        let plays = act.plays_at_all(environment);
        let only_telling = profile == Profile::Quick && self.plays_only_telling();
        let step = if profile == Profile::Quick && !only_telling { self.step() } else { 1 };
        let (first, end) = OF_ACT[act as usize];
        let end = if plays { end } else { first };
        (first..end).step_by(step).enumerate().filter_map(move |(at, first)| {
            let len = step.min((end - first).into());
            let chunk = (environment.number + at..)
                .take(len)
                .map(|turn| SceneId(first + (turn % len) as u16))
                .filter(|id| id.plays_in(environment));
            let is_home = step < ELSEWHERE_STEP;
            let telling = chunk.clone().find(|id| is_home && id.is_telling());
            telling.or_else(|| chunk.clone().next().filter(|_| !only_telling))
        })
    }

    /// Whether the quick profile plays the telling scenes alone: those about mode-based execute
    /// control are among them, and all others play in an environment without it.
    fn plays_only_telling(self) -> bool {
        self.act == Act::Ept && self.environment.ept.is_some_and(|ept| ept.modes)
    }

    /// The quick profile plays one scene in so many: most where the act is at home, few elsewhere.
    fn step(self) -> usize {
        let first = self.environment.number == 0;
        match self.act {
            Act::Ept if self.environment.name == environment::LONG_EPT.name => EPT_STEP,
            // Many show whether an invalidation is done.
            Act::Tlb if first || self.environment.vpid => 2,
            Act::Tlb => HOME_STEP,
            Act::Guarded if self.environment.name == environment::LONG_EPT.name => 6,
            Act::Mode if first => 4,
            Act::Operand | Act::Restored if first => 5,
            Act::Page if first => PAGE_STEP,
            Act::Ept | Act::Page => RARE_STEP,
            // A move is expensive.
            Act::Restored => ELSEWHERE_STEP,
            Act::Entry | Act::Intercept if first => MANY_STEP,
            _ if first => HOME_STEP,
            Act::Unpaged => HOME_STEP,
            Act::Stale if self.environment.enlightened.is_some() => 7,
            _ => ELSEWHERE_STEP,
        }
    }

    /// The cases that a profile plays, in the order in which L1 plays them, and how many they are.
    /// One filter comes after the other, since a new one is expensive; where scenes have EPT
    /// entries of their own, which are more so, one scene after the other.
    pub fn plays(
        self,
        profile: Profile,
        maxphyaddr: Maxphyaddr,
    ) -> (usize, impl Iterator<Item = SceneCase>) {
        // Found once: to ask of each scene whether it plays takes longer than to enter L2.
        let mut scenes = [None; MAX_SCENES];
        let first = if profile == Profile::Quick { 0 } else { self.environment.number };
        let mut count = 0;
        for (place, id) in scenes.iter_mut().zip(self.scenes_in(profile)) {
            let scene = id.scene();
            if scene.exists(self.environment, maxphyaddr) {
                let code = scene.pfec(self.environment, maxphyaddr);
                let turn = first + count;
                *place = Some((id, Asked { code, turn }));
            }
            count += 1;
        }
        let filters = Filters::of(self.act, profile);
        let by_scene = self.act == Act::Ept;
        let (outer, inner) = if by_scene { (count, filters.len()) } else { (filters.len(), count) };
        let pairs = (0..outer).flat_map(move |out| {
            (0..inner).map(move |at| if by_scene { (at, out) } else { (out, at) })
        });
        let played = pairs.filter_map(move |(filter, number)| {
            let (id, asked) = scenes[number]?;
            filters.asks(filter, asked).then_some((id, filter))
        });
        let cases = played.clone().count();
        let case = move |(id, filter)| SceneCase { group: self, id, filter: filters.at(filter) };
        (cases, played.map(case))
    }
}

impl Kind for SceneGroup {
    type Case = SceneCase;

    const NUMBERS: usize = ENVIRONMENTS.len() * Act::ALL.len();

    /// By environment: to set one up takes L1 longer than a few scenes.
    fn numbered(number: usize) -> Option<Self> {
        let (environment, act) = (number / Act::ALL.len(), number % Act::ALL.len());
        let group = Self { act: Act::ALL[act], environment: ENVIRONMENTS.get(environment)? };
        group.has_scenes().then_some(group)
    }

    /// Of the environments that are not its home, an act plays in every fifth, or in none.
    fn is_long(self) -> bool {
        let Self { act, environment } = self;
        let uses_clean_fields = environment.enlightened.is_some_and(|how| how.clean_fields);
        let home = match act {
            Act::Ept | Act::Guarded => environment.name == environment::LONG_EPT.name,
            Act::Unpaged => true,
            Act::Stale if uses_clean_fields => true,
            _ => environment.number == 0,
        };
        let is_fifth = (act as usize + environment.number).is_multiple_of(5)
            && environment.enlightened.is_none();
        !home && (act.stays_at_home() || !is_fifth)
    }

    fn filter_count(self, profile: Profile) -> usize {
        Filters::of(self.act, profile).len()
    }

    fn filter(self, profile: Profile, number: usize) -> Filter {
        Filters::of(self.act, profile).at(number)
    }

    fn cases_with(
        self,
        filter: Filter,
        profile: Profile,
        maxphyaddr: Maxphyaddr,
    ) -> impl Iterator<Item = SceneCase> {
        let scenes = self
            .scenes_in(profile)
            .filter(move |id| id.scene().exists(self.environment, maxphyaddr));
        scenes.map(move |id| SceneCase { group: self, id, filter })
    }

    fn cases(self, profile: Profile, maxphyaddr: Maxphyaddr) -> impl Iterator<Item = SceneCase> {
        self.plays(profile, maxphyaddr).1
    }

    fn case_count(self, profile: Profile, maxphyaddr: Maxphyaddr) -> usize {
        self.plays(profile, maxphyaddr).0
    }
}

impl SceneCase {
    /// The scene.
    #[must_use]
    pub fn scene(&self) -> Scene {
        self.id.scene()
    }

    /// The error code of the fault that must arise, if one must.
    #[must_use]
    pub fn pfec(&self, maxphyaddr: Maxphyaddr) -> Option<Pfec> {
        self.scene().pfec(self.group.environment, maxphyaddr)
    }
}
