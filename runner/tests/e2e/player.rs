//! A Bochs that plays back a log: what a run gets need not be the answer to what it asked.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use spec::log::{Counts, Writer};

use crate::command::{Called, call};
use crate::files::Folder;

/// What the runs ask for.
const ASKED: &str = "profile=quick filter=filter.each.long-ac";

/// A log of these options and this group, with as many cases as the group has.
fn log(version: &str, options: &str, group: &str) -> String {
    let mut text = String::new();
    let facts =
        format!("boot=pvh maxphyaddr=40 hypervisor=none options={}", options.replace(' ', "+"));
    let mut log = Writer::begin(&mut text, version, &facts);
    log.plan(1);
    log.result(1, &group, &Counts { cases: 4, ..Counts::default() });
    log.end();
    text
}

/// Runs with a Bochs that plays this.
fn played(log: &str) -> Called {
    let folder = Folder::new();
    let log = folder.write("played", log);
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *--help*) exec bochs \"$@\";; esac\ncat {log} > serial\nexec sleep 60\n"
    );
    let program = folder.write("bochs", script);
    set_permissions(&program, Permissions::from_mode(0o755)).expect("the script is ours");
    let run = "run --l0 bochs --profile quick --filter filter.each.long-ac --limit 2 --bochs";
    call(run.split(' ').chain([program.as_str()]))
}

#[test]
fn the_log_is_compared_with_what_was_asked() {
    let version = env!("CARGO_PKG_VERSION");
    let group = "filter.each.long-ac";
    played(&log(version, ASKED, group)).expect(0);
    played(&log(version, &format!("{ASKED} invvpid=yes on=bochs,2.7"), group)).expect(0);
    let other = "profile=quick filter=filter.basic.long-ac";
    for (log, why) in [
        (
            log(version, other, "filter.basic.long-ac"),
            "not the answer to what was asked: its options are",
        ),
        (log(version, &format!("{ASKED} case=x"), group), "not the answer"),
        (log(version, "filter=filter.each.long-ac", group), "not the answer"),
        (log("0.0.1", ASKED, group), "it is from maskmatch 0.0.1"),
        (log(version, ASKED, "filter.basic.long-ac"), "not have the plan of its options"),
        (log(version, ASKED, group).replace("options=", "option="), "checksum"),
    ] {
        let called = played(&log).expect(4);
        assert!(called.verdict().contains(why), "{why}: {called:#?}");
    }
}

#[test]
fn a_guest_that_restarts_is_a_crash() {
    let log = log(env!("CARGO_PKG_VERSION"), ASKED, "filter.each.long-ac");
    let called = played(&format!("{}{log}", &log[..log.len() / 2])).expect(4);
    assert!(called.verdict().contains("boot 1 of 2: the guest restarted"), "{called:#?}");
}
