//! The guest's I/O ports and its device page, see [`spec::channel`].
//!
//! | port | device |
//! |---|---|
//! | 0x8900 | power off: the letters `Shutdown` |
//! | [`channel::PORT`] | reads give the signature, writes ask for an action |
//! | [`channel::STATUS_PORT`] | what became of it |
//! | [`channel::ECHO_PORT`] | reads give what was written, inverted |
//! | [`channel::LINE_PORT`] | takes the address of a piece of the log |
//!
//! Everything else reads as ones and ignores what is written. There is no COM1: the log takes
//! [`channel::LINE_PORT`].

use arrayvec::ArrayVec;
use spec::channel::{self, Status};

/// Where the letters of [`LETTERS`] power off.
pub const SHUTDOWN_PORT: u16 = 0x8900;
const LETTERS: &[u8] = b"Shutdown";
/// Words that the echo port keeps.
const ECHO_WORDS: usize = 64;
/// Words of the device page, and what the upper half of each holds at first.
const WORDS: usize = 512;
const PATTERN: u64 = 0x4d4d_494f_0000_0000;

/// What has to be done after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// The guest is off.
    PowerOff,
    /// It asks for this action.
    Ask(u32),
    /// A piece of the log is at this physical address, after its length.
    Line(u32),
}

/// The devices.
#[derive(Clone, Debug)]
pub struct Devices {
    letters: usize,
    /// What became of the last action.
    pub status: Status,
    echo: ArrayVec<u32, ECHO_WORDS>,
    page: [u64; WORDS],
}

impl Default for Devices {
    fn default() -> Self {
        let page = core::array::from_fn(|index| PATTERN + index as u64);
        Self { letters: 0, status: Status::Done, echo: ArrayVec::new(), page }
    }
}

impl Devices {
    /// What a port gives.
    pub fn input(&mut self, port: u16) -> u64 {
        let word = match port {
            channel::PORT => channel::SIGNATURE,
            channel::STATUS_PORT => self.status.word(),
            channel::ECHO_PORT => self.echo.pop_at(0).map_or(u32::MAX, |word| !word),
            _ => return u64::MAX,
        };
        word.into()
    }

    /// Takes what is written to a port.
    pub fn output(&mut self, port: u16, value: u32) -> Effect {
        match port {
            SHUTDOWN_PORT => {
                let expected = LETTERS[self.letters] == value as u8;
                self.letters = if expected { self.letters + 1 } else { 0 };
                if self.letters == LETTERS.len() {
                    self.letters = 0;
                    return Effect::PowerOff;
                }
            }
            channel::PORT => return Effect::Ask(value),
            channel::LINE_PORT => return Effect::Line(value),
            // A guest that never reads gets back no more than there is room for.
            channel::ECHO_PORT => drop(self.echo.try_push(value)),
            _ => {}
        }
        Effect::None
    }

    /// The eight bytes at a physical address; ones where there is no device.
    #[must_use]
    pub fn load(&self, address: u64) -> u64 {
        let byte = |at| {
            offset(at).map_or(u8::MAX, |offset| (self.page[offset / 8] >> (offset % 8 * 8)) as u8)
        };
        u64::from_le_bytes(core::array::from_fn(|index| byte(address + index as u64)))
    }

    /// Takes `size` bytes at a physical address.
    pub fn store(&mut self, address: u64, value: u64, size: usize) {
        let bytes = value.to_le_bytes();
        for (byte, at) in bytes.into_iter().take(size).zip(address..) {
            if let Some(offset) = offset(at) {
                let (word, shift) = (&mut self.page[offset / 8], offset % 8 * 8);
                *word = *word & !(0xff << shift) | u64::from(byte) << shift;
            }
        }
    }
}

fn offset(address: u64) -> Option<usize> {
    let offset = address.checked_sub(channel::DEVICE_PAGE)? as usize;
    (offset < WORDS * 8).then_some(offset)
}

#[cfg(test)]
mod tests {
    use super::{Devices, Effect, SHUTDOWN_PORT};
    use spec::channel::{
        DEVICE_KNOWN, DEVICE_PAGE, DEVICE_READ, ECHO_PORT, LINE_PORT, PORT, SIGNATURE,
    };

    #[test]
    fn the_letters_in_order_power_off() {
        let mut devices = Devices::default();
        let said: std::vec::Vec<Effect> = b"ShutShutdown"
            .iter()
            .map(|letter| devices.output(SHUTDOWN_PORT, (*letter).into()))
            .collect();
        assert_eq!(
            said.iter().filter(|effect| **effect == Effect::PowerOff).count(),
            0,
            "S after t is no letter"
        );
        let last =
            b"Shutdown".iter().map(|letter| devices.output(SHUTDOWN_PORT, (*letter).into())).last();
        assert_eq!(last, Some(Effect::PowerOff));
    }

    #[test]
    fn the_channel_answers() {
        let mut devices = Devices::default();
        assert_eq!(devices.input(PORT), SIGNATURE.into());
        assert_eq!(devices.input(0x3f8), u64::MAX);
        assert_eq!(
            (devices.output(PORT, 9), devices.output(LINE_PORT, 7)),
            (Effect::Ask(9), Effect::Line(7))
        );
        for word in [1, 2] {
            assert_eq!(devices.output(ECHO_PORT, word), Effect::None);
        }
        assert_eq!([0; 3].map(|_| devices.input(ECHO_PORT) as u32), [!1, !2, u32::MAX]);
    }

    #[test]
    fn the_page_keeps_what_is_written_and_shows_its_pattern_else() {
        let mut devices = Devices::default();
        assert_eq!(devices.load(DEVICE_PAGE + DEVICE_READ) as u32, DEVICE_KNOWN);
        devices.store(DEVICE_PAGE + 0xffe, u64::from_le_bytes(*b"abcdefgh"), 4);
        assert_eq!(
            devices.load(DEVICE_PAGE + 0xffc).to_le_bytes(),
            [0x4f, 0x49, b'a', b'b', 255, 255, 255, 255]
        );
        assert_eq!(devices.load(DEVICE_PAGE - 2).to_le_bytes(), [255, 255, 0, 0, 0, 0, 0x4f, 0x49]);
    }
}
