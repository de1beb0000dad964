//! Keeps the server of Bochs' display shut.
//!
//! The only display of Bochs that needs no screen is a server of remote framebuffers, which has no
//! password and which nobody uses. In the program that is started with [`keep_shut`], `bind` and
//! `listen` do nothing and say that they did it, and `accept` ends the thread that calls it: the
//! server's own. No port is opened, so many can run at the same time.

#![allow(unsafe_code, reason = "a child's own system calls belong between fork and exec")]

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use libc::{SYS_accept, SYS_accept4, SYS_bind, SYS_listen, c_long};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

use crate::output::remark;

/// System calls, and what they do in place of their work. A call that fails with error 0 succeeds.
const REPLACED: [(&[c_long], SeccompAction); 2] = [
    (&[SYS_bind, SYS_listen], SeccompAction::Errno(0)),
    (&[SYS_accept, SYS_accept4], SeccompAction::KillThread),
];

/// Lets the program open no port. Where the kernel cannot do that, a remark says so.
pub fn keep_shut(command: &mut Command) {
    let programs: Option<Vec<BpfProgram>> =
        REPLACED.iter().map(|(calls, action)| program(calls, action)).collect();
    let Some(programs) = programs.filter(|_| is_supported()) else {
        remark(
            "this kernel cannot keep Bochs' display shut (it lacks seccomp): until Bochs ends, a TCP port from 5900 \
             to 5949 is open, through which anybody can see the guest's screen and type",
        );
        return;
    };
    // SAFETY: the closure makes system calls (prctl, seccomp) that concern only the child; it
    // allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            programs.iter().try_for_each(|program| apply_filter(program)).map_err(|_| {
                // The kernel's reason.
                io::Error::last_os_error()
            })
        });
    }
}

/// A filter of system calls that does `action` in place of `calls`.
fn program(calls: &[c_long], action: &SeccompAction) -> Option<BpfProgram> {
    let rules: BTreeMap<_, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
    let filter =
        SeccompFilter::new(rules, SeccompAction::Allow, action.clone(), TargetArch::x86_64);
    filter.and_then(BpfProgram::try_from).ok()
}

/// Whether the kernel knows what the filters do.
fn is_supported() -> bool {
    let action: u32 = libc::SECCOMP_RET_KILL_THREAD;
    // SAFETY: the call reads the four bytes at the pointer and changes nothing.
    unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_ACTION_AVAIL, 0, &raw const action) == 0
    }
}
