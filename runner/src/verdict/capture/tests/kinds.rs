//! Each kind of capture gives the right verdicts, and each kind of damage a crash that says what it
//! is.

use super::ways::WAYS;
use super::{Capture, FAIL, Limits, PASS, cut, read, verdicts, why};
use Verdict::{Crash, Error, Fail, Pass, Skip};
use spec::log::{CRC32, Verdict};

#[test]
fn every_way_to_capture_a_log_is_read() {
    for (name, way) in WAYS {
        assert_eq!(verdicts(&way(PASS)), [Pass], "{name}");
        assert_eq!(verdicts(&way(FAIL)), [Fail], "{name}");
        assert_eq!(verdicts(&way(cut(PASS))), [Crash], "{name}");
        assert_eq!(verdicts(&way(&PASS.replace("cases=32", "cases=33"))), [Crash], "{name}");
    }
}

#[test]
fn a_log_without_groups_is_read_too() {
    let (header, _) = PASS.split_once("1..5\n").unwrap();
    let ended =
        |lines: &str, sums: &str| format!("{header}{lines}# end {sums} cases=0 crc32=00000000\n");
    let skip = ended("1..0 # SKIP the CPU offers no VMX\n", "passed=0 failed=0 skipped=0 errors=0");
    let error = ended("# error bad option\n", "passed=0 failed=0 skipped=0 errors=1");
    for (name, way) in WAYS {
        for (log, verdict) in [(&skip, Skip), (&error, Error)] {
            assert_eq!(verdicts(&way(&changed(log, "boot=", "boot="))), [verdict], "{name}");
        }
    }
}

#[test]
fn every_boot_is_judged_in_every_way() {
    for (name, way) in WAYS {
        let boots = |logs: &[&str]| verdicts(&way(&logs.concat()));
        assert_eq!(boots(&[PASS, FAIL]), [Pass, Fail], "{name}");
        assert_eq!(boots(&[FAIL, "reboot: Restarting system\n", PASS]), [Fail, Pass], "{name}");
        assert_eq!(boots(&[cut(FAIL), PASS, PASS]), [Crash, Pass, Pass], "{name}");
        assert_eq!(boots(&[PASS, cut(FAIL)]), [Pass, Crash], "{name}");
    }
}

#[test]
fn a_restart_is_named() {
    for log in [PASS, FAIL] {
        let bytes = format!("{}{PASS}", cut(log));
        assert_eq!(
            why(&read(bytes.as_bytes())[0]),
            "the guest restarted before the log's end record"
        );
    }
}

#[test]
fn a_log_without_its_beginning_is_one_too() {
    let (_, rest) = FAIL.split_once("1..6\n").unwrap();
    for text in [format!("{rest}{PASS}"), FAIL.replacen("KTAP", "KTAQ", 1) + PASS] {
        let boots = read(text.as_bytes());
        assert!(
            why(&boots[0]).starts_with("the beginning of the log is missing"),
            "{}",
            why(&boots[0])
        );
        assert_eq!(verdicts(text.as_bytes()), [Crash, Pass]);
    }
    assert_eq!(verdicts(rest.as_bytes()), [Crash]);
}

#[test]
fn the_rest_of_a_log_is_found_in_every_way() {
    let rest = "not ok 6 filter.each.long-off\n";
    for (name, way) in WAYS {
        assert_eq!(verdicts(&way(&format!("{PASS}\n{rest}"))), [Pass, Crash], "{name}");
        assert_eq!(verdicts(&way(&format!("\n{rest}{PASS}"))), [Crash, Pass], "{name}");
    }
}

#[test]
fn logs_of_other_programs_are_no_logs() {
    let other = "KTAP version 1\n1..2\n    KTAP version 1\n    # Subtest: time\n    1..1\n    ok 1 time\nok 1 time\n";
    let talk =
        "root@host:~# grep 'KTAP version 1' log | head\n# a remark: ok 1 is a line of a log\n";
    assert_eq!(verdicts(format!("{other}{talk}{PASS}{other}{talk}").as_bytes()), [Pass]);
    assert_eq!(verdicts(talk.as_bytes()), [Crash]);
}

#[test]
fn what_cannot_be_read_says_what_it_is() {
    let stamped =
        |text: &str| text.lines().fold(String::new(), |all, line| all + "[ 1.0] " + line + "\n");
    let foreign = PASS.replace("1..5\n", "1..5\nclocksource: tsc\n");
    for (bytes, part) in [
        (
            stamped(&PASS.replace("cases=32", "cases=33")).into_bytes(),
            "each line has a prefix such as '[ 1.0] '",
        ),
        (
            stamped(&foreign).into_bytes(),
            "line 4 of the log holds no line of maskmatch's after a prefix",
        ),
        (foreign.into_bytes(), "line 4 of the log is not maskmatch's"),
        (PASS.replace("log=2", "log=1").into_bytes(), "format 1"),
        (b"BZh91AY&SY".to_vec(), "packed by bzip2: unpack it first"),
        (
            WAYS.iter().find(|(name, _)| *name == "gzip").unwrap().1(FAIL)[..300].to_vec(),
            "what gzip packed is damaged",
        ),
        (b"SeaBIOS\n".to_vec(), "holds no log of maskmatch"),
        (b"".to_vec(), "holds no log of maskmatch"),
    ] {
        let boots = read(&bytes);
        let boot = boots.last().unwrap();
        assert!(why(boot).contains(part), "{part}: {}", why(boot));
        assert_eq!(verdicts(&bytes).last(), Some(&Crash), "{part}");
    }
}

