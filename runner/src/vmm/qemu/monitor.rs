//! QEMU's monitor (QMP): commands go out and answers and events come in, as JSON, one a line, on a
//! socket.
//!
//! Nothing here waits: what is sent is short, and the watcher of the socket feeds in what comes. A
//! descriptor can be passed with a command, which the libraries cannot do.

use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;

/// More than any answer to these commands has.
const MAX_LINE: usize = 1 << 20;

/// What the monitor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A command is done and returned this.
    Done(Value),
    /// A command failed, with QEMU's sentence.
    Refused(String),
    /// An event, with its name and data.
    Event(String, Value),
}

/// The monitor.
#[derive(Debug)]
pub struct Monitor {
    socket: OwnedFd,
    line: Vec<u8>,
}

impl Monitor {
    /// The monitor at the other end of a socket. It takes commands after `qmp_capabilities`.
    pub fn new(socket: OwnedFd) -> Self {
        Self { socket, line: Vec::new() }
    }

    /// Sends a command, whose arguments are an object.
    ///
    /// # Errors
    /// The socket does not take it, as when QEMU is gone.
    pub fn send(&self, command: &str, arguments: &Value) -> io::Result<()> {
        self.send_with(command, arguments, &mut SendAncillaryBuffer::default())
    }

    /// Passes a descriptor to QEMU, under a name.
    ///
    /// # Errors
    /// As [`Monitor::send`].
    pub fn hand_over(&self, name: &str, fd: impl AsFd) -> io::Result<()> {
        let fds = [fd.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        // There is room for one.
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        self.send_with("getfd", &json!({ "fdname": name }), &mut ancillary)
    }

    fn send_with(
        &self,
        command: &str,
        arguments: &Value,
        ancillary: &mut SendAncillaryBuffer<'_, '_, '_>,
    ) -> io::Result<()> {
        let mut text = json!({ "execute": command, "arguments": arguments }).to_string();
        text.push('\n');
        let sent = sendmsg(
            &self.socket,
            &[IoSlice::new(text.as_bytes())],
            ancillary,
            SendFlags::NOSIGNAL,
        )?;
        if sent == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Takes in bytes as they come, and returns what they say.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<Said> {
        let mut said = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.line.extend(piece);
            if self.line.ends_with(b"\n") {
                said.extend(serde_json::from_slice(&self.line).ok().and_then(meaning));
                self.line.clear();
            } else if self.line.len() > MAX_LINE {
                self.line.clear();
            }
        }
        said
    }
}

/// What a line says. The greeting says nothing.
fn meaning(line: Value) -> Option<Said> {
    let Value::Object(mut line) = line else { return None };
    if let Some(value) = line.remove("return") {
        return Some(Said::Done(value));
    }
    if let Some(error) = line.remove("error") {
        return Some(Said::Refused(
            error["desc"].as_str().unwrap_or("an error without a sentence").into(),
        ));
    }
    let event = line.remove("event")?;
    Some(Said::Event(event.as_str()?.into(), line.remove("data").unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::{Monitor, Said};
    use serde_json::json;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixStream;

    #[test]
    fn lines_are_told_apart_however_they_are_cut() {
        let text = "{\"QMP\": {\"version\": {}}}\r\n{\"return\": {}}\r\nno JSON\n\
                    {\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}\n\
                    {\"event\": \"SHUTDOWN\", \"data\": {\"reason\": \"guest-reset\"}}\n{\"event\": \"RESUME\"}\n[1]\n";
        let want = vec![
            Said::Done(json!({})),
            Said::Refused("no".into()),
            Said::Event("SHUTDOWN".into(), json!({ "reason": "guest-reset" })),
            Said::Event("RESUME".into(), json!(null)),
        ];
        for size in [1, 7, 1000] {
            let mut monitor = Monitor::new(UnixStream::pair().unwrap().0.into());
            let said: Vec<Said> =
                text.as_bytes().chunks(size).flat_map(|piece| monitor.hear(piece)).collect();
            assert_eq!(said, want);
        }
    }

    #[test]
    fn a_command_is_one_line() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let monitor = Monitor::new(ours.into());
        monitor.send("quit", &json!({})).unwrap();
        monitor.hand_over("state", &monitor.socket).unwrap();
        let mut lines = BufReader::new(theirs).lines();
        for want in [
            "{\"arguments\":{},\"execute\":\"quit\"}",
            "{\"arguments\":{\"fdname\":\"state\"},\"execute\":\"getfd\"}",
        ] {
            assert_eq!(lines.next().unwrap().unwrap(), want);
        }
    }
}
