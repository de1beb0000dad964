//! What a group has seen so far: its cases counted and judged, and its result in the log.

use core::fmt;
use core::mem::MaybeUninit;
use core::slice;

use crc::Digest;
use spec::catalogue::case::Case;
use spec::catalogue::group::Group;
use spec::log::{CRC32, Counts};
use spec::manual::filter::Filter;
use spec::scene::case::SceneCase;
use spec::scene::end::{End, Ends, How};
use spec::tally::ending::Ending;
use spec::tally::{Difference, Entry, Kinds, Tally};
use spec::walk::action::case::{ActionCase, ActionProbe};
use spec::walk::case::{WalkCase, WalkGroup};
use spec::walk::host::{HostAccess, HostCase};
use spec::walk::outcome::{Observed, Outcome};
use spec::walk::stimulus::Stimulus;

use crate::machine::expected::{STRAY_WORD, take_stray};
use crate::machine::global::Global;
use crate::machine::log::log;
use crate::probe::Probe;
use crate::smp::pair::{Gone, Judged};
use crate::turn::Failed;
use crate::walk::action::Acting;
use crate::walk::broken::{Broken, EntryFailed};
use crate::walk::host::{FreshMemory, Pages};
use crate::walk::judge::Judge;
use crate::walk::l1_faults;
use crate::walk::walker::{CR2_AT_START, Walked, Walker};

/// What a group has seen so far.
pub struct Tried<'a> {
    /// The group.
    pub group: Group,
    /// Its counts.
    pub counts: Counts,
    digest: Digest<'static, u32>,
    tally: Tally<'a, Probe>,
    kinds: &'a mut Kinds<'static>,
    /// Cases without an end that were logged in full.
    in_full: u64,
}

/// How many pairs of an access (or a scene) and a way to differ a group can distinguish. No act has
/// more scenes, and few hosts do more than one thing wrong in each.
const ROOM: usize = 768;

/// How many kinds of difference a run logs in full.
const KINDS: usize = 128;

static ENTRIES: Global<MaybeUninit<[Option<Entry<Probe>>; ROOM]>> =
    Global::new(MaybeUninit::uninit());
static SEEN: Global<MaybeUninit<[Option<Difference>; KINDS]>> = Global::new(MaybeUninit::uninit());

/// Where groups keep what they see, and what the run has seen: too much for the stack.
pub struct Room {
    entries: &'static mut [Option<Entry<Probe>>],
    kinds: Kinds<'static>,
}

impl Room {
    /// The room of a run, of which there is one.
    pub fn of_run() -> Self {
        let (entries, seen) = (empty(&ENTRIES), empty(&SEEN));
        Self { entries, kinds: Kinds::new(seen) }
    }
}

/// The elements of a static, all `None`. To be called once for each.
#[expect(clippy::mut_from_ref, reason = "`Global` hands out its contents by pointer")]
fn empty<T, const N: usize>(
    room: &'static Global<MaybeUninit<[Option<T>; N]>>,
) -> &'static mut [Option<T>] {
    let elements = room.get().cast::<Option<T>>();
    #[expect(unsafe_code, reason = "fills a static that is too large for the stack")]
    // SAFETY: all elements are written before the reference is made; `Room::of_run` calls this once
    // for each static, and nothing else refers to them.
    unsafe {
        (0..N).for_each(|at| elements.add(at).write(None));
        slice::from_raw_parts_mut(elements, N)
    }
}

impl<'a> Tried<'a> {
    /// Nothing yet.
    pub fn new(group: Group, room: &'a mut Room) -> Self {
        Self {
            group,
            counts: Counts::default(),
            digest: CRC32.digest(),
            tally: Tally::new(room.entries),
            kinds: &mut room.kinds,
            in_full: 0,
        }
    }

    /// One walk: all cases of a filter.
    pub fn walk(
        &mut self,
        group: WalkGroup,
        filter: Filter,
        judge: &mut Judge,
        walker: &mut Walker,
    ) -> Result<(), EntryFailed> {
        let broken = walker.walk(filter)?;
        self.counts.cases += judge.len() as u64;
        if self.is_complete(filter, broken, judge.len(), walker)? {
            let case = |stimulus| Case::Walk(WalkCase { group, stimulus, filter });
            self.judged(filter, &walker.last(), judge, &case);
        }
        Ok(())
    }

    /// Whether L2 got through a walk. If not, its cases are counted as such, and L2 is put to its
    /// start.
    fn is_complete(
        &mut self,
        filter: Filter,
        broken: Option<Broken>,
        cases: usize,
        walker: &mut Walker,
    ) -> Result<bool, EntryFailed> {
        if let Some(broken) = broken {
            self.broken(filter, broken, cases);
            walker.restart()?;
        }
        Ok(broken.is_none())
    }

