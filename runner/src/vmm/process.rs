//! Runs a program under watch: its output comes live, its time is limited, and it never outlives
//! the watcher.
//!
//! The program gets no stdin and a process group of its own. The group is killed when the program
//! exits, when the limit is reached, when the watcher says stop, when a signal asks maskmatch to
//! end, and when the watcher's function returns for whatever reason. The kernel kills the program
//! when the thread that started it dies.

#![allow(unsafe_code, reason = "a child's own system calls belong between fork and exec")]

use crate::interrupt;
use crate::vmm::Flow;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, mknodat, open};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process_group, set_parent_process_death_signal, waitid,
};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often to look at the child's state while it says nothing.
const TICK: Duration = Duration::from_millis(20);
/// How long what a program wrote before its limit is read after it.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// More than any program answers here.
const MAX_ANSWER: usize = 4 << 20;

/// How the program's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited, or somebody else's signal killed it.
    Exited(ExitStatus),
    /// It was killed: the limit was reached.
    TimedOut,
    /// It was killed, because of the handler or a signal.
    Stopped,
}

/// Where output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The program's stdout.
    Stdout,
    /// The program's stderr.
    Stderr,
    /// A descriptor that the caller added, such as the reading end of a FIFO, by its place among
    /// them.
    Extra(usize),
    /// There was none: time has passed, and the handler may look at its clock.
    Nothing,
}

/// The child's process group, killed when this goes out of scope.
struct Group {
    child: Child,
    pid: Pid,
    /// Its end was collected: its id may be another's.
    is_reaped: bool,
}

impl Group {
    /// Whether the child is dead. Its id stays its own until it is reaped.
    fn is_over(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(self.pid), options)?.is_some())
    }

    /// Kills all of the group, and returns how the child ended.
    fn kill(&mut self) -> io::Result<ExitStatus> {
        if !self.is_reaped {
            let _ = kill_process_group(self.pid, Signal::KILL);
            self.is_reaped = true;
        }
        self.child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Starts the program, passes its output to `handler` as it comes, and returns when it is dead.
/// What was written before the end is always passed on.
///
/// # Errors
/// The program could not be started, or its output could not be read.
pub fn run(
    command: &mut Command,
    extra: Vec<OwnedFd>,
    limit: Duration,
    handler: &mut dyn FnMut(Source, &[u8]) -> Flow,
) -> io::Result<Ended> {
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    // SAFETY: the closure makes one system call (prctl); it allocates nothing and takes no lock, so
    // it is sound in the child of a process with several threads.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    let child = command.spawn()?;
    let pid = Pid::from_child(&child);
    let mut group = Group { child, pid, is_reaped: false };

    let mut sources: Vec<(Source, OwnedFd)> = Vec::new();
    sources.extend(group.child.stdout.take().map(|pipe| (Source::Stdout, pipe.into())));
    sources.extend(group.child.stderr.take().map(|pipe| (Source::Stderr, pipe.into())));
    sources.extend(extra.into_iter().enumerate().map(|(at, fd)| (Source::Extra(at), fd)));
    for (_, fd) in &sources {
        fcntl_setfl(fd, fcntl_getfl(fd)? | OFlags::NONBLOCK)?;
    }

    loop {
        // The child's state comes first: what it wrote before it died is then certainly in the
        // pipes.
        let is_over = group.is_over()?;
        let late = if is_over { limit + LAST_WORDS } else { limit };
        let mut flow = drain(&mut sources, handler, &|| start.elapsed() >= late)?;
        if flow == Flow::Continue {
            flow = handler(Source::Nothing, &[]);
        }
        if flow == Flow::Stop || interrupt::pending() {
            group.kill()?;
            return Ok(Ended::Stopped);
        }
        if is_over {
            return Ok(Ended::Exited(group.kill()?));
        }
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            group.kill()?;
            drain(&mut sources, handler, &|| start.elapsed() >= limit + LAST_WORDS)?;
            return Ok(Ended::TimedOut);
        }
        wait(&sources, left.min(TICK))?;
    }
}

/// What a program said until it ended.
#[derive(Clone, Debug)]
pub struct Said {
    /// How it ended.
    pub ended: Ended,
    /// All that it wrote to its stdout.
    pub out: String,
    /// The end of what it wrote to its stderr.
    pub err: Tail,
}

impl Said {
    /// Whether the program says that it did its work.
    pub fn is_success(&self) -> bool {
        matches!(self.ended, Ended::Exited(status) if status.success())
    }
}

/// Runs a program to its end and keeps what it says. It stops one that says too much.
///
/// # Errors
/// As [`run`].
pub fn ask(command: &mut Command, limit: Duration) -> io::Result<Said> {
    let (mut out, mut err) = (Vec::new(), Tail::default());
    let ended = run(command, Vec::new(), limit, &mut |source, bytes| {
        match source {
            Source::Stdout => out.extend(bytes),
            _ => err.add(bytes),
        }
        if out.len() > MAX_ANSWER { Flow::Stop } else { Flow::Continue }
    })?;
    Ok(Said { ended, out: String::from_utf8_lossy(&out).into_owned(), err })
}

