//! Frames, as [`spec::frame`] has them, and how they are found in the stream again.
//!
//! Port 0xe9 ends up on Bochs' standard output, between lines that Bochs prints itself. Where the
//! decoder loses its place, it looks for the next marker. It *reports* what it could not read: a
//! frame that was damaged or never arrived is an event of its own. So a log with a hole in it is
//! never taken for a whole one.

pub use spec::frame::MAX_PAYLOAD;
use spec::frame::{CRC, HEADER, MARKER, around};

/// Noise without a line feed is passed on in pieces of about this size.
const MAX_NOISE: usize = 4096;

/// One frame as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is: see [`crate::lab::message::Message`].
    pub kind: u8,
    /// The sender's count, from 0.
    pub seq: u32,
    /// The sender's time-stamp counter when it sent the frame.
    pub ticks: u64,
    /// The content.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The bytes to send. A payload beyond [`MAX_PAYLOAD`] is cut there; the sender splits it
    /// first.
    pub fn encode(&self) -> Vec<u8> {
        let payload = &self.payload[..self.payload.len().min(MAX_PAYLOAD)];
        let (header, crc) = around(self.kind, self.seq, self.ticks, payload);
        [&header[..], payload, &crc].concat()
    }
}

/// What the decoder found, in the order of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A whole frame with a good checksum and the sequence number that was due.
    Frame(Frame),
    /// Bytes between frames: other programs' text.
    Noise(Vec<u8>),
    /// There was a marker without a frame; this sentence says why.
    Damaged(String),
    /// Frames `from` up to, not including, `until` were sent and did not arrive whole.
    Missing {
        /// The first that is missing.
        from: u32,
        /// The first after it that arrived.
        until: u32,
    },
}

/// Turns the stream back into frames; see the module's text for what it does when the stream is not
/// clean.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    noise: Vec<u8>,
    due: u32,
}

/// What stands at the start of the buffer.
enum Head {
    Frame(Frame, usize),
    NeedMore,
    Bad(String),
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the stream's next bytes and returns what they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        self.buffer.extend_from_slice(bytes);
        self.drain(false)
    }

    /// Ends the stream, and returns what is left. A frame that was cut off is [`Event::Damaged`].
    pub fn finish(&mut self) -> Vec<Event> {
        let mut events = self.drain(true);
        self.noise.append(&mut self.buffer);
        self.flush_noise(&mut events);
        events
    }

    fn drain(&mut self, ended: bool) -> Vec<Event> {
        let mut events = Vec::new();
        let mut at = 0;
        while let Some(skip) = find_marker(&self.buffer[at..]) {
            self.noise.extend_from_slice(&self.buffer[at..at + skip]);
            at += skip;
            match head(&self.buffer[at..]) {
                Head::Frame(frame, length) => {
                    self.flush_noise(&mut events);
                    at += length;
                    self.sequence(frame, &mut events);
                }
                Head::NeedMore if !ended => {
                    self.buffer.drain(..at);
                    return events;
                }
                bad => {
                    let why = match bad {
                        Head::Bad(why) => why,
                        _ => "the stream ends inside a frame".into(),
                    };
                    self.flush_noise(&mut events);
                    events.push(Event::Damaged(why));
                    // Whatever follows the false marker may hold a whole frame: look at all of it
                    // again.
                    self.noise.extend_from_slice(&MARKER);
                    at += MARKER.len();
                }
            }
        }
        // Keep what may be the start of a marker.
        let keep = (1..MARKER.len())
            .rev()
            .find(|&n| self.buffer[at..].ends_with(&MARKER[..n]))
            .unwrap_or(0);
        let noise_end = self.buffer.len() - keep;
        self.noise.extend_from_slice(&self.buffer[at..noise_end]);
        self.buffer.drain(..noise_end);
        if self.noise.contains(&b'\n') || self.noise.len() > MAX_NOISE {
            self.flush_noise(&mut events);
        }
        events
    }

    fn sequence(&mut self, frame: Frame, events: &mut Vec<Event>) {
        if frame.seq < self.due {
            events.push(Event::Damaged(format!(
                "frame {} came when {} was due",
                frame.seq, self.due
            )));
            return;
        }
        if frame.seq > self.due {
            events.push(Event::Missing { from: self.due, until: frame.seq });
        }
        self.due = frame.seq.saturating_add(1);
        events.push(Event::Frame(frame));
    }

    fn flush_noise(&mut self, events: &mut Vec<Event>) {
        if !self.noise.is_empty() {
            events.push(Event::Noise(std::mem::take(&mut self.noise)));
        }
    }
}

/// Where the first whole marker starts.
fn find_marker(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MARKER.len()).position(|window| window == MARKER)
}

/// Reads the frame whose marker `bytes` starts with.
fn head(bytes: &[u8]) -> Head {
    let Some((header, rest)) = bytes.split_at_checked(HEADER) else { return Head::NeedMore };
    let (Some(seq), Some(ticks), Some(length)) =
        (word(header, 5), double(header, 9), word(header, 17))
    else {
        return Head::NeedMore;
    };
    let length = length as usize;
    if length > MAX_PAYLOAD {
        return Head::Bad(format!("a frame claims {length} bytes, the most is {MAX_PAYLOAD}"));
    }
    let Some((payload, rest)) = rest.split_at_checked(length) else { return Head::NeedMore };
    let Some(crc) = rest.get(..CRC) else { return Head::NeedMore };
    if around(header[4], seq, ticks, payload).1 != crc {
        return Head::Bad(format!("a frame that says it is number {seq} has a bad checksum"));
    }
    let frame = Frame { kind: header[4], seq, ticks, payload: payload.to_vec() };
    Head::Frame(frame, HEADER + length + CRC)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn double(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
