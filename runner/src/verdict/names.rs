//! The names that a log may have: groups, their accesses and scenes.

use std::collections::{HashMap, HashSet};
use std::sync::{LazyLock, Mutex, PoisonError};

use spec::catalogue::group::Group;
use spec::catalogue::plan::Profile;
use spec::log::cost;
use spec::manual::filter::Filter;
use spec::manual::paging::Maxphyaddr;

/// The narrowest address width has every access.
const EVERY_ACCESS: Maxphyaddr = 36;
/// In place of an access: a whole walk, or the start of L2.
const WHOLE: [&str; 2] = ["walk", "start"];

static GROUPS: LazyLock<HashMap<String, Group>> =
    LazyLock::new(|| Group::all().map(|group| (group.to_string(), group)).collect());
/// The accesses or scenes of the groups that were asked about.
static PROBES: LazyLock<Mutex<HashMap<String, HashSet<String>>>> = LazyLock::new(Mutex::default);

/// How many groups a log can have.
pub fn group_count() -> usize {
    GROUPS.len() + 1
}

/// The group of a name.
pub fn group(name: &str) -> Option<Group> {
    GROUPS.get(name).copied()
}

/// Whether a log may have this group.
pub fn is_group(name: &str) -> bool {
    name == cost::GROUP || GROUPS.contains_key(name)
}

/// Whether a group has this access or scene.
pub fn is_probe(of: &str, probe: &str) -> bool {
    if WHOLE.contains(&probe) {
        return true;
    }
    // `bench` makes accesses of the base setting.
    let of = if of == cost::GROUP { "filter.basic.long" } else { of };
    let Some(group) = group(of) else { return false };
    let mut known = PROBES.lock().unwrap_or_else(PoisonError::into_inner);
    let probes = known.entry(of.to_string()).or_insert_with(|| {
        let cases = group.cases_with(Filter::NEVER, Profile::Exhaustive, EVERY_ACCESS);
        cases.map(|case| case.access().to_string()).collect()
    });
    probes.contains(probe)
}
