//! The kernel's log while sets are running: an oops or a warning is also a result.
//!
//! Records are read from /dev/kmsg: `level,sequence,time,flags;text`, and lines starting with a
//! space that belong to the record before (Documentation/ABI/testing/dev-kmsg).

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Mutex;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// The longest record that the kernel hands out.
const RECORD: usize = 8192;
/// Records of this level (warning) or a graver one are passed on.
const WARNING: u32 = 4;
/// Level, in the number before the first comma.
const LEVEL_MASK: u32 = 7;
/// What a kernel, or Xen, says when it is in trouble, whatever the level.
const GRAVE: &[&str] = &[
    "WARNING:",
    "BUG",
    "domain_crash called",
    "Oops",
    "unchecked MSR access",
    "Call Trace",
    "soft lockup",
    "hung_task",
    "blocked for more than",
    "general protection fault",
    "Kernel panic",
    "KASAN",
    "UBSAN",
    "rcu_preempt self-detected stall",
    "detected stall",
    "invalid opcode",
    "double fault",
    // Where it happened, in the kernel's code segment.
    "RIP: 0010:",
];
/// In the first line of an oops, before its number.
const OOPS: &str = " [#";

/// Whether a line of the log says that the kernel is in trouble.
pub fn is_grave(line: &str) -> bool {
    GRAVE.iter().any(|word| line.contains(word))
}

/// Whether a line of the log begins an oops, after which the kernel is not to be trusted.
pub fn is_oops(line: &str) -> bool {
    line.contains(OOPS)
}

/// The log from the moment of opening on.
#[derive(Debug)]
pub struct Kmsg {
    file: Mutex<File>,
    /// A second handle to wait on, so that waiting does not block readers.
    waiting: File,
}

impl Kmsg {
    /// Opens the log at its end.
    ///
    /// # Errors
    /// /dev/kmsg is not there.
    pub fn open() -> io::Result<Self> {
        let mut file =
            OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        let waiting = file.try_clone()?;
        Ok(Self { file: Mutex::new(file), waiting })
    }

    /// Passes every new line that matters to `each`.
    pub fn drain(&self, each: &mut dyn FnMut(String)) {
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut record = [0; RECORD];
        loop {
            match file.read(&mut record) {
                Ok(0) => return,
                Ok(length) => {
                    if let Some(line) = interesting(&String::from_utf8_lossy(&record[..length])) {
                        each(line);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The reader was too slow and lines were overwritten; reading goes on after the
                // gap.
                Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {
                    each("(lines of the kernel's log were lost here)".into());
                }
                Err(_) => return,
            }
        }
    }

    /// Waits until there may be something to drain.
    ///
    /// # Errors
    /// The log cannot be waited on.
    pub fn wait(&self) -> io::Result<()> {
        poll(&mut [PollFd::new(&self.waiting, PollFlags::IN)], None)?;
        Ok(())
    }
}

/// A record's text, if its level or its words make it worth passing on.
fn interesting(record: &str) -> Option<String> {
    let (prefix, rest) = record.split_once(';')?;
    let level = prefix.split(',').next()?.parse::<u32>().ok()? & LEVEL_MASK;
    let text = rest.lines().next().unwrap_or_default();
    (level <= WARNING || is_grave(text)).then(|| text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oops_is_told_from_a_warning() {
        assert!(is_oops("Oops: 0002 [#1] PREEMPT SMP NOPTI"));
        assert!(is_oops("invalid opcode: 0000 [#1] SMP"));
        assert!(!is_oops(
            "WARNING: CPU: 0 PID: 71 at arch/x86/kvm/mmu/mmu.c:1 mmu_free+0x1/0x2 [kvm]"
        ));
    }

    #[test]
    fn records_are_sorted_by_level_and_words() {
        assert_eq!(interesting("4,1,2,-;kvm: odd\n SUBSYSTEM=x\n"), Some("kvm: odd".into()));
        assert_eq!(interesting("6,1,2,-;loaded\n"), None);
        assert_eq!(interesting("30,1,2,-;systemd says\n"), None);
        assert_eq!(
            interesting("6,1,2,-;unchecked MSR access error: RDMSR\n"),
            Some("unchecked MSR access error: RDMSR".into())
        );
        assert_eq!(interesting("garbage"), None);
    }
}
