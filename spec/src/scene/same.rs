//! Whether two values of a field are the same, at compile time, where these types have no `==`.
//!
//! To miss that two are the same costs a few bytes of the image, and nothing else. To call two the
//! same that are not gives a scene another's value, which `each_scene_is_what_its_row_says` finds.
#![expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::ref_option,
    reason = "one macro calls them all, with values of any size"
)]

use super::end::Word;
use super::ept::{EptEntry, Nested};
use super::event::Event;
use super::place::{Kind, Place};
use super::tested::Tested;
use super::{Answer, Fault, Feature, Fits, Intercepted, Stop, Unwanted};
use crate::manual::paging::Privilege;
use crate::walk::page::Page;

/// Not looked at: of a field that few rows set.
pub const fn never<T>(_: &T, _: &T) -> bool {
    false
}

pub const fn number(a: &u64, b: &u64) -> bool {
    *a == *b
}

pub const fn privilege(a: &Privilege, b: &Privilege) -> bool {
    *a as u8 == *b as u8
}

pub const fn fits(a: &Fits, b: &Fits) -> bool {
    *a as u8 == *b as u8
}

pub const fn answer(a: &Answer, b: &Answer) -> bool {
    use Answer::{Reflect, Reinject, Resume, Retry};
    matches!((a, b), (Retry, Retry) | (Reinject, Reinject) | (Reflect, Reflect) | (Resume, Resume))
}

pub const fn unwanted(a: &Unwanted, b: &Unwanted) -> bool {
    use Unwanted::{DoubleFault, DoubleFaultExit, TripleFault};
    matches!(
        (a, b),
        (DoubleFault, DoubleFault)
            | (DoubleFaultExit, DoubleFaultExit)
            | (TripleFault, TripleFault)
    )
}

pub const fn feature(a: &Option<Feature>, b: &Option<Feature>) -> bool {
    use Feature::{ForcedEmulation, GbytePages, LocalApic, Pku};
    match (a, b) {
        (Some(a), Some(b)) => matches!(
            (a, b),
            (ForcedEmulation, ForcedEmulation)
                | (GbytePages, GbytePages)
                | (LocalApic, LocalApic)
                | (Pku, Pku)
        ),
        _ => false,
    }
}

pub const fn optional_number(a: &Option<u64>, b: &Option<u64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => *a == *b,
        (None, None) => true,
        _ => false,
    }
}

pub const fn page(a: &Option<Page>, b: &Option<Page>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    a.same(b)
}

pub const fn fault(a: &Option<Fault>, b: &Option<Fault>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    a.address == b.address
        && a.access as u8 == b.access as u8
        && privilege(&a.privilege, &b.privilege)
        && optional_number(&a.rip, &b.rip)
}

pub const fn event(a: &Option<Event>, b: &Option<Event>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    let same_code = match (a.error_code, b.error_code) {
        (Some(a), Some(b)) => a == b,
        (None, None) => true,
        _ => false,
    };
    a.source as u8 == b.source as u8 && a.info() == b.info() && same_code && a.length == b.length
}

pub const fn intercepted(a: &Option<Intercepted>, b: &Option<Intercepted>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    a.reason == b.reason && optional_number(&a.qualification, &b.qualification)
}

pub const fn stop(a: &Option<Stop>, b: &Option<Stop>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    a.reason == b.reason && a.info == b.info && a.after == b.after
}

pub const fn tested(a: &Option<Tested>, b: &Option<Tested>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    a.same(b)
}

const fn ept_entry(a: &EptEntry, b: &EptEntry) -> bool {
    let EptEntry { rights, memory_type, reserved, user, upper } = *a;
    let same_user = match (user, b.user) {
        (Some(a), Some(b)) => a == b,
        (None, None) => true,
        _ => false,
    };
    rights == b.rights
        && memory_type == b.memory_type
        && reserved == b.reserved
        && upper == b.upper
        && same_user
}

const fn kind(a: &Kind, b: &Kind) -> bool {
    a.without.bits() == b.without.bits()
        && a.with.bits() == b.with.bits()
        && a.reserved == b.reserved
        && a.key == b.key
}

pub const fn nested(a: &Option<Nested>, b: &Option<Nested>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    let same_guest = match (&a.guest, &b.guest) {
        (Some(a), Some(b)) => a.0 as u8 == b.0 as u8 && kind(&a.1, &b.1),
        (None, None) => true,
        _ => false,
    };
    let same_frame = match (&a.frame, &b.frame) {
        (Some(a), Some(b)) => a.0.number() == b.0.number() && ept_entry(&a.1, &b.1),
        (None, None) => true,
        _ => false,
    };
    same_guest
        && same_frame
        && a.address == b.address
        && a.access as u8 == b.access as u8
        && a.during as u8 == b.during as u8
}

/// Lists, given how their elements are the same.
macro_rules! lists {
    ($($name:ident: $element:ty, |$a:ident, $b:ident| $same:expr;)*) => {
        $(pub const fn $name(one: &&[$element], other: &&[$element]) -> bool {
            let mut at = 0;
            while at < one.len() && at < other.len() {
                let ($a, $b) = (&one[at], &other[at]);
                if !$same {
                    return false;
                }
                at += 1;
            }
            one.len() == other.len()
        })*
    };
}

lists! {
    bytes: u8, |a, b| *a == *b;
    words: (Word, u64), |a, b| a.0 as u8 == b.0 as u8 && a.1 == b.1;
    memory: (u64, u64), |a, b| a.0 == b.0 && a.1 == b.1;
    pages: (Place, Kind), |a, b| a.0 as u8 == b.0 as u8 && kind(&a.1, &b.1);
}
