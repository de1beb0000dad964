//! `list` and `explain`.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::command::{call, line, maskmatch};
use crate::files::Folder;

#[test]
fn case_ids_are_unique_and_the_same_each_time() {
    let listed = line("list --cases --profile quick").expect(0);
    let ids: HashSet<&str> = listed.out.lines().collect();
    assert_eq!(ids.len(), listed.out.lines().count());
    assert_eq!(line("list --cases --profile quick").out, listed.out);
    let overview = line("list --profile quick").expect(0);
    let total: String =
        overview.out.lines().last().unwrap_or_default().chars().filter(|c| *c != ',').collect();
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
fn filters_and_exclusions_may_be_repeated_and_list_and_image_agree_on_them() {
    let groups = "--filter filter.each.long --filter host.* --filter event.long --profile quick";
    let exclude = "--exclude host.touch --exclude host.d* --exclude filter.each.long:user-* --exclude event.*:int*:1,*";
    let listed = |options: &str| {
        let listed = line(&format!("list --cases {options}")).expect(0);
        listed.out.lines().map(str::to_string).collect::<Vec<_>>()
    };
    let (all, some) = (listed(groups), listed(&format!("{groups} {exclude}")));
    let of = |ids: &[String], start: &str| ids.iter().filter(|id| id.starts_with(start)).count();
    for group in [
        "filter.each.long:",
        "host.touch:",
        "host.dirty:",
        "host.apic:",
        "host.device:",
        "event.long:",
    ] {
        assert!(of(&all, group) > 0, "{group}");
    }
    assert_eq!(of(&some, "host."), of(&all, "host.apic:"));
    assert_eq!(of(&some, "filter."), of(&all, "filter.each.long:super-"));
    let is_left = |id: &&String| {
        id.starts_with("event.long:") && !(id.contains(":int") && id.contains(":1,"))
    };
    let left: Vec<&String> = all.iter().filter(is_left).collect();
    assert!(
        left.iter().any(|id| id.contains(":int")) && left.len() < of(&all, "event."),
        "both kinds are there"
    );
    assert_eq!(some.iter().filter(|id| id.starts_with("event.")).collect::<Vec<_>>(), left);

    let files = Folder::new();
    line(&format!("run --l0 bochs {groups} {exclude} --json {}", files.path("json"))).expect(0);
    let json = files.result("json");
    let ran: Vec<(&str, usize)> = json["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .map(|group| {
            (
                group["name"].as_str().expect("a name"),
                group["cases"].as_u64().expect("it ran") as usize,
            )
        })
        .collect();
    let wanted = ["filter.each.long", "host.apic", "event.long"]
        .map(|name| (name, of(&some, &format!("{name}:"))));
    assert_eq!(ran, wanted);
    let overview = line(&format!("list {groups} {exclude}")).expect(0);
    let total = format!("3 groups, {} cases in profile quick", some.len());
    assert_eq!(overview.out.lines().last(), Some(total.as_str()));
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
    BufReader::new(child.stdout.take().expect("a pipe"))
        .read_line(&mut first)
        .expect("a line comes");
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
