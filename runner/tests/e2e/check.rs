//! `check` on logs that no run made.

use std::io::Write;
use std::process::Stdio;

use spec::log::{Counts, Writer};
use spec::manual::filter::Filter;
use spec::tally::Tally;

use crate::command::{call, line, maskmatch};
use crate::files::Folder;

const ID: &str = "filter.basic.long:user-write-np-pte:1,1f,6";

const GROUP: &str = "filter.basic.long";
const WANT: &str = "exit,info=80000b0e,ec=6,qual=1000,rip=40,rflags=10cd7,idt=0,cr2=0";

/// A log in which a case differs.
fn differing(facts: &str, difference: &str, got: &str) -> String {
    let mut text = String::new();
    let mut log = Writer::begin(&mut text, "0.1.0", &facts);
    log.plan(1);
    log.fail(&ID, &WANT, &got);
    let mut room = [None; 1];
    let mut tally = Tally::new(&mut room);
    tally.add(
        "user-write-np-pte",
        0,
        Filter::new(true, 0x1f, 6),
        &difference.parse().expect("a difference"),
        1,
    );
    log.differs(&GROUP, &mut tally);
    log.result(1, &GROUP, &Counts { cases: 9, differing: 1, exits: 8, ..Counts::default() });
    log.end();
    text
}

/// A log in which none does.
fn right(facts: &str) -> String {
    let mut text = String::new();
    let mut log = Writer::begin(&mut text, "0.1.0", &facts);
    log.plan(1);
    log.result(1, &GROUP, &Counts { cases: 9, exits: 8, ..Counts::default() });
    log.end();
    text
}

fn failing() -> String {
    let got = "delivered,ec=6,cr2=1000,rip=40,cs=23,rflags=10cd7";
    differing("boot=pvh hypervisor=KVMKVMKVM", "exit0>delivered14", got)
}

/// What Bochs before 2.8 does.
fn without_rf(facts: &str) -> String {
    differing(facts, "exit0:rflags^10000", &WANT.replace("rflags=10cd7", "rflags=cd7"))
}

#[test]
fn the_host_is_that_of_the_header_or_the_one_that_is_named() {
    let folder = Folder::new();
    let silent =
        folder.write("silent", without_rf("boot=multiboot2 hypervisor=none maxphyaddr=40"));
    let failed = call(["check", &silent]).expect(1);
    assert!(failed.verdict().contains("1 of 1 group failed, 1 of 9 cases"), "{failed:#?}");
    let named = call(["check", &silent, "--host", "bochs 2.7"]).expect(0);
    assert!(named.out.contains("known deviation rf0 in 1 case"), "{named:#?}");
    call(["check", &silent, "--host", "bochs 2.7", "--no-known"]).expect(1);
    call(["check", &silent, "--host", "bochs 3.0"]).expect(1);
    // In the lab it is the processor's, and strictness is about the host.
    let both = ["check", &silent, "--host", "bochs 2.7", "--host", "kvm 6.1 ept=1", "--strict"];
    call(both).expect(0);
    call(["check", &silent, "--host", "bochs 2.7", "--strict"]).expect(1);
    call(["check", &silent, "--host", "hyperv"]).expect(2);
    let recognised = "boot=pvh hypervisor=none vmx_basic=1d8100000000004 maxphyaddr=40";
    let recognised = folder.write("recognised", without_rf(recognised));
    let some_bochs = call(["check", &recognised]).expect(0);
    assert!(some_bochs.err.contains("does not say which"), "{some_bochs:#?}");
    assert!(some_bochs.verdict().ends_with(" on Bochs"), "{some_bochs:#?}");
    assert_eq!(call(["check", &recognised, "--host", "bochs 2.7"]).expect(0).err, "");
    let told = "boot=pvh hypervisor=none maxphyaddr=40 options=filter=filter.basic.long+on=bochs,2.7,cpu=corei7";
    let told = folder.write("told", without_rf(told));
    call(["check", &told]).expect(0);
    call(["check", &told, "--host", "bochs 3.0"]).expect(1);
}

#[test]
fn a_table_of_the_user_s_makes_a_failure_known_and_what_does_not_show_is_told() {
    let folder = Folder::new();
    let log = folder.write(
        "log",
        differing("boot=pvh maxphyaddr=40", "exit0:cr2^1000", &WANT.replace("cr2=0", "cr2=1000")),
    );
    let own = "[[row]]\nname = \"cr2-early\"\nhosts = [\"kvm >=6.1\"]\nreason = \"Made up.\"\n\
               cases = [\"filter.*:user-*\"]\ndiffers = [\"exit0:cr2\"]\n\
               shows = { cases = [\"filter.*:user-*\"], when = \"exits\" }\n";
    let table = folder.write("own.toml", own);
    let on = |version, more: &[&str]| {
        call(["check", &log, "--host", version].iter().chain(more).copied())
    };
    on("kvm 6.1", &[]).expect(1);
    let known = on("kvm 6.1", &["--known", &table]).expect(0);
    assert!(known.out.contains("known deviation cr2-early in 1 case: Made up."), "{known:#?}");
    on("kvm 6.1", &["--known", &table, "--strict"]).expect(1);
    on("kvm 5.10", &["--known", &table]).expect(1);
    let mended = folder.write("mended", own.replace("cr2\"]", "qual\"]"));
    let told = on("kvm 6.1", &["--known", &mended]).expect(1);
    assert!(told.out.contains("UNEXPECTED PASS: known deviation cr2-early"), "{told:#?}");
    let right = folder.write("right", right("boot=pvh maxphyaddr=40"));
    let on_right =
        |more: &[&str]| call(["check", &right, "--host", "kvm 6.1"].iter().chain(more).copied());
    let told = on_right(&["--known", &table]).expect(0);
    assert!(told.out.contains("UNEXPECTED PASS: known deviation cr2-early"), "{told:#?}");
    assert!(
        on_right(&["--known", &table, "--strict"])
            .expect(1)
            .verdict()
            .contains("cr2-early did not show")
    );
    on_right(&["--strict"]).expect(0);
    let wrong = folder.write("wrong", own.replace("differs", "difers"));
    let refused = on("kvm 6.1", &["--known", &wrong]).expect(2);
    for part in ["wrong: row cr2-early", "difers"] {
        assert!(refused.err.contains(part), "{refused:#?}");
    }
    on("kvm 6.1", &["--known", "/nowhere"]).expect(2);
}

