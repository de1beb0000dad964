//! The runner in trouble: whatever happens, there is a sentence and an exit code of its own, and
//! nothing stays behind.
//!
//! Each trial is a script for `sh`. `$M` is maskmatch, `$D` a folder of the trial's own, and what it
//! does in `$TMPDIR` must be gone when it ends. `cargo test -p runner --test e2e -- --ignored
//! --nocapture the_table_of_trials` prints the table of docs/robustness.md.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::command::{Called, finish, works_below};
use crate::files::Folder;

/// What is tried: in words, the script, the exit code, and a part of what is said.
struct Trial(&'static str, &'static str, i32, &'static str);

/// A run that takes minutes.
macro_rules! long {
    () => {
        "$M run --l0 bochs --profile exhaustive"
    };
}
/// One that takes a second.
macro_rules! short {
    () => {
        "$M run --l0 bochs --filter filter.each.long"
    };
}

const STOPPED: &str = "maskmatch: crash: the run was stopped";
const PASSED: &str = "maskmatch: pass: 1 group";

const TRIALS: [Trial; 22] = [
    Trial(
        "SIGTERM twice in a row, as `timeout` sends it",
        concat!("timeout 3 ", long!()),
        124,
        STOPPED,
    ),
    Trial("SIGHUP", concat!("timeout -s HUP 3 ", long!()), 124, STOPPED),
    Trial("SIGQUIT", concat!("timeout -s QUIT 3 ", long!()), 124, STOPPED),
    Trial("SIGTERM once", concat!(long!(), " & sleep 3; kill -TERM $!; wait $!"), 143, STOPPED),
    Trial(
        "SIGHUP under `nohup`",
        concat!("nohup ", short!(), " & sleep 0.3; kill -HUP $!; wait $!"),
        0,
        PASSED,
    ),
    Trial(
        "files may have 100 KiB (SIGXFSZ)",
        concat!("ulimit -f 100; ", short!()),
        3,
        "cannot prepare Bochs' files",
    ),
    Trial(
        "standard output beyond the limit",
        "ulimit -f 1; $M list >$D/out",
        2,
        "cannot write to standard output",
    ),
    Trial("a full disk under the log", concat!(short!(), " --log /dev/full"), 2, PASSED),
    Trial("a full disk under the JSON", concat!(short!(), " --json /dev/full"), 2, PASSED),
    Trial(
        "a full disk under the report",
        concat!(short!(), " --json $D/json >/dev/full; c=$?; grep -q pass $D/json && exit $c"),
        2,
        "No space left",
    ),
    Trial(
        "the log is a pipe that nobody reads",
        concat!("mkfifo $D/pipe; ", short!(), " --log $D/pipe"),
        2,
        PASSED,
    ),
    Trial("40 MB of memory (RLIMIT_AS)", concat!("ulimit -v 40000; ", short!()), 3, "maskmatch: "),
    Trial("80 MB of memory", concat!("ulimit -v 80000; ", short!()), 3, "Bochs got no memory"),
    Trial("130 MB of memory in the lab", "ulimit -v 130000; $M lab --param ept=1", 3, "memory"),
    Trial(
        "neither HOME nor XDG_CACHE_HOME",
        "unset HOME XDG_CACHE_HOME; $M lab --param ept=1",
        3,
        "neither XDG_CACHE_HOME nor HOME",
    ),
    Trial(
        "no folder for temporary files",
        concat!("TMPDIR=/nonexistent ", short!()),
        3,
        "below /nonexistent",
    ),
    Trial(
        "a cache that cannot be written",
        "XDG_CACHE_HOME=/proc $M lab --param ept=1",
        3,
        "nothing can be put below /proc",
    ),
    Trial(
        "no network",
        concat!("export XDG_CACHE_HOME=$D/cache APT_CONFIG=$D/offline; ", "$M lab --param ept=1"),
        3,
        "Could not connect",
    ),
    Trial(
        "no network and `--refresh`",
        "APT_CONFIG=$D/offline $M lab --param ept=1 --refresh",
        3,
        "Could not connect",
    ),
    Trial(
        "as nobody",
        concat!(
            "if [ $(id -u) = 0 ]; then N='setpriv --reuid 65534 --regid 65534 --clear-groups'; fi; cd /; HOME=/nonexistent $N ",
            short!()
        ),
        0,
        PASSED,
    ),
    Trial(
        "twelve runs at the same time",
        concat!(
            "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do ",
            short!(),
            " & p=\"$p $!\"; done; for i in $p; do wait $i || exit 1; done"
        ),
        0,
        PASSED,
    ),
    Trial(
        "a Bochs that leaves a program running",
        concat!(
            "printf '#!/bin/sh\\n[ \"$1\" = -q ] || exec bochs \"$@\"\\nsleep 99 >/dev/null 2>&1 & bochs \"$@\"\\n' >$D/b; chmod +x $D/b; ",
            short!(),
            " --bochs $D/b"
        ),
        0,
        PASSED,
    ),
];

impl Trial {
    fn run(&self) -> Called {
        let Self(what, script, code, part) = self;
        let folder = Folder::new();
        let (home, temporary, program) =
            (folder.path(""), folder.path("tmp"), folder.path("maskmatch"));
        fs::create_dir(&temporary).expect("a folder");
        fs::copy(env!("CARGO_BIN_EXE_maskmatch"), &program).expect("a copy that nobody can read");
        for (path, mode) in [(&home, 0o755), (&temporary, 0o777), (&program, 0o755)] {
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("they are its own");
        }
        // No proxy is there.
        let proxy = "http://127.0.0.1:9";
        folder.write(
            "offline",
            format!("Acquire::http::Proxy \"{proxy}\";\nAcquire::https::Proxy \"{proxy}\";\n"),
        );
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("M", &program).env("D", &home).env("TMPDIR", &temporary);
        let called = finish(&mut command);
        let said = format!("{}{}", called.out, called.err);
        assert!(said.contains(part), "{what}: {called:#?}");
        assert_eq!(fs::read_dir(&temporary).expect("the folder").count(), 0, "{what}: {called:#?}");
        // A program that was killed needs a moment to be gone.
        let end = Instant::now() + Duration::from_secs(20);
        while works_below(&temporary) > 0 {
            assert!(Instant::now() < end, "{what}: a program is left");
            sleep(Duration::from_millis(10));
        }
        if let Some((_, sentence)) = called.verdict().split_once("skip: ") {
            assert!(!called.err.contains(sentence), "{what}: it is said twice: {called:#?}");
        }
        let called = called.expect(*code);
        assert!(!said.contains('\x1b') && !said.contains("panicked"), "{what}: {called:#?}");
        called
    }
}

#[test]
fn whatever_happens_there_is_a_sentence_and_nothing_stays_behind() {
    for trial in &TRIALS {
        trial.run();
    }
}

/// How often each trial is made for the table.
const TIMES: usize = 5;

#[test]
#[ignore = "takes minutes; it prints a table"]
fn the_table_of_trials() {
    println!("| what was tried | runs | exit code | what is said |\n|---|---|---|---|");
    for trial in &TRIALS {
        (0..TIMES).for_each(|_| drop(trial.run()));
        let Trial(what, _, code, part) = trial;
        println!("| {what} | {TIMES} | {code} | `{}` |", part.trim());
    }
}
