//! What the processor finds in the stage's memory, by a walk of its tables as the manual has it.
#![allow(unsafe_code, reason = "reads memory by its physical address")]

mod ends;

use std::vec::Vec;

use spec::channel::DEVICE_PAGE;
use spec::manual::paging::format::Format;
use spec::manual::paging::{Entry, Level};
use spec::scene::SceneId;
use spec::scene::act::Act;
use spec::scene::descriptor::{VMCALL, idt_base, idt_limit};
use spec::scene::ept::{DEEP, EptEntry, FRAMES, GuestFrame, is_deep};
use spec::scene::guest_memory::{REAL_BASE, guest_physical, guest_physical_of_deep};
use spec::scene::place::PAGE;
use spec::scene::rows::forced;
use spec::scene::tested::{FRAME, GOOD, last_canonical, linear};

use super::*;
use crate::fake::{begin, processor};
use crate::machine::page::mapped;

const MAXPHYADDR: Maxphyaddr = 39;
/// The bits of an entry that are an address.
const ADDRESS: u64 = (1 << MAXPHYADDR) - PAGE;
const READ_WRITE_EXECUTE: u64 = 7;
const LARGE: u64 = 2 << 20;
const APIC: u64 = 0xfee0_0000;

fn read<T: Copy>(physical: u64) -> T {
    // SAFETY: `mapped` gives addresses in statics, which `begin` gave to the test.
    unsafe { mapped::<T>(physical).read_unaligned() }
}

/// Where EPT leads a guest-physical address; `None` where its entry allows nothing.
fn through_ept(environment: &Environment, guest: u64) -> Option<u64> {
    if environment.ept.is_none() {
        return Some(guest);
    }
    let mut table = vmread(Field::EptPointer) & ADDRESS;
    for level in Level::WALK {
        let entry: u64 = read(table + 8 * Format::Level4.index(level, guest) as u64);
        if entry & READ_WRITE_EXECUTE == 0 {
            return None;
        }
        table = entry & ADDRESS;
        if level == Level::Pde && entry >> 7 & 1 == 1 {
            return Some((table & !(LARGE - 1)) + guest % LARGE);
        }
    }
    Some(table + guest % PAGE)
}

/// Where a linear address leads, and the last entry on the way. `None` where an entry is not
/// present.
fn walk(environment: &Environment, linear: u64) -> Option<(u64, u64)> {
    if environment.width == Width::Real {
        return Some((through_ept(environment, REAL_BASE + environment.pointer(linear))?, 0));
    }
    let Environment { format, ept, .. } = *environment;
    let mut entry = guest_physical(ept, tables::root(format));
    for &level in format.levels() {
        let index = format.index(level, linear) as u64;
        let at = through_ept(environment, (entry & ADDRESS) + index * format.entry_bytes())?;
        entry = if format.entry_bytes() == 4 { read::<u32>(at).into() } else { read(at) };
        if entry & Entry::P.bits() == 0 {
            return None;
        }
    }
    Some((through_ept(environment, (entry & ADDRESS) + linear % PAGE)?, entry))
}

/// Where L1 has what is at a linear address of the stage.
fn physical(linear: u64) -> u64 {
    let page = match Place::of(linear) {
        Some(place) => memory::physical(place),
        None if is_deep(linear) => deep::frame(GuestFrame::Page).unwrap(),
        None => FRAME,
    };
    page + linear % PAGE
}

fn byte(linear: u64) -> u8 {
    read(physical(linear))
}

fn set_up(environment: &Environment) {
    ept::set_up(environment, MAXPHYADDR).unwrap();
    memory::build(environment, MAXPHYADDR);
}

/// Scenes of an environment, in the order of their acts.
fn scenes(environment: &Environment) -> impl Iterator<Item = Scene> {
    let ids = Act::ALL.into_iter().flat_map(Act::scenes).filter(|id| id.plays_in(environment));
    ids.map(SceneId::scene).filter(|scene| scene.exists(environment, MAXPHYADDR))
}

/// Frames of the deep page's walk, and of the stage, with where L2 has them.
fn frames(environment: &Environment) -> impl Iterator<Item = (GuestFrame, u64, u64)> {
    let real = environment.width == Width::Real;
    (0..FRAMES)
        .map(GuestFrame::from_number)
        .filter(|frame| *frame != GuestFrame::Place(Place::Device))
        .map(move |frame| {
            let physical = match frame {
                GuestFrame::Place(place) => memory::physical(place),
                GuestFrame::Root => tables::root(Format::Level4),
                _ => deep::frame(frame).unwrap(),
            };
            match frame {
                GuestFrame::Place(place) if real => {
                    (frame, physical, REAL_BASE + place as u64 * PAGE)
                }
                GuestFrame::Page => {
                    (frame, physical, guest_physical_of_deep(environment.ept, physical))
                }
                _ => (frame, physical, guest_physical(environment.ept, physical)),
            }
        })
}

