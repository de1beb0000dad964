//! Machines on which something is missing.

use crate::command::{finish, maskmatch};
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
