//! What stays fixed around scenes: L2's paging mode, the width of its code, the controls in vmcs12.

use crate::paging::Mode;
use crate::setting::BASE;

/// The width of L2's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 64-bit mode.
    Bits64,
}

/// A named environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Environment {
    /// The environment's part of a group's name.
    pub name: &'static str,
    /// The width of L2's code.
    pub width: Width,
    /// The register bits.
    pub mode: Mode,
    /// One line for `maskmatch list`.
    pub what: &'static str,
}

impl Environment {
    /// 64-bit mode in the base setting: the start of each row.
    const fn new(name: &'static str, what: &'static str) -> Self {
        Self { name, width: Width::Bits64, mode: BASE.mode, what }
    }
}

/// Every environment. To add one, add a row.
pub const ENVIRONMENTS: &[Environment] = &[Environment::new("long", "64-bit mode, 4-level paging, no EPT, no VPID")];
