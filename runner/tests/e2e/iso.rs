//! The image without the runner: the ISO image in a Bochs with a BIOS and a CD drive, and the log
//! that it leaves.

use serde_json::Value;

use crate::bios;
use crate::command::{Called, call};
use crate::files::Folder;

#[test]
fn check_says_of_a_log_that_the_iso_image_wrote_what_run_says() {
    let folder = Folder::new();
    let json = folder.path("run.json");
    let run = call(["run", "--l0", "bochs", "--profile", "quick", "--json", &json]).expect(0);
    let run_json = folder.result("run.json");
    call(["image", "--iso", &folder.path("cd.iso"), "--cmdline", "profile=quick"]).expect(0);
    let model = run_json["processor"]["parameters"]["cpu"].as_str().expect("a model");
    let log = bios::boot(&folder, model, bios::CD);
    let header =
        String::from_utf8_lossy(&folder.read("log")).lines().nth(2).unwrap_or_default().to_string();
    assert!(header.ends_with(" options=profile=quick"), "nobody named the host: {header}");

    // The header says that it is Bochs, not which.
    let checked = call(["check", &log, "--json", &folder.path("checked.json")]).expect(0);
    assert!(
        run.verdict().starts_with(checked.verdict()),
        "the same but for the version: {checked:#?}\n{run:#?}"
    );
    assert!(checked.verdict().ends_with(" on Bochs"), "{checked:#?}");
    assert!(checked.err.contains("--host 'bochs 2.7'"), "{checked:#?}");
    let checked_json = folder.result("checked.json");
    assert_eq!(checked_json["processor"]["version"], Value::Null);
    assert_same(
        &checked_json,
        &run_json,
        &["name", "verdict", "cases", "failed", "known", "digest", "skip_reason"],
    );

    let [major, minor] =
        [0, 1].map(|at| run_json["processor"]["version"][at].as_u64().expect("a number"));
    let version = format!("bochs {major}.{minor}");
    let named = |more: &[&str], code| -> Called {
        let words = ["check", &log, "--host", &version, "--json", &folder.path("named.json")];
        call(words.iter().chain(more)).expect(code)
    };
    assert!(!named(&[], 0).err.contains("--host"));
    assert_same(
        &folder.result("named.json"),
        &run_json,
        &["name", "verdict", "differences", "known_deviations"],
    );
    named(&["--strict"], 1);
    named(&["--no-known"], 1);
}

/// Two results say the same of each group in these fields.
#[track_caller]
pub fn assert_same(one: &Value, other: &Value, fields: &[&str]) {
    let of_groups = |json: &Value| -> Vec<Vec<Value>> {
        let groups = json["groups"].as_array().expect("groups");
        groups
            .iter()
            .map(|group| fields.iter().map(|field| group[*field].clone()).collect())
            .collect()
    };
    assert_eq!(of_groups(one), of_groups(other));
}
