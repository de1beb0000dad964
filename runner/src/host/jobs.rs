//! The jobs of a run: each is a set of a host with all groups or some. They are planned by what they
//! cost, shared out, run several at a time, and joined to a result for each set.

use std::num::NonZeroUsize;
use std::ops::Range;

use serde::Serialize;
use spec::catalogue::group::Group;
use spec::catalogue::options::{Options, Span};
use spec::catalogue::plan::Profile;
use spec::log::CRC32;

use super::cost;
use super::kind::{Host, Kind, Set, Takes};
use super::parallel::each;
use crate::interrupt;
use crate::output::remark;
use crate::request::{Part, Request};
use crate::results::record::Identity;
use crate::verdict::exit_code::Stop;
use crate::verdict::join::joined;
use crate::verdict::result::RunResult;

/// A job is cut in half where each half has so much to do: twice what the boot of the lab costs.
const WORTH_A_BOOT: u64 = 500_000_000;

/// Some groups on one set of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Job {
    /// The set's number.
    set: usize,
    /// Its groups among those of the run.
    groups: Range<usize>,
    /// Instructions, estimated.
    instructions: u64,
}

/// A job as `--plan` prints it.
#[derive(Clone, Debug, Serialize)]
pub struct Planned {
    /// The host's name on the command line.
    host: &'static str,
    /// The set's name.
    set: String,
    /// How many groups.
    groups: usize,
    /// The first one.
    first: String,
    /// The last one.
    last: String,
    /// Instructions of a Bochs, estimated; without those of the boot.
    instructions: u64,
}

/// The jobs of a host.
pub struct Jobs {
    sets: Vec<Set>,
    /// The groups of the run.
    groups: Vec<Group>,
    /// In the order of sets and groups.
    list: Vec<Job>,
    profile: Profile,
    /// How many run at the same time.
    at_once: NonZeroUsize,
}

impl Jobs {
    /// The jobs of a request on a host.
    pub fn of(kind: &Kind, host: &dyn Host, request: &Request) -> Self {
        let profile = request.profile.unwrap_or(kind.profile);
        let sets = host.sets();
        let line = request.cmdline(profile);
        let options = Options::parse(&line).unwrap_or_default();
        let is_whole = request.case.is_some() || request.bench;
        let groups: Vec<Group> =
            if is_whole { Vec::new() } else { Group::selected(options).collect() };
        let cost = |set: &Set, group: &Group| cost::of_group(*group, profile, set.price);
        let costs: Vec<Vec<u64>> =
            sets.iter().map(|set| groups.iter().map(|group| cost(set, group)).collect()).collect();
        let mut jobs = match request.part {
            Some(part) => partition(part, &sets, &costs),
            None => {
                (0..).zip(&costs).map(|(set, costs)| Job::new(set, 0..costs.len(), costs)).collect()
            }
        };
        let is_lab = kind.takes.contains(&Takes::Kernel);
        let at_once = if is_lab { request.jobs } else { NonZeroUsize::MIN };
        // What is kept must be found again by a run with more processors.
        if request.keep.is_none() {
            cut(&mut jobs, at_once.get(), &costs);
        }
        Self { sets, groups, list: jobs, profile, at_once }
    }

    /// What `--plan` prints.
    pub fn planned(&self, kind: &Kind) -> impl Iterator<Item = Planned> {
        self.list.iter().map(|job| {
            let groups = &self.groups[job.groups.clone()];
            let name = |group: Option<&Group>| group.map_or_else(String::new, Group::to_string);
            Planned {
                host: kind.name,
                set: self.sets[job.set].name.clone(),
                groups: groups.len(),
                first: name(groups.first()),
                last: name(groups.last()),
                instructions: job.instructions,
            }
        })
    }

