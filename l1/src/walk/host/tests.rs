use std::collections::HashSet;

use super::*;
use crate::fake::{begin, processor};

const WALKS: usize = 28;
const WANTED: u64 = 6 * WALKS as u64;

fn pages(need: Need) -> Pages {
    let laid = [None; MAX_ACCESSES];
    Pages { need, page: 0, zeroed: true, laid, unlogged: false, noted: false }
}

#[test]
fn fresh_memory_is_enough_or_the_rest_is_asked_for() {
    let _turn = begin();
    processor().cpuid.insert((1, 0), [0, 0, 1 << 31, 0]);
    let cpu = Cpu::identify();
    let (next, wanted) = (0x34_5000, WANTED * PAGE);
    for (end, want) in [
        (next + wanted, None),
        (next + wanted + 5, None),
        (next + wanted - 1, Some(4)),
        (next + wanted - 2 * PAGE, Some(8)),
        (next, Some(wanted / 1024)),
        (0, Some(wanted / 1024)),
    ] {
        let memory = FreshMemory { next, end };
        let short = match Pages::new(Need::Touch, WALKS, &memory, &cpu) {
            Ok(_) => None,
            Err(Unavailable::Memory(kib)) => Some(kib),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(short, want, "{end:x}");
    }
    let mut memory = FreshMemory { next, end: next + wanted };
    let taken: HashSet<_> = (0..WANTED).map(|_| memory.take()).collect();
    assert_eq!(taken.len() as u64, WANTED);
    assert!(taken.iter().all(|page| (next..=next + wanted - PAGE).contains(page)));
    assert_eq!(memory.pages(), 0);
}

#[test]
fn accesses_to_one_page_do_not_see_each_other() {
    for need in Need::ALL {
        let pages = pages(need);
        let mut written = HashSet::new();
        for access in need.accesses() {
            let offset = pages.offset(access);
            let width = if access.is_narrow() { 4 } else { 8 };
            match access.access {
                Access::Fetch => {
                    assert!(
                        offset <= PAGE - 2 && offset.is_multiple_of(2),
                        "two bytes of code, then the next page"
                    );
                }
                _ => assert!(offset.is_multiple_of(width) && offset + width <= PAGE, "{access:?}"),
            }
            // The local APIC has one task priority, fresh memory a page for each kind of access.
            if access.access == Access::Write && matches!(need, Need::Dirty | Need::Device) {
                assert!((offset..offset + width).all(|byte| written.insert(byte)), "{access:?}");
            }
        }
        for access in need.accesses().filter(|access| access.access == Access::Read) {
            assert!(!written.contains(&pages.offset(access)), "{access:?}");
        }
    }
}

#[test]
fn an_access_has_its_effect_by_what_is_there_and_what_came_back() {
    const WALK: u64 = 0x1_0000_4567;
    for need in Need::ALL {
        for access in need.accesses() {
            let has_effect = |there: u64, result| {
                pages(need).has_effect(
                    Laid { access, target: (&raw const there) as u64 },
                    result,
                    WALK,
                )
            };
            let narrow = access.is_narrow();
            let context = std::format!("{access:?}");
            match access.access {
                Access::Fetch => assert!(has_effect(0, TOKEN) && !has_effect(0, WALK), "{context}"),
                Access::Read => {
                    assert!(has_effect(WALK, if narrow { 0x4567 } else { WALK }), "{context}");
                    assert!(!has_effect(WALK, if narrow { WALK } else { 0x4567 }), "{context}");
                }
                Access::Write => {
                    assert!(has_effect(WALK, 0) && !has_effect(WALK ^ 1, 0), "{context}");
                    // Only these bytes were written.
                    assert_eq!(has_effect(WALK ^ 1 << 40, 0), narrow, "{context}");
                    assert_eq!(has_effect(WALK ^ 1 << 9, 0), need == Need::Apic, "{context}");
                }
            }
        }
    }
}
