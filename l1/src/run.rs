//! The list of groups: each gets its turn, and one line of the log.

use spec::catalogue::case::Case;
use spec::catalogue::group::Group;
use spec::catalogue::options::{Options, Patterns};
use spec::walk::setting::BASE;

use crate::machine::cpu::Cpu;
use crate::machine::loader::Boot;
use crate::machine::log::{end_with_skip, log};
use crate::scene;
use crate::smp;
use crate::tally::{Room, Tried};
use crate::turn::{Failed, Ran, Turn, UNPROTECTED};
use crate::vmx::{Vmx, changes};
use crate::walk::group::{action, filter, host};
use crate::walk::guest::Guest;
use crate::walk::host::FreshMemory;
use crate::walk::walker::Walker;
use crate::worlds::{World, Worlds};

/// Runs what the options select.
pub fn run(
    options: &Options<'_>,
    boot: &Boot,
    cpu: &Cpu,
    vmx: Vmx,
    guest: Guest,
) -> Result<(), Failed> {
    let mut machine = Machine {
        options,
        cpu,
        worlds: Worlds::new(Walker::new(vmx, guest)?),
        memory: FreshMemory::after_image(boot, options.memory),
    };
    let mut room = Room::of_run();
    let offered = machine.worlds.offered();
    if BASE.mode.on(offered) != BASE.mode {
        log()
            .note(&format_args!("{UNPROTECTED}: cases whose outcome depends on them are left out"));
    }
    if let Some(case) = options.case {
        log().plan(1);
        changes::begin(machine.worlds.vmx());
        return machine.run_group(1, case.group(), Some(case), &mut room);
    }
    let groups = Group::selected(*options).count();
    if groups == 0 {
        let all = Options { exclude: Patterns::default(), ..*options };
        if Group::selected(all).next().is_some() {
            end_with_skip(&"the option exclude= leaves out every group that filter= selects");
        }
        return Err(Failed::NoSuchGroup);
    }
    log().plan(groups);
    for (at, group) in Group::selected(*options).enumerate() {
        machine.run_group(at + 1, group, None, &mut room)?;
    }
    Ok(())
}

/// What all groups use.
struct Machine<'a> {
    options: &'a Options<'a>,
    cpu: &'a Cpu,
    worlds: Worlds,
    memory: FreshMemory,
}

impl Machine<'_> {
    /// Runs a group, or one case of it, and logs its result.
    fn run_group(
        &mut self,
        number: usize,
        group: Group,
        only: Option<Case>,
        room: &mut Room,
    ) -> Result<(), Failed> {
        let World { walker, stage } = match self.worlds.enter(group.enlightened(), self.cpu)? {
            Ok(world) => world,
            Err(reason) => {
                log().skip(number, &group, &reason);
                return Ok(());
            }
        };
        let tally = Tried::new(group, room);
        let mut turn = Turn { number, options: self.options, cpu: self.cpu, walker, tally };
        let ran = match (only, group) {
            (None, Group::Walk(group)) => filter::run(group, None, &mut turn),
            (None, Group::Host(need)) => host::run(need, None, &mut self.memory, &mut turn),
            (None, Group::Action(action)) => action::run(action, None, &mut turn),
            (None, Group::Scene(group)) => scene::group::run(group, None, stage, &mut turn),
            (None, Group::Smp(smp)) => smp::group::run(smp, None, &mut turn),
            (Some(Case::Walk(case)), _) => filter::run(case.group, Some(case), &mut turn),
            (Some(Case::Host(case)), _) => {
                host::run(case.access.need, Some(case), &mut self.memory, &mut turn)
            }
            (Some(Case::Action(case)), _) => action::run(case.action, Some(case), &mut turn),
            (Some(Case::Scene(case)), _) => {
                scene::group::run(case.group, Some(case), stage, &mut turn)
            }
            (Some(Case::Smp(case)), _) => smp::group::run(case.group(), Some(case), &mut turn),
        };
        match ran {
            Err(Failed::Entry(failed)) => {
                turn.tally.stopped(turn.walker.filter(), failed);
                turn.tally.log(number);
                // The group may have left another VMCS current.
                turn.walker.make_current()?;
            }
            Ok(Ran::Tried) => turn.tally.log(number),
            Ok(Ran::Skipped) => {}
            Err(failed) => return Err(failed),
        }
        self.worlds.rest()
    }
}
