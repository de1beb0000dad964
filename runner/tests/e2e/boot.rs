//! Real boots.

use std::time::{Duration, Instant};

use serde_json::Value;
use spec::catalogue::group::Group;
use spec::catalogue::options::Options;
use spec::catalogue::plan::Profile;
use spec::log::cost::{FAULTS, FILTERS as FILTERS_PRICED, stimuli};
use spec::manual::filter::Filter;
use spec::walk::setting::BASE;

use crate::command::{call, line};
use crate::files::Folder;

const CASE: &str = "filter.basic.long:user-write-np-pte:1,1f,6";

/// The groups that run anywhere, and how many cases of them the quick profile has on a processor
/// like Bochs'.
const FILTERS: &str = "filter.*";
const ENLIGHTENED: &str = "*evmcs*";

fn quick_groups() -> Vec<Group> {
    Group::selected(
        Options::parse(&format!("profile=quick filter={FILTERS} exclude={ENLIGHTENED}"))
            .expect("options"),
    )
    .collect()
}

fn quick_cases() -> usize {
    quick_groups().iter().map(|group| group.case_count(Profile::Quick, 40)).sum()
}

fn cases(json: &Value) -> u64 {
    json["groups"]
        .as_array()
        .expect("groups")
        .iter()
        .filter_map(|group| group["cases"].as_u64())
        .sum()
}

