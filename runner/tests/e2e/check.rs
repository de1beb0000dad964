//! `check` on logs that no run made.

use std::io::Write;
use std::process::Stdio;

use spec::log::{Counts, Writer};

use crate::command::{call, line, maskmatch};
use crate::files::Folder;

const ID: &str = "filter.basic.long:user-write-np-pte:1,1f,6";

fn failing() -> String {
    let mut text = String::new();
    let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh hypervisor=KVMKVMKVM");
    log.plan(1);
    let want = "exit,info=80000b0e,ec=6,qual=1000,rip=40,rflags=10cd7,idt=0,cr2=0";
    log.fail(&ID, &want, &"delivered,ec=6,cr2=1000,rip=40,cs=23,rflags=10cd7");
    log.cause(&"filter.basic.long", &"none-exits");
    log.result(1, &"filter.basic.long", &Counts { cases: 9, failed: 1, ..Counts::default() });
    log.end();
    text
}

#[test]
fn a_failure_is_shown_with_all_that_one_needs() {
    let folder = Folder::new();
    let checked = call(["check", &folder.write("log", failing()), "--json", &folder.path("json")]).expect(1);
    for part in [
        ID,
        "a VM exit to L1 did not happen",
        "a #PF in L2 with error code 0x6 happened, unwanted",
        "suspected cause: the host gives no fault to L1",
        "maskmatch replay filter.basic.long:user-write-np-pte:1,1f,6",
    ] {
        assert!(checked.out.contains(part), "{part}: {checked:#?}");
    }
    assert_eq!(checked.verdict(), "maskmatch: fail: 1 of 1 group failed, 1 of 9 cases on KVMKVMKVM");
    let json = folder.json("json");
    assert_eq!(json["exit_code"], 1);
    assert_eq!(json["groups"][0]["suspects"][0], "none-exits");
    assert_eq!(json["end"], serde_json::Value::Null);
}

#[test]
fn standard_input_is_read_too() {
    let mut child = maskmatch()
        .args(["check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("a pipe").write_all(failing().as_bytes()).expect("the log fits a pipe");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_console_around_the_log_is_fine() {
    let folder = Folder::new();
    let text = format!("SeaBIOS\r\n\r\n{}reboot: Power down\r\n", failing().replace('\n', "\r\n"));
    call(["check", &folder.write("log", text)]).expect(1);
}

#[test]
fn what_is_no_log_is_a_crash_and_never_a_panic() {
    let folder = Folder::new();
    let noise: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
    let long = vec![b'x'; 1 << 20];
    for (name, bytes) in [("empty", &b""[..]), ("noise", &noise), ("long", &long), ("half", b"KTAP version 1\n1..")] {
        let checked = call(["check", &folder.write(name, bytes)]).expect(4);
        assert!(checked.verdict().starts_with("maskmatch: crash: "), "{checked:#?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_usage_error() {
    let checked = line("check /nonexistent/log").expect(2);
    assert_eq!(checked.err.lines().count(), 1, "{checked:#?}");
    line("check /").expect(2);
}
