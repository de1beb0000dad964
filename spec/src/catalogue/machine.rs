//! Options of the machine that the image runs on: where its log goes, and how it ends.

use crate::log::Verdict;
use crate::manual::filter::parse_hex;

/// The first port of the first serial port, and of the second.
pub const COM1: u16 = 0x3f8;
const COM2: u16 = 0x2f8;

/// A way for the log out of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlet {
    /// The serial port at these I/O ports.
    Serial(u16),
    /// The first serial port that is a PCI device.
    Pci,
    /// Port 0xe9, which some VMMs record.
    Debug,
    /// The text screen.
    Screen,
}

impl Outlet {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "com1" => Self::Serial(COM1),
            "com2" => Self::Serial(COM2),
            "pci" => Self::Pci,
            "e9" => Self::Debug,
            "screen" => Self::Screen,
            port => Self::Serial(hex(port)?.try_into().ok()?),
        })
    }
}

/// The outlets that the option `serial=` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlets<'a>(&'a str);

impl<'a> Outlets<'a> {
    /// What the option's value is.
    pub const WANTED: &'static str =
        "serial is none, or some of com1, com2, 0xPORT, pci, e9 and screen with commas between";

    /// Reads the option's value: names with commas between them, or `none`.
    #[must_use]
    pub fn from_names(names: &'a str) -> Option<Self> {
        let none = names == "none";
        (none || names.split(',').all(|name| Outlet::from_name(name).is_some()))
            .then_some(Self(names))
    }

    /// The outlets, none for `none`.
    pub fn iter(self) -> impl Iterator<Item = Outlet> {
        self.0.split(',').filter_map(Outlet::from_name)
    }
}

/// Memory that keeps the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its physical address, a multiple of 4.
    pub start: u32,
    /// Its bytes.
    pub size: u32,
}

impl Region {
    /// The image and the memory that it takes after itself end here.
    const LOWEST: u32 = 4 << 20;
    /// Room for a header and a line of the log.
    const SMALLEST: u32 = 4096;

    /// Reads the option's value, `0xADDRESS,0xSIZE`.
    #[must_use]
    pub fn from_numbers(text: &str) -> Option<Self> {
        let (start, size) = two_hex(text)?;
        let fits = start >= Self::LOWEST && size >= Self::SMALLEST && size - 1 <= u32::MAX - start;
        (fits && start.is_multiple_of(4)).then_some(Self { start, size })
    }
}

crate::listed! {
    /// What becomes of the machine when the log is at its end.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub enum End {
        /// It is powered off.
        #[default]
        PowerOff => "poweroff",
        /// It is reset.
        Reset => "reset",
        /// Its processor halts for ever.
        Halt => "halt",
    }
    /// The word in the option `end=`.
    pub fn name;
}

impl End {
    /// The end of a word.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|end| end.name() == name)
    }
}

/// What the port of `debug-exit=` gets. QEMU's `isa-debug-exit` makes twice this and one of it: an
/// exit status that is none of QEMU's own.
#[must_use]
pub const fn debug_exit(verdict: Verdict) -> u8 {
    0x10 + match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => 1,
        Verdict::Skip => 3,
        Verdict::Crash => 4,
        Verdict::Error => 5,
    }
}

/// Two numbers with a comma between them.
pub(super) fn two_hex(text: &str) -> Option<(u32, u32)> {
    let (one, other) = text.split_once(',')?;
    Some((hex(one)?, hex(other)?))
}

/// A number as `0x3F8`.
#[must_use]
pub fn hex(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0x")?;
    parse_hex(digits).ok()
}

#[cfg(test)]
mod tests {
    use super::{End, Outlet, Outlets, Region, debug_exit, hex};
    use crate::log::Verdict;
    use std::vec::Vec;

    #[test]
    fn outlets_are_read_by_name_and_by_port() {
        let names = "com1,com2,0x3E8,pci,e9,screen";
        let outlets: Vec<_> = Outlets::from_names(names).unwrap().iter().collect();
        let serial = [0x3f8, 0x2f8, 0x3e8].map(Outlet::Serial);
        assert_eq!(outlets[..3], serial);
        assert_eq!(outlets[3..], [Outlet::Pci, Outlet::Debug, Outlet::Screen]);
        assert_eq!(Outlets::from_names("none").unwrap().iter().count(), 0);
        for wrong in ["", "com3", "com1,", "0x10000", "3f8", "0x", "0x+3f8", "none,com1", "COM1"] {
            assert_eq!(Outlets::from_names(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_region_is_above_the_image_and_below_4_gib() {
        let region = |text| Region::from_numbers(text).map(|region| (region.start, region.size));
        assert_eq!(region("0x400000,0x1000"), Some((0x40_0000, 0x1000)));
        assert_eq!(region("0xffff0000,0x10000"), Some((0xffff_0000, 0x1_0000)));
        for wrong in [
            "0x3ffffc,0x1000",
            "0x400000,0xfff",
            "0x400002,0x1000",
            "0xffff0000,0x10001",
            "0x100000000,0x1000",
            "0x400000,0x100000000",
            "0x400000",
            "4194304,0x1000",
        ] {
            assert_eq!(region(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn ends_and_numbers_are_read() {
        assert_eq!(End::from_name("reset"), Some(End::Reset));
        assert_eq!(End::from_name("off"), None);
        assert_eq!(hex("0xfFff0aBc"), Some(0xffff_0abc));
        assert_eq!(hex("0x100000000"), None);
    }

    #[test]
    fn each_verdict_has_a_status_of_its_own() {
        let status = Verdict::ALL.map(|verdict| debug_exit(verdict) << 1 | 1);
        assert_eq!(status, [33, 39, 35, 43, 41]);
    }
}
