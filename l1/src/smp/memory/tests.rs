use std::vec::Vec;

use super::*;
use crate::fake::begin;

const MAXPHYADDR: Maxphyaddr = 39;
const ADDRESS: u64 = (1 << MAXPHYADDR) - PAGE;
/// Where all entries of pages under test are good.
const UNDER_TEST: u64 = (spec::walk::layout::TEST_PML4_INDEX as u64) << 39 | 0x18;

fn read(physical: u64) -> u64 {
    // SAFETY: `mapped` gives addresses in statics, which `begin` gave to the test.
    unsafe { mapped::<u64>(physical).read() }
}

/// Where a linear address leads from a processor's root, and the rights on the way.
fn walk(processor: usize, linear: u64) -> Option<(u64, Entry)> {
    let mut entry = root(processor);
    let mut rights = Entry::all();
    for level in Level::WALK {
        entry = read((entry & ADDRESS) + 8 * Format::Level4.index(level, linear) as u64);
        rights &= Entry::from_bits_retain(entry);
    }
    rights.contains(Entry::P).then_some(((entry & ADDRESS) + linear % PAGE, rights))
}

#[test]
fn each_processor_has_both_s_pages_where_its_own_code_looks_for_them() {
    use SmpPage::{Board, Code, Descriptors, Handlers, Stack, UserBoard, UserCode};
    let _turn = begin();
    build(MAXPHYADDR);
    let mut own = Vec::new();
    for (root, processor) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for page in [Code, UserCode, Handlers, Descriptors, Stack, Board, UserBoard] {
            let (physical, rights) = walk(root, page.linear(processor)).unwrap();
            assert_eq!(rights.contains(Entry::US), matches!(page, UserCode | UserBoard));
            assert_eq!(rights.contains(Entry::RW), !matches!(page, UserCode));
            let is_own = matches!(page, Descriptors | Stack);
            if is_own && root == 0 {
                own.push(physical);
            }
            let other = walk(root, page.linear(1 - processor)).unwrap().0;
            assert_eq!(physical != other, is_own);
            assert_eq!(
                walk(1 - root, page.linear(processor)).unwrap().0,
                physical,
                "both roots have it"
            );
        }
        let code = walk(root, Code.linear(processor)).unwrap().0;
        assert_eq!(code, walk(root, UserCode.linear(processor)).unwrap().0);
        assert_eq!(read(code).to_le_bytes(), code::bytes()[..8]);
    }
    own.sort_unstable();
    own.dedup();
    assert_eq!(own.len(), 4, "a stack and descriptor tables for each");
    let frames = [0, 1].map(|processor| walk(processor, UNDER_TEST).unwrap().0);
    assert_eq!(frames, [0, 1].map(|processor| physical(frame_at(processor, UNDER_TEST))));
    assert_ne!(frames[0], frames[1]);
}

#[test]
fn a_change_is_of_the_entry_that_the_first_processor_writes() {
    let _turn = begin();
    build(MAXPHYADDR);
    let change =
        spec::smp::shootdown::CHANGES.iter().find(|change| change.level == Level::Pte).unwrap();
    lay_out(change);
    for level in Level::WALK {
        let (entry, rights) = walk(0, shot_entry_linear(level)).unwrap();
        assert!(rights.contains(Entry::RW));
        assert_eq!(read(entry), shot_entry(change, level, State::Old), "{level:?}");
    }
}

#[test]
fn words_of_a_stack_are_read_within_its_page() {
    let _turn = begin();
    build(MAXPHYADDR);
    let bottom = SmpPage::Stack.linear(1);
    let end = bottom + PAGE;
    let top = walk(1, bottom).unwrap().0 + PAGE - 16;
    // SAFETY: the last two words of the page.
    unsafe { mapped::<[u64; 2]>(top).write([7, 8]) };
    assert_eq!(stack_words(1, end - 16), Some([7, 8]));
    assert_eq!(stack_words::<2>(1, end - 8), None, "one word is beyond the end");
    assert_eq!(stack_words::<1>(1, end), None);
    assert_eq!(stack_words::<1>(1, end - 12), None, "between words");
    assert_eq!(stack_words::<1>(1, bottom - 8), None);
    assert!(stack_words::<1>(1, bottom).is_some());
    assert_eq!(stack_words::<1>(0, bottom), None, "the other's");
}

#[test]
fn each_vector_has_a_gate_that_leads_to_its_handler() {
    let _turn = begin();
    build(MAXPHYADDR);
    for processor in 0..2 {
        let [gdt, tss, idt] =
            descriptor_tables(processor).map(|table| walk(processor, table).unwrap().0);
        let base = [read(gdt + TSS_SELECTOR), read(gdt + TSS_SELECTOR + 8)];
        let base = base[0] >> 16 & 0xff_ffff | base[0] >> 56 << 24 | base[1] << 32;
        assert_eq!(base, descriptor_tables(processor)[1]);
        assert_eq!(read_unaligned(tss + 4), stack_top(processor), "RSP0");
        assert_eq!(read_unaligned(tss + 0x24), SmpPage::Stack.linear(processor) + PAGE, "IST1");
        for vector in 0..=IDT_LIMIT / 16 {
            let [low, high] = [read(idt + 16 * vector), read(idt + 16 * vector + 8)];
            let handler = low & 0xffff | low >> 48 << 16 | high << 32;
            assert_eq!(handler, SmpPage::Handlers.linear(processor) + vector * HANDLER);
            assert_eq!(
                (low >> 32 & 7, low >> 45 & 3),
                match vector {
                    0..32 => (1, 0),
                    0x41 => (0, 3),
                    _ => (0, 0),
                }
            );
            assert_eq!((low >> 16 & 0xffff, low >> 47 & 1), (0x08, 1));
        }
    }
}

fn read_unaligned(physical: u64) -> u64 {
    // SAFETY: as in `read`.
    unsafe { mapped::<u64>(physical).read_unaligned() }
}
