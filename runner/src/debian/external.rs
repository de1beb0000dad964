//! Calls programs of Debian's, each with a time limit.

use std::process::Command;
use std::time::Duration;

use crate::vmm::Unavailable;
use crate::vmm::process::{Ended, Said, ask};

/// How much of a failed program's complaint is passed on.
const COMPLAINT: usize = 300;

/// Runs `command` to its end and returns what it printed.
///
/// # Errors
/// The program does not exist, fails, or takes longer than `limit` (it is then killed).
pub fn run(mut command: Command, limit: Duration) -> Result<String, Unavailable> {
    let name = command.get_program().to_string_lossy().into_owned();
    let said = ask(&mut command, limit).map_err(|error| {
        Unavailable::new(
            format!("{name} cannot be started: {error}"),
            format!("install the Debian package that has {name}"),
        )
    })?;
    let why = match said.ended {
        Ended::Exited(status) if status.success() => return Ok(said.out),
        Ended::Exited(status) => {
            format!("{name} failed ({status}): {}", complaint(&said))
        }
        Ended::TimedOut => {
            format!("{name} took longer than {} seconds and was stopped", limit.as_secs())
        }
        Ended::Stopped => format!("{name} was interrupted"),
    };
    Err(Unavailable::new(why, "check the network and apt's configuration, and try again"))
}

/// Why a program of Debian's failed: its errors, or else all that it says.
pub fn complaint(said: &Said) -> String {
    let text = said.err.text();
    let all = text.lines().chain(said.out.lines());
    let errors: Vec<&str> = all.filter(|line| line.starts_with("E:")).collect();
    let said = if errors.is_empty() { text.trim().to_string() } else { errors.join(" ") };
    said.chars().take(COMPLAINT).collect()
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
        assert!(
            sh("echo 'E: no such thing' >&2; exit 100", 5000)
                .unwrap_err()
                .why
                .contains("no such thing")
        );
        assert!(sh("exec sleep 9", 100).unwrap_err().why.contains("stopped"));
        assert!(
            run(Command::new("/nonexistent"), Duration::from_secs(1))
                .unwrap_err()
                .why
                .contains("started")
        );
    }
}