    /// Judges a complete walk, in which each stimulus is a case.
    fn judged(
        &mut self,
        filter: Filter,
        walked: &Walked<'_>,
        judge: &mut Judge,
        case: &dyn Fn(Stimulus) -> Case,
    ) {
        let sums = judge
            .walk(filter, walked, |stimulus, want, got| self.differs(&case(*stimulus), want, got));
        if judge.has_learned() {
            self.counts.differing +=
                judge.adapt(&mut self.tally, |stimulus| Probe::of(&case(stimulus)));
        }
        self.counts.exits += sums.exits;
        self.counts.delivered += sums.delivered;
        self.digest.update(&sums.exited.to_le_bytes());
    }

    /// One walk after a host action, and L1's own page faults after that. It is
    /// [`Failed::Refused`] if there is no such action here. `own` is one of these, if
    /// only that one counts; with `l2_alone` none does.
    pub fn acted_walk(
        &mut self,
        filter: Filter,
        acting: &mut Acting,
        own: Option<Stimulus>,
        l2_alone: bool,
        walker: &mut Walker,
    ) -> Result<(), Failed> {
        let action = acting.action();
        let case = |probe| Case::Action(ActionCase { action, probe, filter });
        let walked_case = |stimulus| case(ActionProbe::Stimulus(stimulus));
        let is_first = self.counts.cases == 0;
        self.counts.cases += acting.len() as u64;
        if let Err(status) = acting.before(walker) {
            self.broken(filter, Broken::Refused(status), acting.len());
            return Ok(());
        }
        let made = acting.act(filter, walker)?;
        if let Some(refusal) = made.refusal {
            log()
                .note(&format_args!("{}: L0 refuses the change, as it may: {refusal}", self.group));
        }
        if let Some(Broken::Refused(status)) = made.broken
            && is_first
            && status.is_unknown_here()
        {
            walker.restart()?;
            return Err(Failed::Refused(status));
        }
        if !self.is_complete(filter, made.broken, acting.len(), walker)? {
            return Ok(());
        }
        if made.walked {
            let mut cr2 = CR2_AT_START;
            if let Some((want, got)) = acting.event(filter, walker) {
                // What a delivered fault leaves; one that went to the wrong party leaves nothing, and
                // one of user mode comes after other accesses.
                let asking = walker.guest().header.supervisor_cs;
                let left = got.delivery.filter(|delivery| delivery.cs == asking);
                cr2 = left.map_or(cr2, |delivery| delivery.cr2);
                self.counts.cases += 1;
                if want != got {
                    self.differs(&case(ActionProbe::Event), &want, &got);
                }
            }
            let walked = walker.last().after_event(cr2);
            self.judged(filter, &walked, acting.judge(), &walked_case);
        } else {
            // An INIT signal has ended the walk that asked: `act` saw to that.
            self.counts.cases += u64::from(acting.has_init());
            acting.between(walker);
            let broken = walker.walk(filter)?;
            if !self.is_complete(filter, broken, acting.len(), walker)? {
                return Ok(());
            }
            self.judged(filter, &walker.last(), acting.judge(), &walked_case);
        }
        // The next walk may have a judge of its own.
        let probe = |stimulus| Probe::of(&walked_case(stimulus));
        self.counts.differing += acting.judge().count_habit(&mut self.tally, probe);
        if !l2_alone {
            l1_faults::check(
                acting.maxphyaddr(),
                &walker.guest().header,
                own,
                |stimulus, want, got| {
                    self.counts.cases += 1;
                    if got != want {
                        self.differs(&case(ActionProbe::Own(*stimulus)), want, got);
                    }
                },
            );
        }
        if let Err(status) = acting.undo() {
            self.broken(filter, Broken::Refused(status), acting.len());
        }
        Ok(())
    }

    /// One walk over the pages of a need of L0: every access must be silent, and have its effect.
    pub fn host_walk(
        &mut self,
        filter: Filter,
        pages: &mut Pages,
        only: Option<HostAccess>,
        walker: &mut Walker,
        memory: &mut FreshMemory,
    ) -> Result<(), EntryFailed> {
        let cases = pages.map(walker, memory, only);
        self.counts.cases += cases as u64;
        let broken = walker.walk(filter)?;
        if !self.is_complete(filter, broken, cases, walker)? {
            return Ok(());
        }
        pages.look_into_log();
        let want = Observed::exactly(Outcome::Silent);
        for (access, got) in pages.observed(&walker.last()) {
            self.counts.exits += got.exits;
            self.counts.delivered += got.deliveries;
            if got != want {
                self.differs(&Case::Host(HostCase { access, filter }), &want, &got);
            }
        }
        Ok(())
    }