    /// Runs the jobs, except those of which there is a record. Returns a result for each set.
    ///
    /// # Errors
    /// A record cannot be read or written.
    pub fn run(
        &self,
        kind: &Kind,
        host: &dyn Host,
        request: &Request,
    ) -> Result<Vec<RunResult>, Stop> {
        let shelf = request.keep.as_ref();
        let files = shelf.map_or_else(Vec::new, |_| host.checksums());
        let identity = |job: &Job| {
            let groups = self.span(&job.groups);
            Identity {
                host: kind.name.into(),
                sets: self.sets.iter().map(|set| set.name.clone()).zip(files.clone()).collect(),
                asked: request.cmdline(self.profile),
                choice: request.choice(),
                set: self.sets[job.set].name.clone(),
                groups: (groups.from, groups.until),
            }
        };
        let (mut done, mut left) = (Vec::new(), Vec::new());
        for job in &self.list {
            let kept =
                shelf.map(|shelf| shelf.kept(&identity(job), &request.tables, request.strict));
            match kept.transpose()?.flatten() {
                Some(result) => done.push((job, result)),
                None => left.push(job),
            }
        }
        if !done.is_empty() {
            remark(&format!("{} of {} jobs were done before", done.len(), self.list.len()));
        }
        let ran = each(self.at_once, self.boots(&left), |boot| -> Result<Vec<_>, Stop> {
            let (Some(first), false) = (boot.first(), interrupt::pending()) else {
                return Ok(Vec::new());
            };
            let sets: Vec<usize> = boot.iter().map(|job| job.set).collect();
            let groups = self.span(&first.groups);
            let results = host.run(&Request { groups, ..request.clone() }, &sets);
            let ran: Vec<(&Job, RunResult)> = boot.into_iter().zip(results).collect();
            if let Some(shelf) = shelf {
                ran.iter().try_for_each(|(job, result)| shelf.keep(&identity(job), result))?;
            }
            Ok(ran)
        });
        for ran in ran {
            done.extend(ran?);
        }
        done.sort_by_key(|(job, _)| (job.set, job.groups.start));
        let mut results = Vec::new();
        for (set, _) in self.sets.iter().enumerate() {
            let planned: Vec<&Job> = self.list.iter().filter(|job| job.set == set).collect();
            let (Some(first), Some(last)) = (planned.first(), planned.last()) else { continue };
            let groups = self.span(&(first.groups.start..last.groups.end));
            let asked = Request { groups, ..request.clone() }.cmdline(self.profile);
            let own = done.extract_if(.., |(job, _)| job.set == set).map(|(_, result)| result);
            let own: Vec<RunResult> = own.collect();
            // After an interruption some are missing.
            let asked = (own.len() == planned.len()).then_some(asked.as_str());
            results.extend(joined(own, asked));
        }
        Ok(results)
    }

    /// The places of groups. Those that do not run belong to the ones before them.
    fn span(&self, groups: &Range<usize>) -> Span {
        let place = |at: usize| self.groups.get(at).and_then(|group| group.place());
        Span {
            from: if groups.start == 0 { 0 } else { place(groups.start).unwrap_or(0) },
            until: place(groups.end).unwrap_or(Group::PLACES),
        }
    }

    /// What runs in one boot. In the quick profile the boot costs more than a set, so there are only
    /// as many boots as run at the same time. In others each set has a boot, so that a worker that
    /// is done takes the next, and what is done is kept soon.
    fn boots<'a>(&self, left: &[&'a Job]) -> Vec<Vec<&'a Job>> {
        let boot = |job: &Job| self.sets[job.set].boot;
        let shared: Vec<_> = left.chunk_by(|one, other| boot(one) == boot(other)).collect();
        let size = |sets: usize| match self.profile {
            Profile::Quick => sets.div_ceil(self.at_once.get().div_ceil(shared.len())),
            Profile::Standard | Profile::Exhaustive => 1,
        };
        let boots = shared.iter().flat_map(|jobs| {
            jobs.chunk_by(|one, other| one.groups == other.groups && one.set != other.set)
                .flat_map(|jobs| jobs.chunks(size(jobs.len())))
        });
        boots.map(<[_]>::to_vec).collect()
    }
}

impl Job {
    fn new(set: usize, groups: Range<usize>, costs: &[u64]) -> Self {
        Self { set, instructions: costs[groups.clone()].iter().sum(), groups }
    }

    /// It in two, of about equal cost.
    fn halves(&self, costs: &[u64]) -> Option<[Self; 2]> {
        let Range { start, end } = self.groups;
        let (mut middle, mut cost) = (start, 0);
        while middle < end && cost + costs[middle] / 2 < self.instructions / 2 {
            cost += costs[middle];
            middle += 1;
        }
        (start < middle && middle < end)
            .then(|| [start..middle, middle..end].map(|half| Self::new(self.set, half, costs)))
    }
}

