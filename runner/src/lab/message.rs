//! What the frames between the lab's init and the runner outside say.
//!
//! A [`Message`] is a frame's kind and payload, typed. Text is UTF-8; the guest's serial bytes are passed on as they
//! are. A payload that does not parse is an error for the reader to report, never something to skip.

use super::frame::Frame;

/// One thing that init tells the runner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Init has come this far (a word or two).
    Stage(String),
    /// `kvm_intel` is loaded with this set; `effective` is what the kernel says its parameters are now.
    Begin {
        /// The set as [`super::params::ParamSet`] prints it.
        set: String,
        /// Parameter names and their values, read back from `/sys/module`.
        effective: Vec<(String, String)>,
    },
    /// Bytes that the guest wrote to its serial port.
    Serial(Vec<u8>),
    /// A line of the kernel's log while a set was running.
    Kmsg(String),
    /// The set is over and `kvm_intel` unloaded; `failure` says why the run could not be completed.
    End {
        /// The set as it was in `Begin` or would have been.
        set: String,
        /// `None`: the run came to its end, its serial bytes tell the verdict.
        failure: Option<String>,
    },
    /// The set was not run: the subject lacks what it needs.
    Skip {
        /// The set.
        set: String,
        /// What is lacking.
        why: String,
    },
    /// All sets are through.
    Done,
    /// Init cannot go on.
    Error(String),
}

impl Message {
    /// The frame's kind and payload.
    #[must_use]
    pub fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Stage(text) => (1, text.clone().into_bytes()),
            Self::Begin { set, effective } => {
                let lines = effective.iter().map(|(name, value)| format!("\n{name}={value}"));
                (2, std::iter::once(set.clone()).chain(lines).collect::<String>().into_bytes())
            }
            Self::Serial(bytes) => (3, bytes.clone()),
            Self::Kmsg(line) => (4, line.clone().into_bytes()),
            Self::End { set, failure: None } => (5, set.clone().into_bytes()),
            Self::End { set, failure: Some(why) } => (5, format!("{set}\n{why}").into_bytes()),
            Self::Skip { set, why } => (6, format!("{set}\n{why}").into_bytes()),
            Self::Done => (7, Vec::new()),
            Self::Error(why) => (8, why.clone().into_bytes()),
        }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// A sentence, if the frame is none that [`Message::encode`] makes.
    pub fn decode(frame: &Frame) -> Result<Self, String> {
        if frame.kind == 3 {
            return Ok(Self::Serial(frame.payload.clone()));
        }
        let text = std::str::from_utf8(&frame.payload)
            .map_err(|_| format!("frame {} of kind {} is not text", frame.seq, frame.kind))?;
        let (first, rest) = match text.split_once('\n') {
            Some((first, rest)) => (first.to_string(), Some(rest.to_string())),
            None => (text.to_string(), None),
        };
        Ok(match frame.kind {
            1 => Self::Stage(text.into()),
            2 => Self::Begin {
                set: first,
                effective: rest
                    .iter()
                    .flat_map(|rest| rest.lines())
                    .map(|line| line.split_once('=').map(|(name, value)| (name.into(), value.into())))
                    .collect::<Option<_>>()
                    .ok_or_else(|| format!("frame {} has a parameter without a value", frame.seq))?,
            },
            4 => Self::Kmsg(text.into()),
            5 => Self::End { set: first, failure: rest },
            6 => Self::Skip { set: first, why: rest.unwrap_or_default() },
            7 => Self::Done,
            8 => Self::Error(text.into()),
            kind => return Err(format!("frame {} is of the unknown kind {kind}", frame.seq)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_survives() {
        let effective = vec![("ept".into(), "Y".into()), ("ple_gap".into(), "128".into())];
        for message in [
            Message::Stage("modules".into()),
            Message::Begin { set: "ept=0".into(), effective },
            Message::Begin { set: "ept=0".into(), effective: Vec::new() },
            Message::Serial(vec![0, 0xff, b'\n']),
            Message::Kmsg("WARNING: CPU: 0".into()),
            Message::End { set: "ept=0".into(), failure: None },
            Message::End { set: "ept=0".into(), failure: Some("two\nlines".into()) },
            Message::Skip { set: "x=1".into(), why: "unknown".into() },
            Message::Done,
            Message::Error("panic".into()),
        ] {
            let (kind, payload) = message.encode();
            assert_eq!(Message::decode(&Frame { kind, seq: 0, ticks: 0, payload }), Ok(message));
        }
    }

    #[test]
    fn strange_frames_are_errors() {
        for (kind, payload) in [(99, &b""[..]), (1, b"\xff"), (2, b"ept=0\nword")] {
            assert!(Message::decode(&Frame { kind, seq: 0, ticks: 0, payload: payload.to_vec() }).is_err());
        }
    }
}