/// Waits until a source has something to read, or for `time`.
fn wait(sources: &[(Source, OwnedFd)], time: Duration) -> io::Result<()> {
    let mut fds: Vec<PollFd> =
        sources.iter().map(|(_, fd)| PollFd::new(fd, PollFlags::IN)).collect();
    let time = Timespec::try_from(time).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
    match poll(&mut fds, Some(&time)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reads what is there, at most about 1 MiB of each source, until it is late: neither a flood nor a
/// handler that takes its time can stop the clock.
fn drain(
    sources: &mut Vec<(Source, OwnedFd)>,
    handler: &mut dyn FnMut(Source, &[u8]) -> Flow,
    is_late: &dyn Fn() -> bool,
) -> io::Result<Flow> {
    let mut buffer = [0; 16384];
    let mut closed = Vec::new();
    for (index, (source, fd)) in sources.iter().enumerate() {
        for _ in 0..64 {
            if is_late() {
                break;
            }
            match rustix::io::read(fd, &mut buffer) {
                Ok(0) => {
                    closed.push(index);
                    break;
                }
                Ok(count) => {
                    if handler(*source, &buffer[..count]) == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    // A closed source would make every poll return at once.
    for index in closed.into_iter().rev() {
        sources.remove(index);
    }
    Ok(Flow::Continue)
}

/// Makes a FIFO and opens it for both directions, so that neither side ever waits for the other to
/// open it.
///
/// # Errors
/// The file system refuses it.
pub fn fifo(path: &Path) -> io::Result<OwnedFd> {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    Ok(open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?)
}

/// Where the search path has a program.
pub fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|program| program.is_file())
}

/// The command line, to be pasted into a shell.
pub fn command_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| quote(&word.to_string_lossy())).collect::<Vec<_>>().join(" ")
}

/// A line whose words are each as a shell takes it.
pub fn quote_words(line: &str) -> String {
    line.split_whitespace().map(quote).collect::<Vec<_>>().join(" ")
}

/// A word that a shell takes as it is.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The last bytes of a program's messages, for a sentence about its failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail(Vec<u8>);

impl Tail {
    const KEEP: usize = 8192;

    /// Adds bytes and forgets the oldest.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let excess = self.0.len().saturating_sub(Self::KEEP);
        self.0.drain(..excess);
    }

    /// What is kept, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// The last line that says something.
    pub fn last_line(&self) -> String {
        self.text()
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("no message")
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{Ended, Source, Tail, ask, command_line, run};
    use crate::vmm::Flow;
    use std::process::Command;
    use std::time::{Duration, Instant};

    fn shell(script: &str, limit: Duration, stop_at: Option<u8>) -> (Ended, Vec<u8>, Vec<u8>) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let ended = run(
            Command::new("sh").args(["-c", script]),
            Vec::new(),
            limit,
            &mut |source, bytes| {
                if source == Source::Stdout {
                    out.extend(bytes);
                } else {
                    err.extend(bytes);
                }
                if stop_at.is_some_and(|byte| bytes.contains(&byte)) {
                    Flow::Stop
                } else {
                    Flow::Continue
                }
            },
        );
        (ended.unwrap(), out, err)
    }

    #[test]
    fn nothing_is_lost_at_an_exit() {
        let (ended, out, err) =
            shell("seq 20000; echo bad >&2; exit 3", Duration::from_mins(1), None);
        assert!(matches!(ended, Ended::Exited(status) if status.code() == Some(3)));
        assert_eq!(out.split(|byte| *byte == b'\n').count() - 1, 20000);
        assert_eq!(err, b"bad\n");
    }

    #[test]
    fn the_limit_kills_the_whole_group() {
        let start = Instant::now();
        let (ended, out, _) =
            shell("echo before; sleep 60 & sleep 60", Duration::from_millis(300), None);
        assert_eq!(ended, Ended::TimedOut);
        assert_eq!(out, b"before\n");
        assert!(start.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn what_the_program_left_running_ends_with_it() {
        // Its output goes elsewhere, so it does not keep the program's pipes open.
        let (ended, out, _) =
            shell("sleep 60 >/dev/null 2>&1 & echo $!", Duration::from_mins(1), None);
        assert!(matches!(ended, Ended::Exited(status) if status.success()));
        let left = String::from_utf8(out).unwrap();
        let state =
            || std::fs::read_to_string(format!("/proc/{}/stat", left.trim())).unwrap_or_default();
        let is_alive = || !state().is_empty() && !state().contains(") Z ");
        let start = Instant::now();
        while is_alive() {
            assert!(start.elapsed() < Duration::from_secs(20), "{left}");
        }
    }

    #[test]
    fn a_flood_can_be_stopped() {
        let (ended, out, _) =
            shell("while :; do echo flood; done", Duration::from_mins(1), Some(b'f'));
        assert_eq!(ended, Ended::Stopped);
        assert!(out.starts_with(b"flood\n"));
    }

    #[test]
    fn an_answer_is_kept_with_how_it_ended() {
        let asked =
            |script: &str, limit| ask(Command::new("sh").args(["-c", script]), limit).unwrap();
        let said = asked("echo yes; echo no >&2", Duration::from_mins(1));
        assert!(said.is_success());
        assert_eq!((said.out.as_str(), said.err.last_line()), ("yes\n", "no".into()));
        assert!(!asked("exit 1", Duration::from_mins(1)).is_success());
        assert_eq!(asked("exec sleep 9", Duration::from_millis(100)).ended, Ended::TimedOut);
        assert_eq!(asked("yes", Duration::from_mins(1)).ended, Ended::Stopped);
    }

    #[test]
    fn command_lines_can_be_pasted() {
        let mut command = Command::new("bochs");
        command.args(["-q", "a b", "it's", ""]);
        assert_eq!(command_line(&command), r"bochs -q 'a b' 'it'\''s' ''");
    }

    #[test]
    fn the_last_line_is_the_last_that_says_something() {
        let mut tail = Tail::default();
        tail.add(b"one\n two \n\n");
        assert_eq!(tail.last_line(), "two");
    }
}
