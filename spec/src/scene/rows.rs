//! The scenes, one module an act. To add one, add a row.

pub mod access;
mod apic;
pub mod boundary;
mod delivery;
mod delivery_32;
mod delivery_ept;
pub mod device;
pub mod entry;
pub mod ept;
pub mod event;
mod event_32;
pub mod forced;
pub mod guarded;
pub mod history;
pub mod implicit;
mod implicit_smap;
pub mod inject;
mod inject_32;
pub mod intercept;
pub mod mode;
pub mod modify;
pub mod operand;
pub mod page;
mod parts;
pub mod pkey;
pub mod ports;
pub mod priority;
pub mod restored;
pub mod saved;
pub mod shadow;
pub mod stack;
pub mod stale;
pub mod state;
pub mod strings;
pub mod tlb;
mod tlb_contexts;
mod to_user;
pub mod unpaged;

use crate::manual::section::{Citation, Section};

const REP: Citation =
    Section::REP.says("a repeated string instruction can be suspended by an exception");
const CROSSING: Citation =
    Section::EXCEPTION_REFERENCE.says("CR2 has the linear address that generated a page fault");
