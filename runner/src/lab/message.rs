//! What the frames between the lab's init and the runner outside say.
//!
//! A [`Message`] is a frame's kind and payload, typed. It is JSON, except for the guest's serial
//! bytes, which are passed on as they are. A payload that does not parse is an error for the reader
//! to report, never something to skip.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use spec::frame::{JSON, SERIAL};

use super::frame::Frame;

/// The stage after which KVM can be loaded with a parameter set, and after which a machine of
/// VirtualBox can be made.
pub const KVM_LOADED: &str = "KVM is loaded";
pub const DRIVER_LOADED: &str = "VirtualBox's driver is loaded";

/// One thing that init reports to the runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Init has come this far (a word or two).
    Stage(String),
    /// A set begins: `kvm_intel` is loaded with it, or VirtualBox makes such a machine.
    Begin {
        /// The set as it prints.
        set: String,
        /// Parameter names and their values: those of `kvm_intel` as the kernel says they are now.
        effective: BTreeMap<String, String>,
    },
    /// Bytes that the guest wrote to its serial port.
    Serial(Vec<u8>),
    /// A line of the kernel's log while a set was running.
    Kmsg(String),
    /// The set is over; `failure` says why the run could not be completed.
    End {
        /// The set as it was in `Begin` or would have been.
        set: String,
        /// `None` if the run came to its end; its serial bytes then hold the verdict.
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
    pub fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Serial(bytes) => (SERIAL, bytes.clone()),
            // Text and maps by text: nothing here can fail to be written.
            other => (JSON, serde_json::to_vec(other).unwrap_or_default()),
        }
    }

    /// Reads a frame.
    ///
    /// # Errors
    /// A sentence, if [`Message::encode`] makes no such frame.
    pub fn decode(frame: &Frame) -> Result<Self, String> {
        match frame.kind {
            SERIAL => Ok(Self::Serial(frame.payload.clone())),
            JSON => serde_json::from_slice(&frame.payload)
                .map_err(|error| format!("frame {} is not understood: {error}", frame.seq)),
            kind => Err(format!("frame {} is of the unknown kind {kind}", frame.seq)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_survives() {
        let effective = [("ept".into(), "Y".into()), ("ple_gap".into(), "128".into())].into();
        for message in [
            Message::Stage("modules".into()),
            Message::Begin { set: "ept=0".into(), effective },
            Message::Begin { set: "ept=0".into(), effective: BTreeMap::new() },
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
        for (kind, payload) in
            [(99, &b""[..]), (JSON, b"\xff"), (JSON, b"{\"Begin\":{}}"), (JSON, b"")]
        {
            assert!(
                Message::decode(&Frame { kind, seq: 0, ticks: 0, payload: payload.to_vec() })
                    .is_err()
            );
        }
    }
}
