//! The walks of a group, as the log's options choose them, and what came of them.

use spec::catalogue::case::Case;
use spec::catalogue::group::Group;
use spec::catalogue::options::Options;
use spec::catalogue::plan::Profile;
use spec::manual::filter::Filter;
use spec::manual::paging::{Maxphyaddr, Mode};
use spec::manual::pfec::Pfec;
use spec::walk::action::Action;
use spec::walk::action::case::{ActionCase, ActionProbe};
use spec::walk::case::WalkCase;
use spec::walk::setting::{BASE, Setting};
use spec::walk::stimulus::Stimulus;

use super::hypothesis::Entry;
use super::raised::Raised;
use crate::verdict::findings::{self, Findings};
use crate::verdict::names;

/// What of a whole walk stands in place of an access.
const WALK: &str = "walk";

/// Accesses that fault in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The error code that must be seen.
    pub code: Pfec,
    /// What the processor makes of them, if the guest's MAXPHYADDR is below its own.
    pub raised: Raised,
    /// How many there are.
    pub times: u64,
}

/// Which faults exited in a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The digest of the error codes that exited under each filter.
    pub digest: u32,
    /// How many faults exited.
    pub exits: u64,
    /// How many did not.
    pub delivered: u64,
}

/// All walks of a group.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The filters before the first walk.
    pub start: Entry,
    /// The filter of each walk.
    pub filters: Vec<Filter>,
    /// The filters of the walks that L2 did not get through.
    pub broken: Vec<Filter>,
    /// The accesses of each walk that fault, those of a kind together.
    pub faults: Vec<Fault>,
    /// The same in the order of the walk.
    pub in_order: Vec<Fault>,
    /// What came of the walks that L2 got through.
    pub shown: Shown,
    /// How many accesses a walk has.
    pub accesses: u64,
}

impl Plan {
    /// The plans of the groups that walk and ran, with their index. A group is left out whose walks
    /// cannot be told from the log.
    pub fn of_run(findings: &Findings) -> Vec<(usize, Self)> {
        let line = findings.image_options();
        let maxphyaddr = findings.fact("maxphyaddr").and_then(|bits| bits.parse().ok());
        let (Ok(options), Some(maxphyaddr)) = (Options::parse_loaded(&line), maxphyaddr) else {
            return Vec::new();
        };
        // L2 is started under the filter that lets every fault exit.
        let always = Entry { now: Filter::ALWAYS, before: Filter::ALWAYS, kept: Filter::ALWAYS };
        let mut entry = always;
        let mut plans = Vec::new();
        for (at, group) in findings.groups.iter().enumerate() {
            let walks = names::group(&group.name).and_then(Walking::of);
            let Some(walks) = walks.filter(|_| group.counts().is_some()) else { continue };
            let plan = walks.plan(group, &options, maxphyaddr, entry);
            entry = plan.as_ref().map_or(always, Self::after);
            plans.extend(plan.map(|plan| (at, plan)));
        }
        plans
    }

    /// The filters after the last walk.
    fn after(&self) -> Entry {
        let mut entry = self.start;
        for &now in &self.filters {
            let kept = if now.eb_pf { now } else { entry.kept };
            entry = Entry { now, before: entry.now, kept };
        }
        entry
    }
}

/// Which walks of a group L2 got through.
#[derive(Clone, Debug)]
pub struct Walks {
    /// The group, by its index.
    pub group: usize,
    /// The filter of each walk.
    pub filters: Vec<Filter>,
    /// The filters under which L2 is known to have stopped. The log has the first ones.
    pub stopped: Vec<Filter>,
    /// How many walks ended.
    pub ended: usize,
}

impl Walks {
    /// Those of the groups that ran.
    pub fn of_run(findings: &Findings) -> Vec<Self> {
        let line = findings.image_options();
        let Ok(options) = Options::parse_loaded(&line) else { return Vec::new() };
        let walks = findings.groups.iter().enumerate().filter_map(|(at, group)| {
            let filters = names::group(&group.name).and_then(Walking::of)?.filters(&options);
            let per_walk = group.counts()?.cases / filters.len().max(1) as u64;
            let incomplete: u64 = group.incomplete.iter().map(|incomplete| incomplete.cases).sum();
            let stopped = incomplete.checked_div(per_walk)? as usize;
            Some(Self {
                group: at,
                stopped: group.failures.iter().filter_map(broken_walk).collect(),
                ended: filters.len().saturating_sub(stopped),
                filters,
            })
        });
        walks.collect()
    }
}

