//! Programs of Debian's that are called, each with a time limit.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::interrupt;
use crate::vmm::Unavailable;

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(10);
/// How much of a failed program's complaint is passed on.
const COMPLAINT: usize = 300;

/// Runs `command` to its end and returns what it printed.
///
/// # Errors
/// The program does not exist, fails, or takes longer than `limit` (it is then killed).
pub fn run(mut command: Command, limit: Duration) -> Result<String, Unavailable> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| Unavailable {
        why: format!("{name} cannot be started: {error}"),
        mend: format!("install the Debian package that has {name}"),
    })?;
    let output = reader(child.stdout.take());
    let complaint = reader(child.stderr.take());
    let Some(status) = wait(&mut child, limit) else {
        return Err(Unavailable {
            why: if interrupt::pending() {
                format!("{name} was interrupted")
            } else {
                format!("{name} took longer than {} seconds and was stopped", limit.as_secs())
            },
            mend: "check the network and try again".into(),
        });
    };
    let text =
        |thread: thread::JoinHandle<Vec<u8>>| String::from_utf8_lossy(&thread.join().unwrap_or_default()).into_owned();
    let (output, complaint) = (text(output), text(complaint));
    if status.success() {
        return Ok(output);
    }
    let lines: Vec<&str> = complaint.lines().chain(output.lines()).filter(|line| line.starts_with("E:")).collect();
    let said = if lines.is_empty() { complaint.trim().to_string() } else { lines.join(" ") };
    Err(Unavailable {
        why: format!("{name} failed ({status}): {}", said.chars().take(COMPLAINT).collect::<String>()),
        mend: "check the network and apt's configuration".into(),
    })
}

/// Collects a pipe in the background, so that a program with much to say does not block.
fn reader(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A pipe that breaks has said all it will say.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// `None`: the limit passed or a signal came, and the program was killed.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < limit && !interrupt::pending() {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => thread::sleep(POLL),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: u64) -> Result<String, Unavailable> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, Duration::from_millis(limit))
    }

    #[test]
    fn output_failure_and_limit() {
        assert_eq!(sh("echo yes", 5000).unwrap(), "yes\n");
        assert!(sh("echo 'E: no such thing' >&2; exit 100", 5000).unwrap_err().why.contains("no such thing"));
        assert!(sh("exec sleep 9", 100).unwrap_err().why.contains("stopped"));
        assert!(run(Command::new("/nonexistent"), Duration::from_secs(1)).unwrap_err().why.contains("started"));
    }
}