#[test]
fn every_linear_address_leads_to_its_memory_in_every_paging_mode_and_ept() {
    let _turn = begin();
    for environment in ENVIRONMENTS {
        set_up(environment);
        memory::lay_out(&forced::NOP.scene, environment, DEVICE_PAGE, MAXPHYADDR);
        let leads = |linear| walk(environment, linear).map(|(physical, _)| physical);
        for place in Place::ALL {
            if (place, environment.width) != (Place::Device, Width::Real) {
                let want = memory::physical(place) + 0x123;
                assert_eq!(
                    leads(place.linear() + 0x123),
                    Some(want),
                    "{} {place:?}",
                    environment.name
                );
            }
        }
        if environment.width == Width::Real {
            continue;
        }
        let format = environment.format;
        assert_eq!(leads(GOOD + 8), Some(FRAME + 8));
        assert!(last_canonical(format).is_none_or(|last| leads(last + 8) == Some(FRAME + 8)));
        for &level in format.levels() {
            // No scene was laid out that has a page under test. PAE paging's root is mended in
            // each, so that a VM entry takes it.
            let want = format.is_register(level).then_some(FRAME);
            assert_eq!(leads(linear(format, level)), want, "{} {level:?}", environment.name);
        }
        if format.is_long() {
            assert_eq!(leads(DEEP + 8), deep::frame(GuestFrame::Page).map(|page| page + 8));
        }
    }
}

