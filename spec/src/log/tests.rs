//! Checks that what is written is read, and that what was damaged on the way never passes.

use super::{BadLog, Cost, Counts, Line, Reader, Verdict, Writer};
use crate::manual::filter::Filter;
use crate::tally::Tally;
use proptest::prelude::*;
use std::format;
use std::string::String;
use std::vec::Vec;

const GROUP: &str = "filter.basic.long";
const COUNTS: Counts =
    Counts { cases: 10, differing: 0, exits: 4, delivered: 3, tsc: 99, digest: 0x0012_abcd };

fn log(body: impl FnOnce(&mut Writer<&mut String>)) -> String {
    let mut text = String::new();
    let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh cpu=GenuineIntel");
    body(&mut log);
    log.end();
    text
}

fn passing() -> String {
    log(|log| {
        log.plan(2);
        log.progress(&"filter.basic.long", 1, 2);
        log.result(1, &"filter.basic.long", &COUNTS);
        log.skip(2, &"filter.high.long", &"CPU lacks it");
    })
}

fn read(text: &str) -> Reader {
    let mut reader = Reader::default();
    for line in text.lines() {
        reader.line(line);
    }
    reader
}

fn verdict(text: &str) -> Verdict {
    read(text).verdict()
}

#[test]
fn verdicts_of_whole_logs() {
    assert_eq!(verdict(&passing()), Verdict::Pass);
    let failing = log(|log| {
        log.plan(1);
        fail(log);
        log.differs(&GROUP, &mut tally("exit0:rflags^10000", 1));
        log.result(1, &GROUP, &Counts { differing: 2, ..COUNTS });
    });
    assert_eq!(verdict(&failing), Verdict::Fail);
    assert_eq!(verdict(&log(|log| log.skip_all(&"no VMX"))), Verdict::Skip);
    assert_eq!(verdict(&log(|log| log.error(&"bad option"))), Verdict::Error);
    let erring = log(|log| {
        log.plan(3);
        log.result(1, &"filter.basic.long", &COUNTS);
        log.error(&"vector=13");
    });
    assert_eq!(verdict(&erring), Verdict::Error);
}

#[test]
fn the_writer_knows_the_verdict_that_a_reader_comes_to() {
    let bodies: [fn(&mut Writer<&mut String>); 4] = [
        |log| log.result(1, &GROUP, &COUNTS),
        |log| log.result(1, &GROUP, &Counts { differing: 1, ..COUNTS }),
        |log| log.skip(1, &GROUP, &"CPU lacks it"),
        |log| log.error(&"bad option"),
    ];
    let verdicts = bodies.map(|body| {
        let mut text = String::new();
        let mut log = Writer::begin(&mut text, "0.1.0", &"boot=pvh");
        body(&mut log);
        log.verdict()
    });
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail, Verdict::Skip, Verdict::Error]);
}

#[test]
fn an_error_of_several_lines_is_one_line_of_the_log() {
    let text = log(|log| log.error(&"L1 panicked: at l1/src/walk.rs:1:2:\nL2 does not start\r\n"));
    assert_eq!(verdict(&text), Verdict::Error);
    assert!(text.contains("# error L1 panicked: at l1/src/walk.rs:1:2: L2 does not start"));
}

fn fail(log: &mut Writer<&mut String>) {
    log.fail(&"filter.basic.long:user-read-user:1,0,0", &"exit,rflags=10002", &"exit,rflags=2");
}

fn tally(difference: &str, cases: u64) -> Tally<'static, &'static str> {
    let mut tally = Tally::new(std::boxed::Box::leak(std::boxed::Box::new([None; 2])));
    for probe in ["user-read-np-pte", "user-write-np-pte"] {
        tally.add(probe, 0, Filter::ALWAYS, &difference.parse().unwrap(), cases);
    }
    tally
}

