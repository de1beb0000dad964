//! A run that is shared out: parts, what is kept of them, and their results as one.

use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::command::{line, maskmatch};
use crate::files::Folder;

/// Groups that pass, that differ by known deviations, and that are skipped.
const BOCHS: &str = "run --l0 bochs --profile quick --filter filter.each.* --filter filter.basic.long \
                     --filter host.* --filter event.long --filter state.long --filter access.long";
/// Real KVM, where nx-stale shows with ept=0.
const LAB: &str = "lab --param ept=1 --param ept=0 --filter filter.each.long --filter host.touch \
                   --filter filter.each.long-nx0 --filter access.long --filter smp.filters";

/// A row that does not show, and so is an unexpected pass.
const ROW: &str = r#"
[[row]]
name = "never"
hosts = ["bochs", "kvm"]
reason = "It is made up."
cases = ["filter.*:*"]
differs = ["exit0:cr2"]
shows = { cases = ["filter.*:*"], when = "exits" }
"#;

/// What does not depend on when something ran.
pub fn lasting(files: &Folder, name: &str) -> Value {
    let mut json = files.json(name);
    let forget = |value: &mut Value, keys: &[&str]| {
        for key in keys {
            value.as_object_mut().expect("an object").remove(*key).expect("the key is there");
        }
    };
    forget(&mut json, &["made", "command"]);
    for result in json["results"].as_array_mut().expect("results") {
        forget(result, &["made", "instructions", "seconds"]);
        for group in result["groups"].as_array_mut().expect("groups") {
            forget(group, &["tsc"]);
        }
    }
    json
}

/// Runs a command line at once and in four parts, each with a folder of its own, and compares.
fn four_parts_are_one(run: &str) -> Folder {
    let files = Folder::new();
    let known = files.write("own.toml", ROW);
    let (kept, one, all) = (files.path("kept"), files.path("one.json"), files.path("all.json"));
    let whole = line(&format!("{run} --known {known} --json {one}")).expect(0);
    assert!(whole.out.contains("UNEXPECTED PASS"), "{whole:#?}");
    for part in 1..=4 {
        let folder = format!("{kept}/{part}");
        line(&format!("{run} --partition hash:{part}/4 --results {folder}")).expect(0);
    }
    let called = line(&format!("gather {kept} --known {known} --json {all}")).expect(0);
    assert_eq!(called.verdict(), whole.verdict());
    assert_eq!(lasting(&files, "all.json"), lasting(&files, "one.json"));
    files
}

#[test]
fn four_parts_on_bochs_gathered_are_one_run() {
    let files = four_parts_are_one(BOCHS);
    let kept = files.path("kept");
    let called = line(&format!("gather {kept}/1 {kept}/2 {kept}/4")).expect(3);
    assert!(called.verdict().contains("no record has"), "{called:#?}");
    // Another way to cut the same run, and another run.
    for (more, why) in [
        ("--partition hash:1/3", "two records have group filter."),
        ("--partition hash:1/4 --memory 512", "the records are of different runs"),
    ] {
        let other = files.path(&why.replace(' ', "-"));
        line(&format!("{BOCHS} {more} --results {other}")).expect(0);
        let called = line(&format!("gather {kept} {other}")).expect(2);
        assert!(called.err.contains(why), "{called:#?}");
    }
    for bad in ["hash:5/4", "hash:0/4", "hash:1/0", "count:1/4", "1/4"] {
        let called = line(&format!("{BOCHS} --partition {bad}")).expect(2);
        assert!(called.err.contains("a part is written hash:I/N"), "{called:#?}");
    }
    let empty = files.path("empty");
    std::fs::create_dir(&empty).expect("a folder");
    line(&format!("gather {empty}")).expect(2);
    line(&format!("gather {empty}/none")).expect(2);
}

#[test]
fn four_parts_on_real_kvm_gathered_are_one_run() {
    four_parts_are_one(LAB);
}

/// Starts a command line.
fn started(words: &str) -> Child {
    let mut command = maskmatch();
    command.args(words.split_ascii_whitespace()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

fn records(folder: &str) -> usize {
    let all = std::fs::read_dir(folder).into_iter().flatten().flatten();
    all.filter(|file| file.file_name().to_string_lossy().ends_with(".record.json")).count()
}

#[test]
fn a_run_that_was_killed_goes_on_where_it_was() {
    let files = Folder::new();
    let (kept, one, all) = (files.path("kept"), files.path("one.json"), files.path("all.json"));
    // Each set has a boot of its own.
    let run = "lab --profile standard --jobs 1 --param ept=1 --param ept=0 --filter host.touch";
    line(&format!("{run} --json {one}")).expect(0);
    let resumed = format!("{run} --results {kept} --resume --json {all}");
    let mut killed = started(&resumed);
    while records(&kept) == 0 {
        assert!(killed.try_wait().expect("its state is known").is_none(), "it still runs");
        sleep(Duration::from_millis(5));
    }
    killed.kill().expect("it runs");
    killed.wait().expect("it ends");
    line(&format!("gather {kept}")).expect(3);
    for (done, boots) in [("1 of 2 jobs were done before", 1), ("2 of 2 jobs", 0)] {
        let called = line(&resumed).expect(0);
        assert!(called.err.contains(done), "{called:#?}");
        assert_eq!(called.err.matches("the lab is over").count(), boots, "{called:#?}");
        assert_eq!(lasting(&files, "all.json"), lasting(&files, "one.json"));
    }
    line(&format!("gather {kept} --json {all}")).expect(0);
    assert_eq!(lasting(&files, "all.json"), lasting(&files, "one.json"));
    // A file that is cut is no record.
    let record = std::fs::read_dir(&kept).expect("records").flatten().next().expect("one");
    let text = std::fs::read_to_string(record.path()).expect("it is read");
    std::fs::write(record.path(), &text[..text.len() / 2]).expect("it is written");
    for words in [format!("gather {kept}"), resumed] {
        let called = line(&words).expect(2);
        assert!(called.err.contains("cut off or damaged"), "{called:#?}");
    }
}

#[test]
fn a_plan_has_every_group_once_and_boots_nothing() {
    let jobs = |more: &str| -> Vec<(u64, u64)> {
        let called = line(&format!("run --l0 bochs --profile standard --plan {more}")).expect(0);
        let plan: Value = serde_json::from_str(&called.out).expect("JSON");
        let number = |job: &Value, key: &str| job[key].as_u64().expect("a number");
        let jobs = plan["jobs"].as_array().expect("jobs").iter();
        jobs.map(|job| (number(job, "groups"), number(job, "instructions"))).collect()
    };
    let all = jobs("");
    let parts: Vec<_> =
        (1..=3).flat_map(|part| jobs(&format!("--partition hash:{part}/3"))).collect();
    assert_eq!((all.len(), parts.len()), (1, 3));
    let sum = |of: fn(&(u64, u64)) -> u64| parts.iter().map(of).sum::<u64>();
    assert_eq!(all[0], (sum(|job| job.0), sum(|job| job.1)));
}