#[test]
fn a_failure_is_shown_with_all_that_one_needs() {
    let folder = Folder::new();
    let checked =
        call(["check", &folder.write("log", failing()), "--json", &folder.path("json")]).expect(1);
    for part in [
        ID,
        "a VM exit to L1 did not happen",
        "a #PF in L2 with error code 0x6 happened, and must not",
        "conclusion: a page fault that L1 wants is delivered to L2; in 1 of 1 failing group",
        "maskmatch replay filter.basic.long:user-write-np-pte:1,1f,6",
    ] {
        assert!(checked.out.contains(part), "{part}: {checked:#?}");
    }
    assert_eq!(
        checked.verdict(),
        "maskmatch: fail: 1 of 1 group failed, 1 of 9 cases on KVMKVMKVM"
    );
    let json = folder.result("json");
    assert_eq!(json["exit_code"], 1);
    assert_eq!(json["conclusion"]["causes"], serde_json::json!([]));
    assert_eq!(json["end"], serde_json::Value::Null);
}

#[test]
fn every_boot_of_a_capture_is_judged_and_the_worst_counts() {
    let folder = Folder::new();
    let (right, wrong) = (right("boot=pvh"), failing());
    let boots =
        format!("{right}{wrong}reboot: Restarting system\r\n{}{right}", &right[..right.len() / 2]);
    let json = folder.path("json");
    let checked = call(["check", &folder.write("log", boots), "--json", &json]).expect(4);
    for part in [
        "boot 1 of 4: pass: 1 group, 9 cases\n",
        "boot 2 of 4: fail: 1 of 1 group failed, 1 of 9 cases\n",
        "boot 3 of 4: crash: the guest restarted before the log's end record",
        "boot 4 of 4: pass: ",
        "maskmatch: crash: boot 3 of 4: the guest restarted",
    ] {
        assert!(checked.out.contains(part), "{part}: {checked:#?}");
    }
    let boots = &folder.result("json")["boots"];
    assert_eq!((boots.as_array().map(Vec::len), &boots[1]["verdict"]), (Some(4), &"fail".into()));
    let two = folder.write("two", right + &wrong);
    assert!(
        call(["check", &two]).expect(1).verdict().starts_with("maskmatch: fail: boot 2 of 2: ")
    );
}

#[test]
fn a_plan_that_is_not_that_of_the_options_is_no_answer() {
    let folder = Folder::new();
    let of = |options: &str| {
        let log = folder.write("log", right(&format!("boot=pvh maxphyaddr=40 options={options}")));
        call(["check", &log])
    };
    for (options, why) in [
        ("profile=quick", "its options select"),
        (
            "filter=filter.high.long",
            "group filter.basic.long is where its options want filter.high.long",
        ),
        ("filter=filter.basic.long", "has 9 cases, and the plan has"),
        ("bench=yes", "want bench"),
    ] {
        let checked = of(options).expect(4);
        assert!(checked.verdict().contains(why), "{checked:#?}");
    }
    of("case=filter.basic.long:user-read-user:1,0,0").expect(0);
    of("filter=filter.basic.long+exclude=filter.*:super-*").expect(0);
}

#[test]
fn what_a_log_brings_is_shown_and_not_obeyed() {
    let folder = Folder::new();
    let mut text = String::new();
    let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh hypervisor=\u{1b}[2J\u{202e}FAKE");
    log.plan(1);
    log.note(&"\rmaskmatch: pass: all is well\u{1b}[8m \u{9b}2J");
    log.result(1, &GROUP, &Counts { cases: 9, ..Counts::default() });
    log.end();
    let checked =
        call(["check", &folder.write("log", text), "--json", &folder.path("json")]).expect(0);
    for (file, text) in [("report", checked.out.into_bytes()), ("json", folder.read("json"))] {
        let text = String::from_utf8(text).expect("UTF-8");
        let obeyed = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!text.contains(obeyed) && text.contains("all is well"), "{file}: {text}");
    }
}

#[test]
fn a_packed_capture_with_a_stamp_on_each_line_is_read() {
    let folder = Folder::new();
    let stamp = |(at, line)| format!("[{at:5}.000] {line}\r\n");
    let stamped: String = failing().lines().enumerate().map(stamp).collect();
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(stamped.as_bytes()).expect("memory can be written");
    call(["check", &folder.write("log.xz", encoder.finish().expect("it ends"))]).expect(1);
}

#[test]
fn standard_input_is_read_too() {
    let mut child = maskmatch()
        .args(["check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(failing().as_bytes())
        .expect("the log fits a pipe");
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
    for (name, bytes) in
        [("empty", &b""[..]), ("noise", &noise), ("long", &long), ("half", b"KTAP version 1\n1..")]
    {
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