/// The jobs of a part: the sets in an order that a hash of their names gives, cut into parts of
/// about equal cost. A group belongs to the part in which its middle lies.
fn partition(part: Part, sets: &[Set], costs: &[Vec<u64>]) -> Vec<Job> {
    let mut order: Vec<usize> = (0..sets.len()).collect();
    order.sort_by_cached_key(|&set| (CRC32.checksum(sets[set].name.as_bytes()), set));
    let all: u64 = costs.iter().flatten().sum();
    let (number, of) = (part.number.get() as u64, part.of.get() as u64);
    let (mut before, mut jobs) = (0, Vec::new());
    for set in order {
        let costs = &costs[set];
        let parts: Vec<u64> = costs
            .iter()
            .map(|cost| {
                let middle = before + cost / 2;
                before += cost;
                1 + (middle * of / all.max(1)).min(of - 1)
            })
            .collect();
        let groups = parts.partition_point(|part| *part < number)
            ..parts.partition_point(|part| *part <= number);
        if !groups.is_empty() {
            jobs.push(Job::new(set, groups, costs));
        }
    }
    jobs.sort_by_key(|job| job.set);
    jobs
}

/// Cuts the dearest jobs until there are as many as can run at the same time, as long as a half is
/// worth a boot of its own.
fn cut(jobs: &mut Vec<Job>, at_once: usize, costs: &[Vec<u64>]) {
    while jobs.len() < at_once {
        let dearest = (0..jobs.len()).max_by_key(|&at| jobs[at].instructions);
        let Some(at) = dearest.filter(|&at| jobs[at].instructions >= 2 * WORTH_A_BOOT) else {
            return;
        };
        let Some(halves) = jobs[at].halves(&costs[jobs[at].set]) else { return };
        jobs.splice(at..=at, halves);
    }
}

#[cfg(test)]
mod tests {
    use super::{Host, Job, Jobs, Request, RunResult, Set, WORTH_A_BOOT, cut, partition};
    use crate::cli::{Cli, What};
    use crate::host::cost::Price;
    use crate::host::lab;
    use crate::request::Part;
    use crate::verdict::findings::Findings;
    use crate::verdict::judge::Source;
    use crate::verdict::result::{Measured, Origin};
    use crate::vmm::End;
    use clap::Parser;
    use spec::catalogue::group::Group;
    use spec::catalogue::options::Options;
    use spec::catalogue::plan::Profile;
    use spec::log::Writer;
    use std::num::NonZeroUsize;
    use std::sync::Mutex;

    fn sets(boots: &[usize]) -> Vec<Set> {
        let price = Price::Bochs;
        let set = |(at, &boot)| Set { name: format!("set {at}"), boot, price };
        boots.iter().enumerate().map(set).collect()
    }

    fn parts(of: usize) -> impl Iterator<Item = Part> {
        (1..=of).map(move |number| format!("hash:{number}/{of}").parse().unwrap())
    }

    /// Which groups of which sets the jobs have, by number from 0.
    fn groups(jobs: &[Job]) -> Vec<(usize, usize)> {
        jobs.iter().flat_map(|job| job.groups.clone().map(|group| (job.set, group))).collect()
    }

    #[test]
    fn parts_have_every_group_once_and_cost_about_the_same() {
        let sets = sets(&[0, 0, 1]);
        let costs = vec![vec![5, 90, 3, 40, 7], vec![100, 1, 1, 1], vec![20; 10]];
        let all: u64 = costs.iter().flatten().sum();
        let dearest = 100;
        for of in [1, 2, 3, 4, 7, 50] {
            let of_parts: Vec<Vec<Job>> =
                parts(of).map(|part| partition(part, &sets, &costs)).collect();
            for jobs in &of_parts {
                let cost: u64 = jobs.iter().map(|job| job.instructions).sum();
                assert!(cost <= all / of as u64 + dearest, "{of} {jobs:?}");
            }
            let mut seen = groups(&of_parts.concat());
            seen.sort_unstable();
            let every: Vec<_> = costs
                .iter()
                .enumerate()
                .flat_map(|(set, costs)| (0..costs.len()).map(move |group| (set, group)))
                .collect();
            assert_eq!(seen, every, "{of}");
        }
    }

    #[test]
    fn with_more_workers_than_jobs_what_is_worth_a_boot_is_cut_in_half() {
        let costs = vec![vec![WORTH_A_BOOT / 2; 4], vec![1; 4]];
        let whole = || (0..).zip(&costs).map(|(set, costs)| Job::new(set, 0..4, costs));
        for (at_once, count) in [(1, 2), (2, 2), (3, 3), (8, 3)] {
            let mut jobs: Vec<Job> = whole().collect();
            cut(&mut jobs, at_once, &costs);
            assert_eq!(jobs.len(), count, "{at_once}");
            assert_eq!(groups(&jobs).len(), 8);
            assert!(
                jobs.iter().all(|job| job.set == 1 || job.instructions <= 4 * WORTH_A_BOOT / 2)
            );
        }
    }