#[test]
fn differences_come_back_as_written() {
    let mut tally = tally("exit0:rflags^10000", 3);
    tally.add_incomplete("unexpected-exit", 5);
    let text = log(|log| {
        log.plan(1);
        fail(log);
        log.differs(&GROUP, &mut tally);
        log.trace(&"a step");
        log.result(1, &GROUP, &Counts { cases: 11, differing: 11, ..COUNTS });
    });
    assert_eq!(verdict(&text), Verdict::Fail);
    let line = |start: &str| text.lines().find(|line| line.starts_with(start)).unwrap();
    let difference = Some("exit0:rflags^10000".parse().unwrap());
    let probes = "user-read-np-pte,user-write-np-pte";
    let differs =
        Line::Differs { group: GROUP, difference, cases: 6, filter: Some(Filter::ALWAYS), probes };
    assert_eq!(Line::parse(line("# differs")), Some(differs));
    let incomplete = Line::Incomplete { group: GROUP, word: "unexpected-exit", cases: 5 };
    assert_eq!(Line::parse(line("# incomplete")), Some(incomplete));
    assert_eq!(Line::parse(line("# trace")), Some(Line::Trace("a step")));
    let others =
        Line::Differs { group: GROUP, difference: None, cases: 4, filter: None, probes: "" };
    assert_eq!(Line::parse("# differs filter.basic.long others cases=4"), Some(others));
    assert_eq!(Line::parse("# differs filter.basic.long exit0 cases=4 first=1,0,0 in=x"), None);
}

#[test]
fn a_group_that_contradicts_itself_is_damaged() {
    let differing = Counts { differing: 2, ..COUNTS };
    let judged = |fails: usize, cases: Option<u64>, counts: Counts| {
        let text = log(|log| {
            log.plan(1);
            (0..fails).for_each(|_| fail(log));
            if let Some(cases) = cases {
                log.differs(&GROUP, &mut tally("exit0:rflags^10000", cases));
            }
            log.result(1, &GROUP, &counts);
        });
        read(&text).sound()
    };
    assert_eq!(judged(1, Some(1), differing), Ok(()));
    assert_eq!(judged(0, Some(1), differing), Ok(()), "the kind was reported in full further up");
    assert_eq!(judged(0, None, COUNTS), Ok(()));
    for (fails, cases, counts) in [
        (1, None, COUNTS),
        (1, None, differing),
        (1, Some(2), differing),
        (1, Some(1), COUNTS),
        (1, Some(6), Counts { differing: 12, ..COUNTS }),
    ] {
        assert_eq!(
            judged(fails, cases, counts),
            Err(BadLog::Contradiction),
            "{fails} {cases:?} {counts:?}"
        );
    }
    let text = log(|log| {
        log.plan(1);
        log.result(1, &GROUP, &COUNTS);
    });
    for (from, to) in [("# counts filter.basic", "# counts filter.high"), ("\nok 1", "\nnot ok 1")]
    {
        let crc =
            |text: &str| super::CRC32.checksum(&text.as_bytes()[1..text.find("# end").unwrap()]);
        let changed = text.replace(from, to);
        let changed =
            changed.replace(&format!("{:08x}", crc(&text)), &format!("{:08x}", crc(&changed)));
        assert_eq!(read(&changed).sound(), Err(BadLog::Contradiction), "{to}");
    }
}

#[test]
fn lines_come_back_as_written() {
    let text = passing();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(""));
    assert_eq!(Line::parse(lines.next().unwrap()), Some(Line::Version));
    assert!(matches!(
        Line::parse(lines.next().unwrap()),
        Some(Line::Maskmatch { version: "0.1.0", format: 2, facts: "boot=pvh cpu=GenuineIntel" })
    ));
    assert_eq!(Line::parse(lines.next().unwrap()), Some(Line::Plan(2)));
    assert_eq!(
        Line::parse(lines.next().unwrap()),
        Some(Line::Progress { group: "filter.basic.long", done: 1, of: 2 })
    );
    assert_eq!(
        Line::parse(lines.next().unwrap()),
        Some(Line::Counts { group: GROUP, counts: COUNTS })
    );
    assert_eq!(
        Line::parse(lines.next().unwrap()),
        Some(Line::Group { number: 1, group: GROUP, ok: true })
    );
    assert!(matches!(Line::parse(lines.next().unwrap()), Some(Line::Skip { number: 2, .. })));
}

#[test]
fn costs_come_back_as_written() {
    let counted = Cost { exits: 32, delivered: 0, tsc: 99, l0_exits: Some(64) };
    let uncounted = Cost { l0_exits: None, ..counted };
    let text = log(|log| {
        log.plan(1);
        log.cost(&"1,9,1", Some(&"user-read-np-pte"), &counted);
        log.cost(&"1,9,1", None, &uncounted);
        log.result(1, &"bench", &COUNTS);
    });
    assert_eq!(verdict(&text), Verdict::Pass);
    let costs: Vec<_> =
        text.lines().filter(|line| line.starts_with("# cost")).map(Line::parse).collect();
    let stimulus = Some("user-read-np-pte");
    assert_eq!(costs[0], Some(Line::Cost { filter: "1,9,1", stimulus, cost: counted }));
    assert_eq!(costs[1], Some(Line::Cost { filter: "1,9,1", stimulus: None, cost: uncounted }));
    assert_eq!(Line::parse("# cost 1,9,1 - exits=1 delivered=0 tsc=1"), None);
}

