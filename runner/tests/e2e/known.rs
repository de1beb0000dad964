//! Tables of the user's own, on a host that is wrong for certain: Bochs writes accessed flags where
//! EPT allows no writes, in every version.

use serde_json::Value;

use crate::command::{Called, call};
use crate::files::Folder;

const CASE: &str = "ept.long-ept:read-clean-pt:1,0,0";

const ROW: &str = r#"
[[row]]
name = "flag-through-ept"
hosts = ["bochs"]
reason = "It writes a flag where EPT allows none."
cases = ["ept.*:read-clean-*"]
differs = ["exit48>done"]
shows = { cases = ["ept.*:read-clean-*"] }
"#;

fn case(more: &[&str]) -> Called {
    call(["run", "--l0", "bochs", "--case", CASE, "--no-known"].iter().chain(more))
}

#[test]
fn a_row_of_the_user_s_turns_a_failure_of_a_host_into_known_and_back() {
    let folder = Folder::new();
    let failed = case(&[]).expect(1);
    for part in ["FAIL ept.long-ept: 1 of 1 cases", CASE, "exit48>done in 1 case: read-clean-pt"] {
        assert!(failed.out.contains(part), "{part}: {failed:#?}");
    }
    let table = folder.write("own.toml", ROW);
    let known = case(&["--known", &table]).expect(0);
    assert!(
        known.out.contains("known deviation flag-through-ept in 1 case: It writes a flag"),
        "{known:#?}"
    );
    let strict = case(&["--known", &table, "--strict"]).expect(1);
    assert!(
        strict.verdict().contains("flag-through-ept in 1 case of 1, a failure by --strict"),
        "{strict:#?}"
    );
    // Each of these is a row for something else.
    for (changed, to) in [
        ("\"bochs\"", "\"kvm\""),
        ("ept.*:read-clean-*", "ept.*:read-page"),
        ("exit48>done", "exit48:rip"),
    ] {
        let other = folder.write("other.toml", ROW.replace(changed, to));
        case(&["--known", &other]).expect(1);
    }
}

#[test]
fn a_row_that_had_to_show_and_did_not_is_told_and_a_failure_if_strict() {
    let folder = Folder::new();
    let table = folder.write(
        "own.toml",
        r#"
        [[row]]
        name = "cr2-lost"
        hosts = ["bochs"]
        reason = "Made up: no Bochs delivers a wrong CR2."
        cases = ["access.*:user-mov-read-np"]
        differs = ["delivered14:cr2"]
        shows = { cases = ["access.*:user-mov-read-np"], when = "faults" }
        "#,
    );
    let run = |probe: &str, more: &[&str]| {
        let case = format!("access.long:{probe}:0,0,0");
        let words = ["run", "--l0", "bochs", "--case", &case, "--no-known", "--known", &table];
        call(words.iter().chain(&["--json", &folder.path("json")]).chain(more))
    };
    let told = run("user-mov-read-np", &[]).expect(0);
    assert!(
        told.out
            .contains("UNEXPECTED PASS: known deviation cr2-lost had to show and did not: Bochs "),
        "{told:#?}"
    );
    assert_eq!(folder.result("json")["unexpected_passes"][0], "cr2-lost");
    let strict = run("user-mov-read-np", &["--strict"]).expect(1);
    assert!(
        strict.verdict().contains("cr2-lost did not show, a failure by --strict"),
        "{strict:#?}"
    );
    // Elsewhere it need not show.
    let other = run("user-mov-write-np", &["--strict"]).expect(0);
    assert!(!other.out.contains("cr2-lost"), "{other:#?}");
}

#[test]
fn what_a_row_asks_of_the_image_is_done_and_noted() {
    let folder = Folder::new();
    let row = "[[row]]\nname = \"made-up-hang\"\nhosts = [\"bochs\"]\nreason = \"Made up.\"\n\
               exclude = [\"event.long:int*\", \"inject.long:*\", \"filter.high.long:*\"]\noption = \"invvpid=yes\"\n";
    let (table, json) = (folder.write("own.toml", row), folder.path("json"));
    let run = |more: &[&str]| {
        let words = "run --l0 bochs --profile quick --filter filter.high.long --filter event.long --filter inject.long";
        let words = words.split(' ').chain(["--json", &json]).chain(more.iter().copied());
        (call(words).expect(0), folder.result("json"))
    };
    let (with, without) = (run(&["--known", &table]), run(&[]));
    for note in [
        "left out, since the host would not survive it: event.long:int* inject.long:* filter.high.long:*",
        "the image ran with invvpid=yes",
    ] {
        let note = format!("made-up-hang: {note}");
        assert!(with.0.out.contains(&format!("\nnote: {note}\n")), "{note}: {:#?}", with.0);
        assert!(
            with.1["notes"].as_array().expect("notes").iter().any(|told| *told == note),
            "{:#}",
            with.1
        );
        assert!(!without.0.out.contains(&note), "{:#?}", without.0);
    }
    let options = with.1["facts"]["options"].as_str().expect("options");
    assert!(
        options.contains("+exclude=event.long:int*+") && options.contains("+invvpid=yes+on=bochs,"),
        "{options}"
    );
    let group = |json: &Value, name: &str| {
        let mut groups = json["groups"].as_array().expect("groups").iter();
        groups.find(|group| group["name"] == name).expect(name).clone()
    };
    let cases = |json: &Value| group(json, "event.long")["cases"].as_u64().expect("it ran");
    assert!(cases(&with.1) > 0 && cases(&with.1) < cases(&without.1), "{:#}", with.1);
    for name in ["inject.long", "filter.high.long"] {
        assert_eq!(group(&without.1, name)["skip_reason"], Value::Null);
        assert_eq!(
            group(&with.1, name)["skip_reason"],
            "the option exclude= leaves out all of its cases"
        );
    }
}
