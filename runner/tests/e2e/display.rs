//! The server of Bochs' display, which nobody uses, must disturb nobody.

use std::fs::read_link;
use std::process::Command;

use crate::command::{Called, call, line, own_network};
use crate::files::Folder;

const GROUP: &str = "filter.each.long-ac";
/// This process' network.
const NETWORK: &str = "/proc/self/ns/net";

/// Runs a group in Bochs. Each start of a machine first does what `first` says.
fn run_behind(files: &Folder, first: &str) -> Called {
    // So that Bochs is installed.
    line(&format!("run --l0 bochs --filter {GROUP}")).expect(0);
    let script = format!("#!/bin/sh\nif [ \"$1\" = -q ]; then\n{first}\nfi\nexec bochs \"$@\"\n");
    let (script, program) = (files.write("script", script), files.path("bochs"));
    // Written by another process: children of other tests that hold the file open would make it
    // busy.
    let installed = Command::new("install").args(["-m", "755", &script, &program]).status();
    assert!(installed.is_ok_and(|status| status.success()));
    call(["run", "--verbose", "--l0", "bochs", "--bochs", &program, "--filter", GROUP])
}

/// The same, but the first `times` machines end as if they had found no port.
fn run_without_a_port(times: usize) -> Called {
    let files = Folder::new();
    let counter = files.path("starts");
    let panic = "00000000000p[RFB   ] >>PANIC<< RFB could not bind any port between 5900 and 5949";
    run_behind(
        &files,
        &format!(
            "echo >> {counter}; if [ $(wc -l < {counter}) -le {times} ]; then echo '{panic}' > bochs.log; exit 1; fi"
        ),
    )
}

#[test]
fn bochs_that_finds_no_port_is_started_again_but_not_for_ever() {
    let met = run_without_a_port(2).expect(0);
    assert_eq!(met.err.matches("is started again").count(), 2, "{met:#?}");
    let taken = run_without_a_port(99).expect(3);
    assert!(taken.verdict().contains("no free TCP port from 5900 to 5949"), "{taken:#?}");
}

#[test]
fn bochs_has_a_network_of_its_own_where_it_may() {
    let files = Folder::new();
    let network = files.path("network");
    run_behind(&files, &format!("readlink {NETWORK} > {network}")).expect(0);
    let seen = String::from_utf8(files.read("network")).expect("a link");
    let own = read_link(NETWORK).expect("Linux");
    assert_eq!(seen.trim() != own.to_string_lossy(), own_network().is_some(), "{seen}");
}
