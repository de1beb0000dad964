//! Names in memory, without allocation.

use core::fmt;

/// The length of the longest name.
const ROOM: usize = 48;

/// What a value is written as.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    bytes: [u8; ROOM],
    len: usize,
}

impl Name {
    /// Writes a value. Tests show that names of groups, accesses, scenes and filters fit. Of a
    /// longer one only the start is kept.
    #[must_use]
    pub fn of(value: &dyn fmt::Display) -> Self {
        let mut name = Self { bytes: [0; ROOM], len: 0 };
        let _ = fmt::write(&mut name, format_args!("{value}"));
        name
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl fmt::Write for Name {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Name;
    use crate::catalogue::group::Group;
    use crate::catalogue::plan::Profile;
    use crate::manual::filter::Filter;
    use std::string::ToString;

    #[test]
    fn every_name_fits() {
        for group in Group::all() {
            assert_eq!(Name::of(&group).as_str(), group.to_string());
            for case in group.cases_with(Filter::NEVER, Profile::Exhaustive, 36) {
                assert_eq!(Name::of(case.access()).as_str(), case.access().to_string());
            }
        }
        let longest = Filter::new(false, u32::MAX, u32::MAX);
        assert_eq!(Name::of(&longest).as_str(), "0,ffffffff,ffffffff");
    }
}
