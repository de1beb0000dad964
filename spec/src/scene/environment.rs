//! What stays fixed around scenes: L2's paging mode, the width of its code, the controls in vmcs12.

use super::place::{PAGE, STAGE_BASE};
use crate::paging::Mode;
use crate::setting::BASE;

/// The width of L2's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 64-bit mode.
    Bits64,
    /// Real-address mode. SDM vol. 3B, section 20.1, "Real-Address Mode".
    Real,
}

/// The extended page tables of vmcs12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ept {
    /// Accessed and dirty flags are on: bit 6 of the EPT pointer.
    pub ad: bool,
    /// The stage's memory is in pages of 2 MiB, not of 4 KiB.
    pub large: bool,
}

/// A named environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one control")]
pub struct Environment {
    /// The environment's part of a group's name.
    pub name: &'static str,
    /// The width of L2's code.
    pub width: Width,
    /// The register bits.
    pub mode: Mode,
    /// Enable EPT, and how its tables are.
    pub ept: Option<Ept>,
    /// Enable VPID.
    pub vpid: bool,
    /// Unrestricted guest.
    pub unrestricted: bool,
    /// Controls as the capability MSRs without TRUE allow them: all of the default1 class are 1.
    /// SDM vol. 3D, appendix A.2, "Reserved Controls and Default Settings".
    pub default_controls: bool,
    /// The quick profile has a few scenes in it, not all.
    pub thin: bool,
    /// One line for `maskmatch list`.
    pub what: &'static str,
}

impl Environment {
    /// 64-bit mode in the base setting: the start of each row.
    const fn new(name: &'static str, what: &'static str) -> Self {
        Self {
            name,
            width: Width::Bits64,
            mode: BASE.mode,
            ept: None,
            vpid: false,
            unrestricted: false,
            default_controls: false,
            thin: false,
            what,
        }
    }

    /// With EPT.
    const fn ept(mut self, ept: Ept) -> Self {
        self.ept = Some(ept);
        self
    }

    /// With a VPID.
    const fn vpid(mut self) -> Self {
        self.vpid = true;
        self
    }

    /// With the default1 controls.
    const fn default_controls(mut self) -> Self {
        self.default_controls = true;
        self
    }

    /// As an unrestricted guest in real mode.
    const fn real(mut self) -> Self {
        self.width = Width::Real;
        self.unrestricted = true;
        self
    }

    /// With a few scenes in the quick profile.
    const fn thin(mut self) -> Self {
        self.thin = true;
        self
    }

    /// What a register holds to point to a linear address of the stage: in real mode the offset in
    /// the segment that all segment registers hold.
    #[must_use]
    pub const fn pointer(&self, linear: u64) -> u64 {
        match self.width {
            Width::Bits64 => linear,
            Width::Real => linear.wrapping_sub(STAGE_BASE + PAGE),
        }
    }

    /// The linear address of the stage that a register points to: the inverse of [`Environment::pointer`].
    #[must_use]
    pub const fn linear(&self, pointer: u64) -> u64 {
        match self.width {
            Width::Bits64 => pointer,
            Width::Real => pointer.wrapping_add(STAGE_BASE + PAGE),
        }
    }
}

/// EPT with pages of 4 KiB, without accessed and dirty flags.
const EPT: Ept = Ept { ad: false, large: false };

/// Selector of the segment that the stage is in, in real mode; its base is 16 times that.
pub const REAL_SELECTOR: u64 = 0x1000;

/// 64-bit mode with EPT.
pub const LONG_EPT: Environment = Environment::new("long-ept", "64-bit mode, EPT with pages of 4 KiB").ept(EPT).thin();

/// Real mode.
pub const REAL: Environment =
    Environment::new("real", "real mode of an unrestricted guest, EPT with pages of 4 KiB").ept(EPT).real();

/// Every environment. To add one, add a row.
pub const ENVIRONMENTS: &[Environment] = &[
    Environment::new("long", "64-bit mode, 4-level paging, no EPT, no VPID"),
    LONG_EPT,
    Environment::new("long-ept-ad", "64-bit mode, EPT with accessed and dirty flags")
        .ept(Ept { ad: true, ..EPT })
        .thin(),
    Environment::new("long-ept-large", "64-bit mode, EPT with pages of 2 MiB").ept(Ept { large: true, ..EPT }).thin(),
    Environment::new("long-vpid", "64-bit mode, VPID").vpid().thin(),
    Environment::new("long-ept-vpid", "64-bit mode, EPT and VPID").ept(EPT).vpid().thin(),
    Environment::new("long-default-controls", "64-bit mode, all controls of the default1 class")
        .default_controls()
        .thin(),
    REAL,
];
