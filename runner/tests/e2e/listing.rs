//! `list` and `explain`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::command::{call, line, maskmatch};

#[test]
fn case_ids_are_unique_and_the_same_each_time() {
    let listed = line("list --cases --profile quick").expect(0);
    let ids: HashSet<&str> = listed.out.lines().collect();
    assert_eq!(ids.len(), listed.out.lines().count());
    assert_eq!(line("list --cases --profile quick").out, listed.out);
    let overview = line("list --profile quick").expect(0);
    let total: String = overview.out.lines().last().unwrap_or_default().chars().filter(|c| *c != ',').collect();
    assert!(total.contains(&format!(" {} cases in profile quick", ids.len())), "{overview:#?}");
}

#[test]
fn known_deviations_are_listed_as_the_document_has_them() {
    let listed = line("list --known").expect(0);
    assert_eq!(listed.out, include_str!("../../../docs/known-deviations.md"));
    line("list --known --cases").expect(2);
}

#[test]
fn a_filter_and_the_address_width_choose() {
    let some = line("list --filter filter.high.long --stimuli").expect(0);
    assert!(some.out.contains("rsvd-top-pte"));
    assert!(!some.out.contains("long-ac"));
    let wide = line("list --filter filter.high.long --stimuli --maxphyaddr 52").expect(0);
    assert!(!wide.out.contains("rsvd-top-pte"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = maskmatch()
        .args(["list", "--cases", "--profile", "exhaustive"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line comes");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn what_is_listed_can_be_explained() {
    let listed = line("list --cases --profile quick --filter filter.basic.long-nx0").expect(0);
    for id in listed.out.lines().step_by(97) {
        let explained = call(["explain", id]).expect(0);
        assert!(explained.out.contains("Must happen: "), "{explained:#?}");
    }
}