#[test]
fn the_quick_profile_passes_on_bochs_and_check_agrees() {
    let folder = Folder::new();
    let (log, json) = (folder.path("log"), folder.path("json"));
    let quick = ["run", "--l0", "bochs", "--profile", "quick", "--filter", FILTERS];
    let quick = quick.into_iter().chain(["--exclude", ENLIGHTENED]);
    let run = call(quick.chain(["--log", &log, "--json", &json])).expect(0);
    let groups = quick_groups().len();
    assert!(run.verdict().starts_with(&format!("maskmatch: pass: {groups} groups, ")), "{run:#?}");
    assert!(run.verdict().contains("on Bochs "), "{run:#?}");
    assert_eq!(
        run.err.lines().filter(|line| line.contains("] filter.")).count(),
        groups,
        "a line per group"
    );
    let result = folder.result("json");
    assert_eq!(result["verdict"], "pass");
    assert_eq!(result["exit_code"], 0);
    assert_eq!(result["log_sound"], true);
    assert!(result["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0));
    assert_eq!(cases(&result), quick_cases() as u64);

    let checked = call(["check", &log, "--json", &folder.path("checked")]).expect(0);
    assert!(
        run.verdict().starts_with(checked.verdict()),
        "the same but for the host: {checked:#?}"
    );
    assert_eq!(folder.result("checked")["groups"], result["groups"]);

    let bytes = folder.read("log");
    let middle = bytes.len() / 2;
    let mut flipped = bytes.clone();
    flipped[middle] ^= 1;
    let flipped = call(["check", &folder.write("flipped", flipped)]).expect(4);
    assert!(flipped.verdict().starts_with("maskmatch: crash: "), "{flipped:#?}");
    let cut = call(["check", &folder.write("cut", &bytes[..middle])]).expect(4);
    assert!(cut.verdict().contains("no end record"), "{cut:#?}");
    assert!(cut.verdict().contains("last seen"), "{cut:#?}");
    assert!(cut.out.contains("filter.basic.long "), "what was seen is shown: {cut:#?}");
}

#[test]
fn without_a_command_the_best_host_runs_and_the_choice_is_told() {
    let run = line("--filter filter.each.long").expect(0);
    let told = ["the host is this machine's KVM", "the host is the lab"];
    assert!(told.iter().any(|why| run.err.contains(why)), "{run:#?}");
    assert!(run.verdict().starts_with("maskmatch: pass: "), "{run:#?}");
    assert!(run.verdict().contains("KVM of Linux"), "{run:#?}");
}

#[test]
fn one_case_runs_alone() {
    let folder = Folder::new();
    for command in [&["run", "--case", CASE][..], &["replay", CASE]] {
        let json = folder.path("json");
        let run = call(command.iter().copied().chain(["--l0", "bochs", "--json", &json])).expect(0);
        assert!(run.verdict().starts_with("maskmatch: pass: 1 group, 1 case"), "{run:#?}");
        assert_eq!(cases(&folder.result("json")), 1);
    }
}

#[test]
fn strictness_turns_a_known_deviation_into_a_failure() {
    let folder = Folder::new();
    let json = folder.path("json");
    let run = call(["run", "--l0", "bochs", "--profile", "quick", "--strict", "--json", &json]);
    let result = folder.result("json");
    if result["l0"].as_str().is_some_and(|l0| l0.starts_with("Bochs 2.7")) {
        let run = run.expect(1);
        assert!(run.verdict().contains("rf0"), "{run:#?}");
        assert_eq!(result["groups"][0]["known_deviations"][0]["name"], "rf0");
        assert_eq!(result["groups"][0]["known_deviations"][0]["of"], "processor");
        assert_eq!(result["groups"][0]["verdict"], "fail");
        assert_eq!(result["groups"][0]["failed"], 0);
    } else {
        run.expect(0);
    }
}

#[test]
fn a_time_limit_ends_the_run_as_a_crash() {
    let folder = Folder::new();
    let json = folder.path("json");
    let start = Instant::now();
    let run = call([
        "run",
        "--l0",
        "bochs",
        "--profile",
        "exhaustive",
        "--limit",
        "0.2",
        "--json",
        &json,
    ])
    .expect(4);
    assert!(start.elapsed() < Duration::from_mins(2), "it hung");
    assert!(run.verdict().contains("the time limit of 0.2 s was reached"), "{run:#?}");
    assert_eq!(folder.result("json")["end"], "timed-out");
    line("run --l0 bochs --profile quick --limit 0").expect(4);
}

#[test]
fn a_processor_without_vmx_is_a_skip_that_names_vmx() {
    let folder = Folder::new();
    let (log, json) = (folder.path("log"), folder.path("json"));
    let run =
        call(["run", "--l0", "qemu", "--accel", "tcg", "--log", &log, "--json", &json]).expect(3);
    assert!(run.verdict().starts_with("maskmatch: skip: "), "{run:#?}");
    assert!(run.verdict().contains("VMX"), "{run:#?}");
    assert!(String::from_utf8_lossy(&folder.read("log")).contains("1..0 # SKIP "));
    assert_eq!(folder.result("json")["log_sound"], true, "the image booted and said so itself");
    let checked = call(["check", &log]).expect(3);
    assert!(checked.verdict().contains("VMX"), "{checked:#?}");
}

#[test]
fn a_processor_without_smep_and_smap_runs_what_does_not_depend_on_them() {
    let folder = Folder::new();
    let json = folder.path("json");
    let run =
        line(&format!("run --l0 bochs --profile quick --cpu corei5_lynnfield_750 --json {json}"))
            .expect(0);
    assert!(run.out.contains("lacks SMEP or SMAP"), "{run:#?}");
    let json = folder.result("json");
    let groups = json["groups"].as_array().expect("groups");
    let skipped = groups.iter().filter(|group| group["verdict"] == "skip").count();
    assert!(skipped < groups.len() / 3, "{skipped} of {}", groups.len());
    // One whose outcome depends on SMAP, and one of the same group.
    let case = "run --l0 bochs --cpu corei5_lynnfield_750 --case filter.each.long:super-read-";
    let left_out = line(&format!("{case}user:1,0,0")).expect(3);
    assert!(left_out.out.contains("lacks SMEP or SMAP"), "{left_out:#?}");
    line(&format!("{case}np-pte:1,0,0")).expect(0);
}

#[test]
fn kvm_runs_or_says_in_one_sentence_why_not() {
    for options in ["--l0 kvm", "--l0 qemu"] {
        let run = line(&format!("run {options} --profile quick"));
        match run.code {
            0 => assert!(run.verdict().starts_with("maskmatch: pass: "), "{run:#?}"),
            3 => {
                assert!(run.verdict().starts_with("maskmatch: skip: "), "{run:#?}");
                assert_eq!(run.out.lines().count(), 1, "{run:#?}");
            }
            _ => panic!("{run:#?}"),
        }
    }
}

#[test]
fn a_processor_without_64_bit_mode_is_a_skip_that_says_so() {
    let run = line("run --l0 bochs --cpu pentium").expect(3);
    assert!(run.verdict().starts_with("maskmatch: skip: the CPU has no 64-bit mode"), "{run:#?}");
}

#[test]
fn bench_prices_every_fault_under_every_filter() {
    let folder = Folder::new();
    let json = folder.path("json");
    let called = line(&format!("bench --profile quick --json {json}")).expect(0);
    for part in [
        "quick profile on Bochs",
        "instructions per case",
        "page faults of L2 on Bochs",
        "a bare VMRESUME and VMCALL: ",
    ] {
        assert!(called.out.contains(part), "{part}: {called:#?}");
    }
    let json = folder.result("json");
    let prices = json["prices"].as_array().expect("prices");
    // Each filter with each kind of fault, and without a fault.
    assert_eq!(prices.len(), FILTERS_PRICED.len() * (stimuli(40).count() + 1));
    for price in prices {
        let filter: Filter =
            price["filter"].as_str().and_then(|text| text.parse().ok()).expect("a filter");
        let name = price["stimulus"].as_str();
        let stimulus =
            name.and_then(|name| stimuli(40).find(|stimulus| stimulus.to_string() == name));
        assert_eq!(stimulus.is_none(), name.is_none(), "{price}");
        let pfec = stimulus.and_then(|stimulus| stimulus.pfec(BASE, 40));
        let exits = if pfec.is_some_and(|pfec| filter.exits(pfec)) { FAULTS } else { 0 };
        let delivered = if pfec.is_some() { FAULTS - exits } else { 0 };
        assert_eq!(price["exits"], exits, "{price}");
        assert_eq!(price["delivered"], delivered, "{price}");
        assert_eq!(price["l0_exits"], Value::Null, "nobody counts on Bochs");
    }
}
