//! Results in all their forms, compared and collected.

use std::process::Command;

use serde_json::Value;

use crate::command::{call, finish, line, maskmatch};
use crate::files::Folder;

const QUICK: &str = "run --l0 bochs --profile quick --filter filter.*";

#[test]
fn one_result_can_go_to_standard_output_and_the_report_goes_aside() {
    let folder = Folder::new();
    let json = line(&format!("{QUICK} --json -")).expect(0);
    let value: Value = serde_json::from_str(&json.out).expect("nothing but JSON");
    assert_eq!(value["results"][0]["verdict"], "pass");
    assert!(json.err.contains("maskmatch: pass: "), "{json:#?}");
    let log = line(&format!("{QUICK} --log -")).expect(0);
    let checked = call(["check", &folder.write("log", &log.out)]).expect(0);
    assert!(checked.verdict().starts_with("maskmatch: pass: "), "{checked:#?}");
    let tap = line(&format!("{QUICK} --tap")).expect(0);
    assert!(tap.out.starts_with("TAP version 13\n1.."), "{tap:#?}");
    let both = line(&format!("{QUICK} --tap --log -")).expect(2);
    assert!(both.err.contains("only one result"), "{both:#?}");
}

#[test]
fn a_run_is_compared_with_another_and_shown_with_its_history() {
    let folder = Folder::new();
    let [log, html, junit] = ["log", "page.html", "junit.xml"].map(|name| folder.path(name));
    std::fs::create_dir(folder.path("results")).expect("a folder");
    let [good, bad] = ["results/1.json", "results/2.json"].map(|name| folder.path(name));
    call(QUICK.split(' ').chain(["--log", &log, "--json", &good])).expect(0);
    let same = call(["compare", &good, &good]).expect(0);
    assert_eq!(same.out, "maskmatch: the same\n");

    // Another host, which is known for nothing: what Bochs does wrong is its failure.
    let judged = call(["check", &log, "--host", "bochs 9.9", "--json", &bad]);
    if judged.code == 0 {
        // This Bochs does nothing wrong.
        return;
    }
    let worse = call(["compare", &good, &bad]).expect(1);
    assert!(
        worse.out.contains("rflags^10000") && worse.verdict().ends_with(" worse"),
        "{worse:#?}"
    );
    let better = call(["compare", &bad, &good]).expect(0);
    assert!(better.verdict().ends_with(" better"), "{better:#?}");

    let all = folder.path("results");
    let report = call(["report", &all, "--html", &html, "--junit", &junit]).expect(1);
    assert!(report.out.contains("bochs 9.9"), "{report:#?}");
    let page = String::from_utf8(folder.read("page.html")).expect("text");
    assert!(
        page.contains("History") && page.contains("right -&gt;") | page.contains("new"),
        "{page}"
    );
    assert!(
        String::from_utf8_lossy(&folder.read("junit.xml"))
            .contains("<testsuite name=\"bochs 9.9\"")
    );
}

#[test]
fn what_is_no_result_is_named_and_refused() {
    let folder = Folder::new();
    let other = folder.write("other.json", "{}");
    let missing = folder.path("missing");
    for arguments in [["compare", &other, &other], ["compare", &missing, &other]] {
        call(arguments).expect(2);
    }
    let empty = call(["report", &folder.path("")]).expect(2);
    assert!(empty.err.contains("has no results"), "{empty:#?}");
    call(["check", &other, "--html", &folder.path("x"), "--history", &missing]).expect(2);
}

#[test]
fn a_command_line_is_found_by_its_name() {
    let folder = Folder::new();
    folder.write(
        "maskmatch.toml",
        "[short]\nl0 = [\"bochs\"]\nfilter = [\"filter.each.long\"]\nprofile = \"quick\"\n\n[wrong]\nx = 1\n",
    );
    let below = folder.path("below");
    std::fs::create_dir(&below).expect("a folder");
    let with =
        |arguments: &[&str]| finish(maskmatch().current_dir(&below).arg("with").args(arguments));
    assert_eq!(with(&[]).expect(0).out, "short\nwrong\n");
    let run = with(&["short", "--profile", "standard"]).expect(0);
    assert!(run.verdict().starts_with("maskmatch: pass: 1 group"), "{run:#?}");
    for (name, part) in [("wrong", "--x"), ("none", "it has short, wrong")] {
        let refused = with(&[name]).expect(2);
        assert!(
            refused.err.contains("maskmatch.toml") && refused.err.contains(part),
            "{refused:#?}"
        );
    }
}

#[test]
fn a_bisection_leaves_out_what_is_no_verdict() {
    line("run --bisect --l0 bochs --profile quick --filter filter.each.long").expect(0);
    line("run --bisect --l0 bochs --profile exhaustive --limit 0.2").expect(125);
    line("lab --bisect --kernel-image /nonexistent --modules /nonexistent").expect(125);
}

#[test]
fn shells_and_man_take_what_is_written_for_them() {
    let folder = Folder::new();
    let script = folder.write("bash", line("completions bash").expect(0).out);
    finish(Command::new("bash").args(["-n", &script])).expect(0);
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(line(&format!("completions {shell}")).expect(0).out.contains("maskmatch"));
    }
    let pages = folder.path("man");
    call(["man", &pages]).expect(0);
    for page in ["maskmatch.1", "maskmatch-run.1", "maskmatch-compare.1"] {
        let text = String::from_utf8(folder.read(&format!("man/{page}"))).expect("text");
        assert!(text.contains(".SH OPTIONS") || text.contains(".SH SUBCOMMANDS"), "{text}");
    }
}