    /// One case of a scene.
    pub fn scene(&mut self, case: SceneCase, want: &Ends, got: &Ends) {
        self.counts.cases += 1;
        let exit = matches!(got.first, End { how: How::Exit(_), .. });
        self.counts.exits += u64::from(exit);
        self.counts.delivered += u64::from(matches!(got.first, End { how: How::Delivered(_), .. }));
        self.digest.update(&[u8::from(exit)]);
        if let Some(difference) = Difference::of_ends(want, got) {
            self.count(&Case::Scene(case), &difference, want, got);
        }
    }

    /// One case of a scene in which a VMX instruction failed, or its event came to L1.
    pub fn scene_failed(
        &mut self,
        case: SceneCase,
        word: &'static str,
        want: &Ends,
        got: &dyn fmt::Display,
    ) {
        self.counts.cases += 1;
        self.incomplete(word, 1, &Case::Scene(case), want, got);
    }

    /// One case on one of two processors.
    pub fn smp(&mut self, Judged { case, wants, got }: &Judged) {
        let case = Case::Smp(*case);
        self.counts.cases += 1;
        if let Some(stray) = take_stray() {
            return self.incomplete(STRAY_WORD, 1, &case, &wants[0], &stray);
        }
        match got {
            Ok(got) => {
                self.counts.exits += got.exits;
                self.counts.delivered += got.deliveries;
                self.digest.update(&[got.exits as u8]);
                if !wants.contains(got) {
                    // Where another end is right too, that at which it came is the one to compare
                    // with.
                    let same_end =
                        wants.iter().find(|want| Ending::from(*want) == Ending::from(got));
                    self.differs(&case, same_end.unwrap_or(&wants[0]), got);
                }
            }
            Err(trouble) => self.incomplete(trouble.word(), 1, &case, &wants[0], trouble),
        }
    }

    /// The second processor is stuck or dead: the rest of the group cannot be tried.
    pub fn gone(&mut self, filter: Filter, gone: Gone) {
        self.counts.cases += 1;
        let id = WalkId(self.group, filter);
        self.incomplete(gone.word(), 1, &id, &COMPLETE_WALK, &gone);
    }

    /// A case of an access that is not as the manual says.
    fn differs(&mut self, case: &Case, want: &Observed, got: &Observed) {
        if let Some(difference) = Difference::of_observed(want, got) {
            self.count(case, &difference, want, got);
        }
    }

    /// Counts a case that differs, and logs the first of each kind in full.
    fn count(
        &mut self,
        case: &Case,
        difference: &Difference,
        want: &dyn fmt::Display,
        got: &dyn fmt::Display,
    ) {
        self.counts.differing += 1;
        let probe = Probe::of(case);
        self.tally.add(probe, probe.number(), case.filter(), difference, 1);
        if self.kinds.is_new(difference) {
            log().fail(case, want, got);
        }
    }

    /// Counts cases that came to no end, and logs the first ones.
    fn incomplete(
        &mut self,
        word: &'static str,
        cases: u64,
        id: &dyn fmt::Display,
        want: &dyn fmt::Display,
        got: &dyn fmt::Display,
    ) {
        self.counts.differing += cases;
        self.tally.add_incomplete(word, cases);
        self.in_full += 1;
        if self.in_full <= INCOMPLETE_IN_FULL {
            log().fail(id, want, got);
        }
    }

    /// A walk without an end: none of its cases can be judged.
    fn broken(&mut self, filter: Filter, broken: Broken, cases: usize) {
        if let (Broken::Refused(status), 0) = (broken, self.counts.differing) {
            log().note(&format_args!("{}: {status}", self.group));
        }
        let id = WalkId(self.group, filter);
        self.incomplete(broken.word(), cases as u64, &id, &COMPLETE_WALK, &broken);
    }

    /// L2 does not get to its next walk: the rest of the group cannot be tried. `filter` is
    /// vmcs12's.
    pub fn stopped(&mut self, filter: Filter, failed: EntryFailed) {
        failed.log(&self.group, filter);
        self.counts.cases += 1;
        self.counts.differing += 1;
        self.tally.add_incomplete(failed.word(), 1);
    }

    /// The last walk of the group is over.
    pub fn end_walks(&mut self, group: WalkGroup, judge: &mut Judge) {
        let probe =
            |stimulus| Probe::of(&Case::Walk(WalkCase { group, stimulus, filter: Filter::NEVER }));
        self.counts.differing += judge.count_habit(&mut self.tally, probe);
    }

    /// Logs the result.
    pub fn log(&mut self, number: usize) {
        self.counts.digest = self.digest.clone().finalize();
        log().differs(&self.group, &mut self.tally);
        log().result(number, &self.group, &self.counts);
    }
}

/// How many cases without an end a group logs in full.
const INCOMPLETE_IN_FULL: u64 = 16;
/// What must be seen of a walk.
const COMPLETE_WALK: &str = "complete-walk";

/// The id of a whole walk.
struct WalkId(Group, Filter);

impl fmt::Display for WalkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:walk:{}", self.0, self.1)
    }
}
