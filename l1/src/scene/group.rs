//! Running the groups of scenes: those of an act in an environment, each under its filters.

use spec::catalogue::case::Case;
use spec::catalogue::name::Name;
use spec::scene::case::{SceneCase, SceneGroup};
use spec::scene::end::Words;
use spec::scene::{Scene, SceneId};

use super::stage::{Around, Stage};
use crate::machine::apic::Apic;
use crate::machine::cpu::{Cpu, tsc};
use crate::machine::expected::{STRAY_WORD, take_stray};
use crate::machine::log::log;
use crate::turn::{EXCLUDED, Failed, Ran, Turn, UNPROTECTED};
use crate::vmx::VmFail;

/// Plays between two heartbeats.
const HEARTBEAT: usize = 200;
/// More reasons to leave scenes out than a group has.
const MAX_REASONS: usize = 8;

/// Runs a group, or one case of it. `stage` is made for the first group that plays on it.
pub fn run(
    group: SceneGroup,
    only: Option<SceneCase>,
    stage: &mut Option<Stage>,
    turn: &mut Turn<'_>,
) -> Result<Ran, Failed> {
    if let Some(reason) = turn.cpu.lacks_environment(group.environment) {
        return Ok(turn.skip(&reason));
    }
    let vmx = turn.walker.vmx();
    if let Err(missing) = vmx.controls_for(group.environment) {
        return Ok(turn.skip(&missing));
    }
    let exists = |id: SceneId| id.scene().exists(group.environment, turn.cpu.maxphyaddr);
    if !group.scenes_in(turn.options.profile).any(exists) && only.is_none() {
        return Ok(turn.skip(&"no address bit is reserved: MAXPHYADDR is 52"));
    }
    let started = tsc();
    let stage = match stage {
        Some(stage) => stage,
        none => none.insert(Stage::new(vmx, turn.options.invvpid)?),
    };
    let left_out = play(group, only, stage, turn)?;
    turn.walker.make_current()?;
    if turn.tally.counts.cases == 0 {
        let LeftOut { reasons: [first, ..], excluded, unprotected } = left_out;
        return match first.or(unprotected.then_some(UNPROTECTED)).or(excluded.then_some(EXCLUDED)) {
            Some(reason) => Ok(turn.skip(&reason)),
            None => Err(Failed::NoSuchStimulus),
        };
    }
    // Where the VM was moved, the counter may have gone back.
    turn.tally.counts.tsc = tsc().saturating_sub(started);
    Ok(Ran::Tried)
}

/// Plays the scenes of a group, or one case, which may be any, the profile's or not.
fn play(
    group: SceneGroup,
    only: Option<SceneCase>,
    stage: &mut Stage,
    turn: &mut Turn<'_>,
) -> Result<LeftOut, VmFail> {
    let Turn { cpu, walker, tally, options, .. } = turn;
    let (vmx, header) = (walker.vmx(), &walker.guest().header);
    let around = Around { vmx, header, maxphyaddr: cpu.maxphyaddr, apic: Apic::of(cpu) };
    stage.set_up(group.environment, around)?;
    let profile = options.profile;
    let all = only.is_none().then(|| group.plays(profile, cpu.maxphyaddr));
    let (count, all) = all.map_or((1, None), |(count, all)| (count, Some(all)));
    let one = only.filter(|case| case.scene().exists(group.environment, cpu.maxphyaddr));
    let cases = all.into_iter().flatten().chain(one);
    let words = if only.is_some() { Words::MAX } else { group.act.words(profile) };
    let exclude = options.exclude.of_group(Name::of(&tally.group).as_str());
    let mut left_out = LeftOut::default();
    for (at, case) in cases.enumerate() {
        if exclude.is_some_and(|exclude| exclude.excludes(&Case::Scene(case))) {
            left_out.excluded = true;
            continue;
        }
        let (scene, filter) = (&case.scene(), case.filter);
        if !scene.is_same_on(vmx.offered(), group.environment, cpu.maxphyaddr) {
            left_out.unprotected = true;
            continue;
        }
        if let Some(reason) = lacks(scene, cpu, stage, around)? {
            left_out.note(&case, reason);
            continue;
        }
        if at % HEARTBEAT == 0 {
            log().progress(&tally.group, at, count);
        }
        let mut want = scene.expect(group.environment, filter, cpu.maxphyaddr);
        want.restrict(words);
        let is_played = stage.play(scene, filter, &mut want, around);
        match (take_stray(), is_played) {
            (Some(stray), _) => {
                tally.scene_failed(case, STRAY_WORD, &want, &stray);
                stage.forget();
            }
            (None, Ok(())) => tally.scene(case, &want, stage.seen()),
            (None, Err(fail)) => tally.scene_failed(case, fail.word, &want, &fail),
        }
    }
    Ok(left_out)
}

/// What is lacking for a scene, if anything.
fn lacks(
    scene: &Scene,
    cpu: &Cpu,
    stage: &mut Stage,
    around: Around<'_>,
) -> Result<Option<&'static str>, VmFail> {
    if let Some(feature) = scene.needs {
        let lacking = cpu.lacks_feature(feature);
        let lacking = lacking
            .map_or_else(|| stage.lacks_feature(feature, around), |reason| Ok(Some(reason)))?;
        if lacking.is_some() {
            return Ok(lacking);
        }
    }
    let vmx = around.vmx;
    let lacking = [
        (!vmx.allows_pins(scene.pins), "VMX lacks a pin-based control of the scene"),
        (!Stage::intercepts(vmx, scene.exiting), "VMX lacks the control by which the scene exits"),
        (
            !vmx.allows_activity(scene.activity),
            "VMX offers no activity state HLT (IA32_VMX_MISC[6])",
        ),
    ];
    Ok(lacking.into_iter().find_map(|(lacks, reason)| lacks.then_some(reason)))
}

/// Why scenes were left out. The scenes of an act often need the same, so each reason is noted
/// once.
#[derive(Default)]
struct LeftOut {
    reasons: [Option<&'static str>; MAX_REASONS],
    /// The options leave some out.
    excluded: bool,
    /// Some depend on SMEP or SMAP, which are not there.
    unprotected: bool,
}

impl LeftOut {
    fn note(&mut self, case: &SceneCase, reason: &'static str) {
        let place = self.reasons.iter_mut().find(|noted| noted.is_none_or(|noted| noted == reason));
        if place.is_some_and(|place| place.replace(reason).is_none()) {
            let group = Case::Scene(*case).group();
            log().note(&format_args!("{group}:{} is left out: {reason}", case.id));
        }
    }
}
