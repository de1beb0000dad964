//! What stays fixed around scenes: L2's paging mode, the width of its code, the controls in vmcs12.

use core::iter;

use super::end::{Ends, Word};
use super::place::{PAGE, Place, STAGE_BASE};
use super::{Answer, Fits, Scene};
use crate::manual::descriptor::{CODE_32, CODE_64, access_rights};
use crate::manual::enlightened;
use crate::manual::paging::format::Format;
use crate::manual::paging::{Entry, Mode, Privilege};
use crate::walk::setting::BASE;

crate::listed! {
    /// The width of L2's code.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Width {
        /// 64-bit mode.
        Bits64,
        /// Compatibility mode; the handlers run in 64-bit mode.
        Compatibility,
        /// Protected mode, IA-32e mode off: descriptors, gates and stack frames are those of 32
        /// bits.
        Bits32,
        /// Real-address mode. SDM vol. 3B, "Real-Address Mode".
        Real,
    }
}

/// The extended page tables of vmcs12.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ept {
    /// Accessed and dirty flags are on: bit 6 of the EPT pointer.
    pub ad: bool,
    /// The stage's memory is in pages of 2 MiB, not of 4 KiB.
    pub large: bool,
    /// Mode-based execute control: code of user-mode addresses needs a right of its own.
    pub modes: bool,
}

impl Width {
    /// How many bits an address has by default.
    #[cfg(test)]
    pub(crate) const fn address_bits(self) -> u32 {
        match self {
            Self::Bits64 => 64,
            Self::Compatibility | Self::Bits32 => 32,
            Self::Real => 16,
        }
    }

    /// Whether IA-32e mode is on.
    #[must_use]
    pub const fn is_long(self) -> bool {
        matches!(self, Self::Bits64 | Self::Compatibility)
    }

    /// The selector of a scene's code segment in this width, for the one that it has in 64-bit
    /// mode.
    #[must_use]
    pub const fn code_selector(self, selector: u64) -> u64 {
        match (self, selector) {
            (Self::Compatibility | Self::Bits32, 0x08) => 0x28,
            (Self::Compatibility | Self::Bits32, 0x1b) => 0x33,
            _ => selector,
        }
    }

    /// The access rights of a scene's code segment in this width, for those in 64-bit mode.
    const fn code_rights(self, rights: u64) -> u64 {
        const WIDTHS: u64 = access_rights(CODE_64) ^ access_rights(CODE_32);
        match self {
            Self::Compatibility | Self::Bits32 if rights != 0 => rights ^ WIDTHS,
            _ => rights,
        }
    }
}

/// The base of FS outside 64-bit mode: with it a linear address can pass 4 GiB, where it wraps.
pub const NARROW_FS_BASE: u64 = 0x8000_0000;
/// The most bytes that the delivery of an event pushes in protected mode: SS, ESP, EFLAGS, CS, EIP,
/// error code.
const FRAME_BYTES: u64 = 24;

/// A named environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one control")]
pub struct Environment {
    /// The environment's part of a group's name.
    pub name: &'static str,
    /// The width of L2's code.
    pub width: Width,
    /// The paging mode; in real mode that of the tables that nothing walks.
    pub format: Format,
    /// The register bits.
    pub mode: Mode,
    /// Only the walk differs from another environment: only the act `page` plays here.
    pub walk_only: bool,
    /// Enable EPT, and how its tables are.
    pub ept: Option<Ept>,
    /// Enable VPID.
    pub vpid: bool,
    /// Unrestricted guest.
    pub unrestricted: bool,
    /// Controls as the capability MSRs without TRUE allow them: all of the default1 class are 1.
    /// SDM vol. 3D, "Reserved Controls and Default Settings".
    pub default_controls: bool,
    /// The VMCS is an enlightened one, and how L1 uses it.
    pub enlightened: Option<enlightened::Use>,
    /// The quick profile has a few scenes in it, not all.
    pub thin: bool,
    /// One line for `maskmatch list`.
    what: &'static str,
    /// Its place in [`ENVIRONMENTS`], which gives it.
    pub number: usize,
}