/// A group that walks.
#[derive(Clone, Copy)]
struct Walking {
    group: Group,
    setting: &'static Setting,
}

impl Walking {
    fn of(group: Group) -> Option<Self> {
        let setting = match group {
            // How a host reads an enlightened VMCS says nothing about how it reads others.
            _ if group.enlightened().is_some() => return None,
            Group::Walk(walk) => walk.setting,
            // Where MAXPHYADDR changes, so do the error codes.
            Group::Action(action) if !action.changes_width() => BASE,
            _ => return None,
        };
        Some(Self { group, setting })
    }

    fn plan(
        self,
        group: &findings::Group,
        options: &Options<'_>,
        maxphyaddr: Maxphyaddr,
        entry: Entry,
    ) -> Option<Plan> {
        let counts = group.counts()?;
        let filters = self.filters(options);
        let neither = Mode { smep: false, smap: false, ..BASE.mode };
        let is_walk = matches!(self.group, Group::Walk(_));
        // A processor without SMEP and SMAP has fewer accesses.
        let stimuli = [BASE.mode, neither].into_iter().find_map(|offered| {
            let mut stimuli = self.stimuli(options, maxphyaddr);
            stimuli.retain(|stimulus| stimulus.is_same_on(offered, self.setting, maxphyaddr));
            let cases = (stimuli.len() * filters.len()) as u64;
            (!is_walk || cases == counts.cases).then_some(stimuli)
        })?;
        let broken: Vec<Filter> = group.failures.iter().filter_map(broken_walk).collect();
        let incomplete: u64 = group.incomplete.iter().map(|incomplete| incomplete.cases).sum();
        let accesses = stimuli.len() as u64;
        if broken.len() as u64 * accesses != incomplete {
            return None;
        }
        // Every setting is entered from the base, under a filter that lets no fault exit.
        let start = if is_walk && self.setting != BASE {
            Entry { now: Filter::NEVER, before: entry.now, kept: Filter::NEVER }
        } else {
            entry
        };
        let mut plan = Plan {
            start,
            filters,
            broken,
            faults: Vec::new(),
            in_order: Vec::new(),
            shown: Shown {
                digest: counts.digest,
                exits: counts.exits,
                delivered: counts.delivered,
            },
            accesses,
        };
        for stimulus in stimuli {
            let Some(code) = stimulus.pfec(self.setting, maxphyaddr) else { continue };
            let fault = Fault { code, raised: Raised::of(&stimulus, self.setting.mode), times: 1 };
            plan.in_order.push(fault);
            let is_alike =
                |other: &&mut Fault| (other.code, other.raised) == (fault.code, fault.raised);
            match plan.faults.iter_mut().find(is_alike) {
                Some(other) => other.times += 1,
                None => plan.faults.push(fault),
            }
        }
        Some(plan)
    }

    /// The filter of each walk.
    fn filters(self, options: &Options<'_>) -> Vec<Filter> {
        match options.case {
            Some(case) => vec![case.filter()],
            None => self.group.filters(options.profile).collect(),
        }
    }

    /// The accesses of each walk, on a processor that has all of them.
    fn stimuli(self, options: &Options<'_>, maxphyaddr: Maxphyaddr) -> Vec<Stimulus> {
        let (only, profile) = match options.case {
            Some(
                Case::Walk(WalkCase { stimulus, .. })
                | Case::Action(ActionCase { probe: ActionProbe::Stimulus(stimulus), .. }),
            ) => (Some(stimulus), Profile::Exhaustive),
            _ => (None, options.profile),
        };
        let mut stimuli: Vec<Stimulus> = if let Group::Walk(group) = self.group {
            let is_left_out = |stimulus| {
                let case = WalkCase { group, stimulus, filter: Filter::NEVER };
                options.exclude.excludes(&Case::Walk(case))
            };
            group.stimuli(profile, maxphyaddr).filter(|stimulus| !is_left_out(*stimulus)).collect()
        } else {
            Action::stimuli(maxphyaddr).collect()
        };
        stimuli.retain(|stimulus| only.is_none_or(|only| only == *stimulus));
        stimuli
    }
}

/// The filter of a walk that L2 did not get through, if this is one.
fn broken_walk(failure: &findings::Failure) -> Option<Filter> {
    let mut parts = failure.id.splitn(3, ':').skip(1);
    (parts.next()? == WALK).then(|| parts.next()?.parse().ok())?
}
