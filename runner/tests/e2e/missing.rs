//! Machines on which something is missing.

use std::process::Command;

use crate::command::{call, finish, line, maskmatch};
use crate::files::Folder;

#[test]
fn without_bochs_and_without_leave_to_install_there_is_a_command_to_paste() {
    let empty = Folder::new();
    let json = empty.path("json");
    let mut command = maskmatch();
    command.env("PATH", empty.path("")).env("MASKMATCH_NO_INSTALL", "1");
    let run = finish(command.args(["run", "--l0", "bochs", "--json", &json])).expect(3);
    assert_eq!(run.out.lines().count(), 1, "{run:#?}");
    assert!(run.verdict().starts_with("maskmatch: skip: "), "{run:#?}");
    assert!(run.verdict().contains("apt-get install"), "{run:#?}");
    assert_eq!(empty.json("json")["exit_code"], 3);
}

#[test]
fn doctor_tells_what_is_missing_and_installs_nothing() {
    let empty = Folder::new();
    let mut command = maskmatch();
    let told = finish(command.env("PATH", empty.path("")).arg("doctor"));
    assert!(told.out.contains("no   bochs"), "{told:#?}");
    assert!(told.out.contains("apt-get install"), "{told:#?}");
    // Only KVM needs no other program.
    let kvm = told.out.lines().any(|line| line.starts_with("yes  kvm"));
    told.expect(if kvm { 0 } else { 3 });
}

/// Bochs, but that its first `times` machines end as if they had found no port for the display.
fn bochs_without_a_port(files: &Folder, times: usize) -> String {
    let panic = "00000000000p[RFB   ] >>PANIC<< RFB could not bind any port between 5900 and 5949";
    let counter = files.path("starts");
    let script = format!(
        "#!/bin/sh\n\
         if [ \"$1\" = -q ] && echo >> {counter} && [ $(wc -l < {counter}) -le {times} ]; then\n\
         echo '{panic}' > bochs.log; exit 1\n\
         fi\n\
         exec bochs \"$@\"\n"
    );
    let (script, program) = (files.write("script", script), files.path("bochs"));
    // By another process: children of other tests that hold this one's file open would make it busy.
    let installed = Command::new("install").args(["-m", "755", &script, &program]).status();
    assert!(installed.is_ok_and(|status| status.success()));
    program
}

#[test]
fn bochs_that_finds_no_port_for_its_display_is_started_again_but_not_for_ever() {
    const GROUP: [&str; 4] = ["run", "--verbose", "--filter", "filter.each.long-ac"];
    line("run --l0 bochs --filter filter.each.long-ac").expect(0);
    let files = Folder::new();
    let again = "is started again";
    let met =
        call(GROUP.iter().copied().chain(["--l0", "bochs", "--bochs", &bochs_without_a_port(&files, 2)])).expect(0);
    assert_eq!(met.err.matches(again).count(), 2, "{met:#?}");
    let files = Folder::new();
    let taken = call(GROUP.iter().copied().chain(["--l0", "bochs", "--bochs", &bochs_without_a_port(&files, 99)]));
    let taken = taken.expect(3);
    assert!(taken.verdict().contains("no free TCP port from 5900 to 5949"), "{taken:#?}");
}
