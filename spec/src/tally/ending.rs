//! Where a case came to its end, in one word of the log: `exit0`, `delivered14`, `done`.

use core::fmt;
use core::str::FromStr;

use crate::scene::end::How;
use crate::walk::outcome::Observed;

/// How often something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Times {
    /// Not at all.
    #[default]
    Never,
    /// Once, as it must be if it must be at all.
    Once,
    /// More often.
    Repeatedly,
}

impl Times {
    const fn of(count: u64) -> Self {
        match count {
            0 => Self::Never,
            1 => Self::Once,
            _ => Self::Repeatedly,
        }
    }
}

/// Where a case came to its end. A right one has one part; a wrong one may have several, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Ending {
    /// VM exits to L1.
    pub exits: Times,
    /// The basic exit reason of the last one.
    pub reason: u16,
    /// Deliveries to L2's handlers.
    pub deliveries: Times,
    /// The vector of the last one.
    pub vector: u8,
    /// The instruction had its effect.
    pub done: bool,
    /// The VM-instruction error or the basic exit reason with which the VM entry failed, or 0.
    pub failed: u16,
}

/// The vector of #PF, the only fault of a walk.
const VECTOR_PF: u8 = 14;

impl Ending {
    /// Nothing was seen: an access that completed without its effect, or a second end that did not
    /// come.
    pub const NOTHING: Self = Self {
        exits: Times::Never,
        reason: 0,
        deliveries: Times::Never,
        vector: 0,
        done: false,
        failed: 0,
    };
    /// The instruction completed.
    pub const DONE: Self = Self { done: true, ..Self::NOTHING };

    /// Whether one thing was seen, once.
    #[must_use]
    pub fn is_single(self) -> bool {
        let ends = [
            self.exits == Times::Once,
            self.deliveries == Times::Once,
            self.done,
            self.failed != 0,
        ];
        let more = self.exits == Times::Repeatedly || self.deliveries == Times::Repeatedly;
        !more && ends.into_iter().filter(|end| *end).count() == 1
    }

    /// A VM exit to L1 with this basic exit reason.
    #[must_use]
    pub const fn exit(reason: u16) -> Self {
        Self { exits: Times::Once, reason, ..Self::NOTHING }
    }

    /// A delivery to L2's handler of this vector.
    #[must_use]
    pub const fn delivered(vector: u8) -> Self {
        Self { deliveries: Times::Once, vector, ..Self::NOTHING }
    }
}

impl From<How> for Ending {
    fn from(how: How) -> Self {
        match how {
            How::Exit(reason) => Self::exit(reason),
            How::Delivered(vector) => Self::delivered(vector),
            How::Done => Self::DONE,
            How::Failed(failed) => Self { failed, ..Self::NOTHING },
        }
    }
}

impl From<&Observed> for Ending {
    fn from(seen: &Observed) -> Self {
        Self {
            exits: Times::of(seen.exits),
            deliveries: Times::of(seen.deliveries),
            vector: if seen.deliveries == 0 { 0 } else { VECTOR_PF },
            done: seen.executed,
            ..Self::NOTHING
        }
    }
}

/// What stands before an exit or a delivery that came more than once.
const REPEATED: &str = "repeated-";
const EXIT: &str = "exit";
const DELIVERED: &str = "delivered";
const DONE: &str = "done";
const FAILED: &str = "failed";
const NOTHING: &str = "nothing";

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NOTHING {
            return f.write_str(NOTHING);
        }
        let mut joint = "";
        for (times, word, number) in
            [(self.exits, EXIT, self.reason), (self.deliveries, DELIVERED, self.vector.into())]
        {
            if times != Times::Never {
                let repeated = if times == Times::Repeatedly { REPEATED } else { "" };
                write!(f, "{joint}{repeated}{word}{number}")?;
                joint = "+";
            }
        }
        if self.failed != 0 {
            return write!(f, "{joint}{FAILED}{}", self.failed);
        }
        if self.done { write!(f, "{joint}{DONE}") } else { Ok(()) }
    }
}

/// Text that is no ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEnding;

impl FromStr for Ending {
    type Err = NoEnding;

    fn from_str(text: &str) -> Result<Self, NoEnding> {
        let mut ending = Self::NOTHING;
        if text == NOTHING {
            return Ok(ending);
        }
        for part in text.split('+') {
            let (times, word) = part
                .strip_prefix(REPEATED)
                .map_or((Times::Once, part), |word| (Times::Repeatedly, word));
            if let Some(reason) = word.strip_prefix(EXIT) {
                (ending.exits, ending.reason) = (times, reason.parse().map_err(|_| NoEnding)?);
            } else if let Some(vector) = word.strip_prefix(DELIVERED) {
                (ending.deliveries, ending.vector) = (times, vector.parse().map_err(|_| NoEnding)?);
            } else if part == DONE {
                ending.done = true;
            } else if let Some(number) = word.strip_prefix(FAILED) {
                ending.failed = number.parse().map_err(|_| NoEnding)?;
            } else {
                return Err(NoEnding);
            }
        }
        // One way to write each: no leading zeros, no sign, no other order.
        if super::displays_as(&ending, text) { Ok(ending) } else { Err(NoEnding) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ending, How, Times};
    use std::string::ToString;

    #[test]
    fn what_is_written_is_read() {
        let mixed = Ending {
            exits: Times::Repeatedly,
            reason: 48,
            deliveries: Times::Once,
            vector: 14,
            done: true,
            ..Ending::NOTHING
        };
        for (ending, text) in [
            (Ending::exit(0), "exit0"),
            (Ending::delivered(14), "delivered14"),
            (Ending::DONE, "done"),
            (How::Failed(33).into(), "failed33"),
            (Ending::NOTHING, "nothing"),
            (mixed, "repeated-exit48+delivered14+done"),
        ] {
            assert_eq!(ending.to_string(), text);
            assert_eq!(text.parse(), Ok(ending));
        }
    }

    #[test]
    fn nothing_else_is_read() {
        for text in [
            "",
            "exit",
            "exit00",
            "exit+0",
            "exit70000",
            "delivered256",
            "done+exit0",
            "done+done",
            "failed",
            "failed0",
            "failed07",
            "exit0+",
        ] {
            assert!(text.parse::<Ending>().is_err(), "{text}");
        }
    }
}
