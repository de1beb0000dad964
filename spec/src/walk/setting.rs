//! What stays fixed around a walk: the register bits that paging depends on.

use crate::manual::enlightened;
use crate::manual::paging::Mode;

/// A named [`Mode`] of L2 with 4-level paging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The setting's part of a group's name.
    pub name: &'static str,
    /// The register bits.
    pub mode: Mode,
    /// The VMCS is an enlightened one, and how L1 uses it.
    pub enlightened: Option<enlightened::Use>,
    /// One line for `maskmatch list`.
    what: &'static str,
}

impl Setting {
    const fn new(name: &'static str, mode: Mode, what: &'static str) -> Self {
        Self { name, mode, enlightened: None, what }
    }

    const fn enlightened(self, clean_fields: bool) -> Self {
        Self { enlightened: Some(enlightened::Use { clean_fields }), ..self }
    }

    /// One line for `maskmatch list`.
    #[must_use]
    pub fn what(&self) -> &'static str {
        ROWS.iter().find(|row| row.name == self.name).map_or("", |row| row.what)
    }

    /// Its place in [`SETTINGS`].
    #[must_use]
    pub fn number(&self) -> usize {
        SETTINGS.iter().position(|setting| setting == self).unwrap_or(0)
    }
}

/// The setting with which the others are compared. It makes every stimulus; the others make those
/// whose outcome they change.
pub const BASE: &Setting = &SETTINGS[0];

const ALL_ON: Mode = Mode { wp: true, smep: true, smap: true, ac: false, nxe: true };
const ALL_OFF: Mode = Mode { wp: false, smep: false, smap: false, ac: false, nxe: false };

/// Every setting. To add one, add a row.
const ROWS: &[Setting] = &[
    Setting::new("long", ALL_ON, "4-level paging; WP, SMEP, SMAP, NXE on; AC off"),
    Setting::new("long-ac", Mode { ac: true, ..ALL_ON }, "RFLAGS.AC on: SMAP suspended"),
    Setting::new("long-wp0", Mode { wp: false, smap: false, ..ALL_ON }, "WP and SMAP off"),
    Setting::new("long-smep0", Mode { smep: false, ..ALL_ON }, "SMEP off: I/D only by NXE"),
    Setting::new(
        "long-nx0",
        Mode { nxe: false, ..ALL_ON },
        "NXE off: I/D only by SMEP, XD is reserved",
    ),
    Setting::new("long-off", ALL_OFF, "WP, SMEP, SMAP, NXE off: I/D never set"),
    Setting::new(
        "long-evmcs",
        ALL_ON,
        "as long; the VMCS is in memory (Hyper-V's enlightened VMCS), its clean fields are used",
    )
    .enlightened(true),
    Setting::new("long-evmcs-all", ALL_ON, "as long-evmcs; its clean fields are not used")
        .enlightened(false),
];

/// The same without the texts, which need not be in the image.
pub const SETTINGS: &[Setting] = &{
    let (mut settings, mut at) = ([ROWS[0]; ROWS.len()], 0);
    while at < ROWS.len() {
        settings[at] = Setting { what: "", ..ROWS[at] };
        at += 1;
    }
    settings
};