#[test]
fn limits_count_the_log_s_own_bytes() {
    let long = format!("{}\n{}{PASS}", "x".repeat(1 << 20), "noise\n".repeat(1 << 18));
    assert_eq!(verdicts(long.as_bytes()), [Pass]);
    let note = PASS.replace("1..5\n", &format!("1..5\n# note {}\n", "x".repeat(5000)));
    assert!(why(&read(note.as_bytes())[0]).contains("a line of more than 4096 bytes"));
    let limited = |limits, text: &str| {
        let mut capture = Capture::new(limits);
        capture.bytes(text.as_bytes(), &mut |_, _| {});
        let boots = capture.finish();
        why(boots.last().unwrap())
    };
    let few = Limits { other: 1 << 20, logs: 1 << 20, boots: 3, ..Limits::FILE };
    let notes = PASS.replace("1..5\n", &format!("1..5\n{}", "# note x\n".repeat(1 << 18)));
    for (text, part) in [
        ("noise\n".repeat(1 << 18), "more than 1 MiB came outside of a log"),
        ("x".repeat(2 << 20), "more than 1 MiB came outside of a log"),
        (notes, "the log has more than 1 MiB"),
        (PASS.repeat(4), "more than 3 logs"),
    ] {
        assert!(limited(few, &text).contains(part), "{part}: {}", limited(few, &text));
    }
    assert_eq!(limited(few, &PASS.repeat(3)), "");
}

/// A log with this change and a checksum that fits it.
fn changed(log: &str, from: &str, to: &str) -> String {
    assert!(log.contains(from), "{from}");
    let log = log.replacen(from, to, 1);
    let (body, end) = log.trim_start().rsplit_once("# end ").unwrap();
    let (sums, _) = end.rsplit_once("crc32=").unwrap();
    format!("\n{body}# end {sums}crc32={:08x}\n", CRC32.checksum(body.as_bytes()))
}

#[test]
fn a_log_that_contradicts_itself_is_damaged_though_its_checksum_fits() {
    assert_eq!(verdicts(changed(PASS, "tsc=20381", "tsc=20382").as_bytes()), [Pass]);
    let fail = "# fail id=host.apic:user-read-first:1,0,0 want=silent got=exit\n";
    let differs = "# differs host.apic exit0:ec^8 cases=1 first=1,0,0 in=user-read-first\n";
    let counts = "# counts host.apic cases=32 differing=0";
    for (from, to) in [
        // `# fail` or differences under an `ok`, of the group or of another that has no result.
        (counts, &*format!("{fail}{counts}")),
        (counts, &format!("{differs}{counts}")),
        ("# counts host.touch cases", &format!("{fail}# counts host.touch cases")),
        ("ok 5 host.device", &format!("{fail}ok 5 host.device")),
        ("# end ", &format!("{fail}# end ")),
        ("# end ", &format!("{differs}# end ")),
        // More differing cases than cases, sums, no cases.
        (
            &format!("{counts} "),
            "# differs host.apic others cases=99\n# counts host.apic cases=32 differing=99 ",
        ),
        ("cases=68", "cases=69"),
        (
            "cases=32 differing=0 exits=0 delivered=0 tsc=20381",
            "cases=0 differing=0 exits=0 delivered=0 tsc=20381",
        ),
        ("passed=3 failed=0", "passed=2 failed=1"),
        ("1..5", "1..6"),
        // A group twice, unknown names.
        ("ok 3 host.dirty", "ok 3 host.touch"),
        ("ok 3 host.dirty", "ok 3 host.dusty"),
        ("# progress host.touch", "# progress host.torch"),
    ] {
        assert_eq!(verdicts(changed(PASS, from, to).as_bytes()), [Crash], "{from} -> {to}");
    }
    for (from, to) in [
        ("in=super-read-user,", "in=super-reads-user,"),
        ("id=filter.each.long:super-read-user:", "id=filter.each.long:super-reads-user:"),
        ("id=filter.each.long:", "id=filter.each.long-ac:"),
    ] {
        assert_eq!(verdicts(changed(FAIL, from, to).as_bytes()), [Crash], "{from} -> {to}");
    }
}

#[test]
fn a_flood_of_different_lines_is_read_in_bounded_memory() {
    let lines = |kind: &str| {
        (0..100_000).fold(String::new(), |all, at| all + &kind.replace('N', &at.to_string()))
    };
    let notes =
        &read(changed(PASS, "1..5\n", &format!("1..5\n{}", lines("# note N\n"))).as_bytes())[0];
    assert_eq!((super::verdict(notes), notes.0.notes.len()), (Pass, 1000));
    assert_eq!(notes.0.left_out, 99_000);
    let groups = &read(
        PASS.replace("1..5\n", &format!("1..5\n{}", lines("# incomplete gN x cases=1\n")))
            .as_bytes(),
    )[0];
    assert!(groups.0.groups.len() < 1000);
    assert_eq!(super::verdict(groups), Crash);
}