    #[test]
    fn quick_boots_as_often_as_workers_need_and_standard_for_each_set() {
        for (profile, boots, at_once, sizes) in [
            (Profile::Quick, &[0, 0, 0, 0][..], 1, &[4][..]),
            (Profile::Quick, &[0, 0, 0, 0], 2, &[2, 2]),
            (Profile::Quick, &[0, 0, 1, 1], 2, &[2, 2]),
            (Profile::Quick, &[0, 0, 0, 0], 16, &[1, 1, 1, 1]),
            (Profile::Quick, &[0, 0, 0], 2, &[2, 1]),
            (Profile::Standard, &[0, 0, 0, 0], 1, &[1, 1, 1, 1]),
            (Profile::Standard, &[0, 0, 0, 0], 2, &[1, 1, 1, 1]),
            (Profile::Quick, &[0, 1, 2], 1, &[1, 1, 1]),
        ] {
            let jobs = (0..boots.len()).map(|set| Job::new(set, 0..1, &[1]));
            let jobs = Jobs {
                sets: sets(boots),
                list: jobs.collect(),
                profile,
                at_once: NonZeroUsize::new(at_once).unwrap(),
                groups: Vec::new(),
            };
            let left: Vec<&Job> = jobs.list.iter().collect();
            let seen: Vec<usize> = jobs.boots(&left).iter().map(Vec::len).collect();
            assert_eq!(seen, sizes, "{boots:?} {at_once}");
        }
    }

    /// A host whose image skips each group, and what was asked of it.
    struct Skipping(Mutex<Vec<String>>);

    impl Host for Skipping {
        fn sets(&self) -> Vec<Set> {
            vec![Set { price: Price::OfKvm(100), ..sets(&[0]).remove(0) }]
        }

        fn run(&self, request: &Request, _: &[usize]) -> Vec<RunResult> {
            let asked = request.cmdline(Profile::Standard);
            let (mut text, options) = (String::new(), asked.replace(' ', "+"));
            let facts = format!("boot=pvh maxphyaddr=40 options={options}+on=bochs");
            let mut log = Writer::begin(&mut text, env!("CARGO_PKG_VERSION"), &facts);
            let groups: Vec<_> = Group::selected(Options::parse(&asked).unwrap()).collect();
            log.plan(groups.len());
            for (number, group) in (1..).zip(&groups) {
                log.skip(number, group, &"it needs what is not there");
            }
            log.end();
            self.0.lock().unwrap().push(asked.clone());
            let origin = Origin { asked: Some(asked), ..Origin::default() };
            let (read, end) = ((Findings::of_text(&text), None), Source::Run(End::PoweredOff));
            vec![RunResult::new(read, end, false, origin, Measured::default())]
        }
    }

    #[test]
    fn a_set_that_was_cut_has_one_result_as_if_it_had_not_been() {
        let ran = |more: &[&str]| {
            let line = ["maskmatch", "--l0", "lab", "--profile", "standard"].iter().chain(more);
            let args = Cli::parse_from(line).run;
            let (_, request) = args.on.request(What::default()).map_err(|stop| stop.why).unwrap();
            let request = Request { part: args.share.partition, ..request };
            let host = Skipping(Mutex::default());
            let jobs = Jobs::of(&lab::KIND, &host, &request);
            let mut results = jobs.run(&lab::KIND, &host, &request).map_err(|s| s.why).unwrap();
            let result = results.remove(0);
            assert!(results.is_empty() && result.findings.sound().is_ok());
            let groups = result.findings.groups.iter().map(|group| group.name.clone());
            let options = result.findings.image_options();
            (host.0.into_inner().unwrap().len(), options, groups.collect::<Vec<_>>())
        };
        let (boots, options, groups) = ran(&["--jobs", "1"]);
        assert_eq!((boots, options.as_str()), (1, "profile=standard on=bochs"));
        assert_eq!(ran(&["--jobs", "3"]), (3, options, groups.clone()));
        let parts: Vec<_> = [1, 2]
            .map(|part| ran(&["--jobs", "2", "--partition", &format!("hash:{part}/2")]))
            .into();
        assert_eq!([parts[0].2.as_slice(), &parts[1].2].concat(), groups);
        assert!(parts.iter().all(|(boots, options, _)| *boots == 2 && options.contains("groups=")));
    }
}