#[test]
fn noise_around_the_log_and_carriage_returns_are_ignored() {
    let text =
        format!("SeaBIOS\r\n\r\nBooting...\n{}\nreboot: done\n", passing().replace('\n', "\r\n"));
    assert_eq!(verdict(&text), Verdict::Pass);
}

#[test]
fn a_log_without_its_end_record_is_a_crash() {
    let text = passing();
    let cut = text.rsplit_once("# end").unwrap().0;
    assert_eq!(read(cut).sound(), Err(BadLog::Cut));
    assert_eq!(verdict(cut), Verdict::Crash);
    assert_eq!(read("").sound(), Err(BadLog::NoLog));
}

#[test]
fn every_flipped_bit_and_every_cut_is_seen() {
    let text = passing();
    for at in 0..text.len() {
        for bit in 0..7 {
            let mut bytes: Vec<u8> = text.clone().into();
            bytes[at] ^= 1 << bit;
            let damaged = String::from_utf8(bytes).unwrap();
            // The line feeds before and after the log may become anything.
            if at > 0 && at + 1 < text.len() {
                assert_eq!(verdict(&damaged), Verdict::Crash, "bit {bit} of byte {at}: {damaged}");
            }
        }
        assert_ne!(verdict(&text[..at.min(text.len() - 2)]), Verdict::Pass);
    }
}

#[test]
fn lost_doubled_and_foreign_lines_are_seen() {
    let text = passing();
    let lines: Vec<&str> = text.lines().collect();
    for at in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(at);
        assert_eq!(verdict(&without.join("\n")) == Verdict::Pass, at == 0);
        let mut foreign = lines.clone();
        foreign.insert(at, "[    0.1] clocksource: tsc");
        assert_eq!(verdict(&foreign.join("\n")) == Verdict::Pass, at <= 1);
        if at > 0 && at + 1 < lines.len() {
            let mut doubled = lines.clone();
            doubled.insert(at, lines[at]);
            assert_ne!(verdict(&doubled.join("\n")), Verdict::Pass);
        }
    }
}

#[test]
fn an_end_record_that_contradicts_the_lines_is_seen() {
    let text = passing();
    for (from, to) in
        [("passed=1", "passed=2"), ("cases=10 crc", "cases=11 crc"), ("skipped=1", "skipped=0")]
    {
        assert_eq!(read(&text.replace(from, to)).sound(), Err(BadLog::Contradiction), "{from}");
    }
    let short = log(|log| {
        log.plan(2);
        log.result(1, &"filter.basic.long", &COUNTS);
    });
    assert_eq!(read(&short).sound(), Err(BadLog::Contradiction));
}

#[test]
fn the_worst_verdict_is_the_greatest() {
    let order = [Verdict::Pass, Verdict::Skip, Verdict::Fail, Verdict::Error, Verdict::Crash];
    assert!(order.is_sorted());
}

proptest! {
    #[test]
    fn no_text_panics_or_passes(text: String) {
        prop_assert_eq!(verdict(&text), Verdict::Crash);
    }

    #[test]
    fn no_line_panics(line in "(ok|not ok|# (end|fail|differs|incomplete|counts|progress|maskmatch)|1\\.\\.)[ -~]{0,60}") {
        let _ = Line::parse(&line);
    }

    #[test]
    fn counts_round_trip(cases: u64, exits: u64, delivered: u64, tsc: u64, digest: u32, differing in 0u64..3) {
        let counts = Counts { cases, differing, exits, delivered, tsc, digest };
        let text = log(|log| log.result(1, &"g", &counts));
        let mut lines = text.lines().skip(3);
        prop_assert_eq!(Line::parse(lines.next().unwrap()), Some(Line::Counts { group: "g", counts }));
        let group = Line::Group { number: 1, group: "g", ok: differing == 0 };
        prop_assert_eq!(Line::parse(lines.next().unwrap()), Some(group));
    }
}