#[test]
fn a_page_under_test_differs_in_one_entry_and_leads_to_the_frame() {
    let _turn = begin();
    let mut seen = 0;
    for environment in ENVIRONMENTS {
        set_up(environment);
        for scene in scenes(environment) {
            let Some(tested) = scene.tested_at_start() else { continue };
            memory::lay_out(&scene, environment, DEVICE_PAGE, MAXPHYADDR);
            let Environment { format, ept, .. } = *environment;
            let level = tested.page.level;
            let at = tables::table(level)
                + format.index(level, linear(format, level)) as u64 * format.entry_bytes();
            let entry: u64 =
                if format.entry_bytes() == 4 { read::<u32>(at).into() } else { read(at) };
            let is_large =
                format.maps_page(level, Entry::from_bits_retain(tested.page.entry(MAXPHYADDR)));
            let next = format.levels().iter().find(|&&next| next > level);
            let leads = entry & ADDRESS & !tested.page.entry(MAXPHYADDR);
            match next {
                _ if is_large && level != Level::Pte => assert_eq!(leads, 0, "{}", scene.id),
                Some(&next) => {
                    assert_eq!(leads, guest_physical(ept, tables::table(next)), "{}", scene.id);
                }
                None => assert_eq!(leads, FRAME, "{}", scene.id),
            }
            let good = walk(environment, GOOD).map(|(physical, _)| physical);
            assert_eq!(good, Some(FRAME), "{} {}", environment.name, scene.id);
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn a_spoiled_frame_is_the_only_one_and_is_mended_after_that() {
    let _turn = begin();
    for environment in ENVIRONMENTS.iter().filter(|environment| environment.ept.is_some()) {
        set_up(environment);
        let pointer = vmread(Field::EptPointer);
        let unreachable = || -> Vec<GuestFrame> {
            let wrong = frames(environment).filter(|&(_, physical, guest)| {
                let leads = through_ept(environment, guest + 8);
                assert!(leads.is_none_or(|leads| leads == physical + 8), "{}", environment.name);
                leads.is_none()
            });
            wrong.map(|(frame, ..)| frame).collect()
        };
        assert_eq!(unreachable(), []);
        let is_large = environment.ept.is_some_and(|ept| ept.large);
        let upper = frames(environment).filter(|(frame, ..)| *frame == GuestFrame::Page);
        let upper = upper.filter(|_| !is_large).map(|frame| (frame, EptEntry::UPPER_NP));
        let last = frames(environment).map(|frame| (frame, EptEntry::NP));
        for ((frame, _, guest), entry) in last.chain(upper) {
            processor().invepts.clear();
            ept::spoil(Some((frame, entry)), MAXPHYADDR).unwrap();
            assert_eq!(
                (unreachable(), processor().invepts.as_slice()),
                ([frame].to_vec(), &[pointer][..])
            );
            ept::spoil(Some((frame, entry)), MAXPHYADDR).unwrap();
            assert_eq!(processor().invepts.len(), 1, "nothing changes");
            assert_eq!(
                ept::by_frame(guest + 8),
                frame.guest_physical(8),
                "{} {frame:?}",
                environment.name
            );
        }
        ept::spoil(None, MAXPHYADDR).unwrap();
        assert_eq!(unreachable(), []);
        assert_eq!(ept::by_frame(0x12_3456), 0x12_3456, "in no frame");
        // A new environment begins with good tables.
        ept::spoil(Some((GuestFrame::Page, EptEntry::NP)), MAXPHYADDR).unwrap();
        set_up(environment);
        assert_eq!(unreachable(), []);
        ept::spoil(Some((GuestFrame::Page, EptEntry::NP)), MAXPHYADDR).unwrap();
        assert_eq!(unreachable(), [GuestFrame::Page]);
    }
}

#[test]
fn the_device_is_what_the_scene_needs_and_the_device_after_that() {
    let _turn = begin();
    let paged = ENVIRONMENTS.iter().filter(|environment| environment.width != Width::Real);
    for environment in paged {
        set_up(environment);
        for page in [DEVICE_PAGE, APIC, DEVICE_PAGE] {
            ept::set_device(page).unwrap();
            memory::lay_out(&forced::NOP.scene, environment, page, MAXPHYADDR);
            let leads =
                walk(environment, Place::Device.linear() + 0x30).map(|(physical, _)| physical);
            assert_eq!(leads, Some(page + 0x30), "{}", environment.name);
        }
    }
}

#[test]
fn a_scene_finds_its_code_memory_and_pages_whatever_was_before() {
    let _turn = begin();
    let mut crossing = 0;
    for environment in ENVIRONMENTS {
        set_up(environment);
        for scene in scenes(environment) {
            memory::lay_out(&scene, environment, DEVICE_PAGE, MAXPHYADDR);
            let context = || std::format!("{} {}", environment.name, scene.id);
            let code = || scene.code.iter().chain(&VMCALL);
            assert!((scene.rip..).zip(code()).all(|(at, code)| byte(at) == *code), "{}", context());
            crossing +=
                usize::from(scene.rip / PAGE != (scene.rip + scene.code.len() as u64) / PAGE);
            for (at, value) in scene.memory {
                let got = core::array::from_fn(|offset| byte(at + offset as u64));
                assert_eq!(u64::from_le_bytes(got), *value, "{}", context());
            }
            for place in Place::ALL.into_iter().filter(|_| environment.width != Width::Real) {
                let want = scene.kind(place).entry(place, scene.cpl, MAXPHYADDR);
                let want =
                    if environment.format.entry_bytes() == 4 { want & 0xffff_ffff } else { want };
                let entry = tables::pte(environment.format, place.linear());
                assert_eq!(entry & !ADDRESS | want & ADDRESS, want, "{} {place:?}", context());
            }
        }
    }
    assert!(crossing > 10, "{crossing}");
}

#[test]
fn gates_are_those_of_the_scene_whatever_the_last_one_wrote_over_them() {
    let _turn = begin();
    for width in [Width::Bits64, Width::Bits32] {
        let environment =
            ENVIRONMENTS.iter().find(|environment| environment.width == width).unwrap();
        let gates = || -> Vec<u8> {
            (0..=idt_limit(width.is_long()))
                .map(|at| byte(idt_base(width.is_long()) + at))
                .collect()
        };
        set_up(environment);
        let mut changed = 0;
        let mut last = Vec::new();
        for scene in scenes(environment) {
            memory::lay_out(&scene, environment, DEVICE_PAGE, MAXPHYADDR);
            let kept = gates();
            changed += usize::from(kept != last);
            if kept != last {
                memory::build(environment, MAXPHYADDR);
                memory::lay_out(&scene, environment, DEVICE_PAGE, MAXPHYADDR);
                assert!(gates() == kept, "{} {}", environment.name, scene.id);
            }
            last = kept;
        }
        assert!(changed > 2, "{changed}");
        // Eight bytes in two gates.
        let across = idt_base(width.is_long()) + if width.is_long() { 0x1c } else { 0x24 };
        let scene =
            Scene { memory: Box::leak(Box::new([(across, u64::MAX)])), ..forced::NOP.scene };
        for scene in [forced::NOP.scene, scene, forced::NOP.scene] {
            memory::lay_out(&scene, environment, DEVICE_PAGE, MAXPHYADDR);
        }
        let plain = gates();
        set_up(environment);
        memory::lay_out(&forced::NOP.scene, environment, DEVICE_PAGE, MAXPHYADDR);
        assert!(gates() == plain, "{}", environment.name);
    }
}
