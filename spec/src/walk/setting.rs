//! What stays fixed around a walk: the register bits that paging depends on.

use crate::manual::paging::Mode;

/// A named [`Mode`] of L2 with 4-level paging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The setting's part of a group's name.
    pub name: &'static str,
    /// The register bits.
    pub mode: Mode,
    /// One line for `maskmatch list`.
    what: &'static str,
}

impl Setting {
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
    Setting { name: "long", mode: ALL_ON, what: "4-level paging; WP, SMEP, SMAP, NXE on; AC off" },
    Setting {
        name: "long-ac",
        mode: Mode { ac: true, ..ALL_ON },
        what: "RFLAGS.AC on: SMAP suspended",
    },
    Setting {
        name: "long-wp0",
        mode: Mode { wp: false, smap: false, ..ALL_ON },
        what: "WP and SMAP off",
    },
    Setting {
        name: "long-smep0",
        mode: Mode { smep: false, ..ALL_ON },
        what: "SMEP off: I/D only by NXE",
    },
    Setting {
        name: "long-nx0",
        mode: Mode { nxe: false, ..ALL_ON },
        what: "NXE off: I/D only by SMEP, XD is reserved",
    },
    Setting { name: "long-off", mode: ALL_OFF, what: "WP, SMEP, SMAP, NXE off: I/D never set" },
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