impl Environment {
    /// 64-bit mode in the base setting: the start of each row.
    const fn new(name: &'static str, what: &'static str) -> Self {
        Self {
            name,
            width: Width::Bits64,
            format: Format::Level4,
            mode: BASE.mode,
            walk_only: false,
            ept: None,
            vpid: false,
            unrestricted: false,
            default_controls: false,
            enlightened: None,
            thin: false,
            what,
            number: 0,
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

    /// With an enlightened VMCS.
    const fn enlightened(mut self, clean_fields: bool) -> Self {
        self.enlightened = Some(enlightened::Use { clean_fields });
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

    /// One line for `maskmatch list`.
    #[must_use]
    pub fn what(&self) -> &'static str {
        ROWS.iter().find(|row| row.name == self.name).map_or("", |row| row.what)
    }

    /// What a register holds to point to a linear address of the stage: in real mode the offset in
    /// the segment that all segment registers hold.
    #[must_use]
    pub const fn pointer(&self, linear: u64) -> u64 {
        match self.width {
            Width::Real => linear.wrapping_sub(STAGE_BASE + PAGE),
            _ => linear,
        }
    }

    /// The linear address of the stage that a register points to: the inverse of
    /// [`Environment::pointer`].
    #[must_use]
    pub const fn linear(&self, pointer: u64) -> u64 {
        match self.width {
            Width::Real => pointer.wrapping_add(STAGE_BASE + PAGE),
            _ => pointer,
        }
    }

    /// With another width and paging mode.
    const fn paging(mut self, width: Width, format: Format) -> Self {
        self.width = width;
        self.format = format;
        self
    }

    /// With other register bits.
    pub(super) const fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// For the act `page` alone.
    const fn walk_only(mut self) -> Self {
        self.walk_only = true;
        self
    }

    /// Whether a scene means here what it says. Asked at compile time, for the table of scenes.
    pub(super) const fn admits(&self, scene: &Scene) -> bool {
        let real = matches!(self.width, Width::Real);
        // Scenes about EPT walk four levels, and push eight bytes.
        let has_nested = self.ept.is_some() && !matches!(self.width, Width::Bits32);
        if scene.real != real || scene.nested.is_some() && !has_nested {
            return false;
        }
        if real {
            return true;
        }
        let has_modes = matches!(self.ept, Some(Ept { modes: true, .. }));
        if let Some(nested) = &scene.nested
            && let Some((_, entry)) = &nested.frame
            && entry.user.is_some()
            && !has_modes
        {
            return false;
        }
        if let Answer::Spoil(how) = scene.answer
            && let Some(vpid) = how.vpid()
            && vpid != self.vpid
        {
            return false;
        }
        let narrow = !matches!(self.width, Width::Bits64);
        let five_levels = matches!(self.format, Format::Level5);
        let width_fits = match scene.fits {
            Fits::All => true,
            Fits::Bits64 => !narrow,
            Fits::CleanFields => {
                matches!(self.enlightened, Some(enlightened::Use { clean_fields: true }))
            }
            Fits::LaunchState => !narrow && self.enlightened.is_none(),
            Fits::Linear48 => !narrow && !five_levels,
            Fits::Linear57 => !narrow && five_levels,
            Fits::DebugControls => !narrow && self.default_controls,
            Fits::Narrow => narrow,
            Fits::Long => self.width.is_long(),
            Fits::Compatibility => matches!(self.width, Width::Compatibility),
            Fits::Bits32 => matches!(self.width, Width::Bits32),
        };
        if let Some(tested) = &scene.tested {
            return width_fits && tested.exists_in(self);
        }
        width_fits
            && !self.walk_only
            && self.has_pages_of(scene)
            && (!narrow || self.has_stack_of(scene))
    }

    /// Whether the paging mode has the entries that a scene wants.
    const fn has_pages_of(&self, scene: &Scene) -> bool {
        let mut at = 0;
        while at < scene.pages.len() {
            let kind = &scene.pages[at].1;
            let (wide, keyed) = (kind.reserved || kind.with.contains(Entry::XD), kind.key != 0);
            if wide && !self.format.has_xd() || keyed && !self.format.is_long() {
                return false;
            }
            at += 1;
        }
        true
    }

    /// Whether a scene's numbers have 32 bits, and events can be delivered without the stacks of an
    /// IST, which protected mode does not have.
    const fn has_stack_of(&self, scene: &Scene) -> bool {
        let fault = match scene.fault {
            Some(fault) => fault.address,
            None => 0,
        };
        let rsp = scene.start_rsp();
        let (mut all, mut at) = (scene.rip | fault | rsp, 0);
        while at < scene.registers.len() {
            all |= scene.registers[at].1;
            at += 1;
        }
        let narrow = all <= u32::MAX as u64;
        if !narrow
            || matches!(self.width, Width::Compatibility)
            || matches!(scene.fits, Fits::Bits32)
        {
            return narrow;
        }
        let top = match scene.cpl {
            Privilege::Supervisor => rsp,
            Privilege::User => Place::Stack.linear() + PAGE,
        };
        scene.event_stack == 0 && scene.is_good_at(top - 1) && scene.is_good_at(top - FRAME_BYTES)
    }

    /// Makes of what must be seen in 64-bit mode what must be seen here: code selectors, and
    /// registers that L2 does not have. SDM vol. 1, "General-Purpose Registers in 64-Bit Mode".
    pub(super) fn narrow(&self, ends: &mut Ends) {
        if self.width == Width::Bits64 {
            return;
        }
        for end in iter::once(&mut ends.first).chain(&mut ends.second) {
            let cs = &mut end.words[Word::Cs as usize];
            *cs = self.width.code_selector(*cs);
            let rights = &mut end.words[Word::CsAccess as usize];
            *rights = self.width.code_rights(*rights);
            if self.width == Width::Bits32 {
                for at in Word::R8 as usize..=Word::R15 as usize {
                    end.fixed &= !(1 << at);
                    end.words[at] = 0;
                }
            }
        }
    }
}

use Width::{Bits32, Compatibility};

const LEGACY: Format = Format::Legacy { pse: false };
const LEGACY_PSE: Format = Format::Legacy { pse: true };
/// EPT with pages of 4 KiB, without accessed and dirty flags.
const EPT: Ept = Ept { ad: false, large: false, modes: false };

/// Selector of the segment that the stage is in, in real mode; its base is 16 times that.
pub const REAL_SELECTOR: u64 = 0x1000;

/// 64-bit mode with EPT.
pub const LONG_EPT: Environment =
    Environment::new("long-ept", "64-bit mode, EPT with pages of 4 KiB").ept(EPT).thin();

/// Real mode.
pub const REAL: Environment =
    Environment::new("real", "real mode of an unrestricted guest, EPT with pages of 4 KiB")
        .ept(EPT)
        .real();

/// Every environment. To add one, add a row.
const ROWS: &[Environment] = &[
    Environment::new("long", "64-bit mode, 4-level paging, no EPT, no VPID"),
    Environment::new("compat", "compatibility mode, 4-level paging")
        .paging(Compatibility, Format::Level4),
    Environment::new("la57", "64-bit mode, 5-level paging").paging(Width::Bits64, Format::Level5),
    Environment::new("pae", "32-bit protected mode, PAE paging").paging(Bits32, Format::Pae),
    Environment::new(
        "pae-ept",
        "32-bit protected mode, PAE paging, EPT: VM entries take the PDPTEs from the VMCS",
    )
    .paging(Bits32, Format::Pae)
    .ept(EPT)
    .thin(),
    Environment::new("pae-nx0", "PAE paging, NXE off: I/D by SMEP alone, XD is reserved")
        .paging(Bits32, Format::Pae)
        .mode(Mode { nxe: false, ..BASE.mode })
        .walk_only(),
    Environment::new("pae-off", "PAE paging; WP, SMEP, SMAP, NXE off: I/D never set")
        .paging(Bits32, Format::Pae)
        .mode(Mode { wp: false, smep: false, smap: false, ac: false, nxe: false })
        .walk_only(),
    Environment::new(
        "legacy",
        "32-bit protected mode, 32-bit paging without PSE: I/D by SMEP alone",
    )
    .paging(Bits32, LEGACY),
    Environment::new("legacy-pse", "32-bit paging with PSE: 4-MByte pages")
        .paging(Bits32, LEGACY_PSE)
        .walk_only(),
    Environment::new(
        "legacy-off",
        "32-bit paging with PSE; WP, SMEP, SMAP off, NXE on: I/D never set",
    )
    .paging(Bits32, LEGACY_PSE)
    .mode(Mode { wp: false, smep: false, smap: false, ac: false, nxe: true })
    .walk_only(),
    LONG_EPT,
    Environment::new("long-ept-ad", "64-bit mode, EPT with accessed and dirty flags")
        .ept(Ept { ad: true, ..EPT })
        .thin(),
    Environment::new("long-ept-large", "64-bit mode, EPT with pages of 2 MiB")
        .ept(Ept { large: true, ..EPT })
        .thin(),
    Environment::new("long-vpid", "64-bit mode, VPID").vpid().thin(),
    Environment::new("long-ept-vpid", "64-bit mode, EPT and VPID").ept(EPT).vpid().thin(),
    Environment::new("long-default-controls", "64-bit mode, all controls of the default1 class")
        .default_controls()
        .thin(),
    REAL,
    Environment::new(
        "long-ept-modes",
        "64-bit mode, EPT with rights to execute for each of supervisor and user mode",
    )
    .ept(Ept { modes: true, ..EPT })
    .thin(),
    Environment::new(
        "long-evmcs",
        "64-bit mode; the VMCS is in memory (Hyper-V's enlightened VMCS), its clean fields are used",
    )
    .enlightened(true)
    .thin(),
    Environment::new(
        "long-evmcs-ept",
        "64-bit mode, EPT, VPID; the VMCS is in memory, its clean fields are not used",
    )
    .ept(EPT)
    .vpid()
    .enlightened(false)
    .thin(),
];

/// The same with their numbers, without the texts, which need not be in the image.
pub const ENVIRONMENTS: &[Environment] = &{
    let (mut environments, mut number) = ([REAL; ROWS.len()], 0);
    while number < ROWS.len() {
        environments[number] = Environment { number, what: "", ..ROWS[number] };
        number += 1;
    }
    environments
};
#[cfg(test)]
mod tests {
    use super::{ENVIRONMENTS, Width};
    use std::collections::HashSet;

    #[test]
    fn paging_mode_and_width_agree() {
        let names: HashSet<_> = ENVIRONMENTS.iter().map(|environment| environment.name).collect();
        assert_eq!(names.len(), ENVIRONMENTS.len());
        for environment in
            ENVIRONMENTS.iter().filter(|environment| environment.width != Width::Real)
        {
            assert_eq!(
                environment.width.is_long(),
                environment.format.is_long(),
                "{}",
                environment.name
            );
        }
    }

    #[test]
    fn each_width_has_code_segments_of_its_own() {
        use crate::scene::descriptor::SEGMENTS;
        for width in Width::ALL.into_iter().filter(|width| *width != Width::Real) {
            for selector in [0x08, 0x1b] {
                let descriptor = SEGMENTS[width.code_selector(selector) as usize >> 3];
                let (long, default) = (descriptor >> 53 & 1 == 1, descriptor >> 54 & 1 == 1);
                assert_eq!((long, default), (width == Width::Bits64, width != Width::Bits64));
                assert_eq!(descriptor >> 45 & 3, selector & 3);
            }
        }
    }
}
