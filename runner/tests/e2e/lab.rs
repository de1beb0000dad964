//! The lab for real: a stock kernel of this machine's suite in Bochs, its own `kvm_intel`, our
//! image.

use spec::catalogue::group::Group;
use spec::catalogue::plan::Profile;
use spec::log::cost::FAULTS;

use crate::command::line;
use crate::files::Folder;

#[test]
fn real_kvm_passes_and_tells_what_was_in_force() {
    let files = Folder::new();
    let json = files.path("lab.json");
    let log = files.path("log");
    let called = line(&format!(
        "lab --param ept=1 --param warp_drive=1 --param ept=0 --filter filter.each.long --json {json} --log {log}"
    ))
    .expect(0);
    assert!(
        called.verdict().starts_with("maskmatch: pass: 3 parameter sets (2 pass, 1 skip)"),
        "{}",
        called.verdict()
    );
    let json = files.json("lab.json");
    assert_eq!(json["verdict"], "pass");
    let results = json["results"].as_array().expect("results");
    let value = |at: usize, name: &str| {
        results[at]["host"]["parameters"][name].as_str().unwrap_or_default().to_string()
    };
    assert_eq!((value(0, "ept"), value(0, "nested")), ("Y".into(), "Y".into()));
    assert!(results[1]["sentence"].as_str().is_some_and(|why| why.contains("warp_drive")));
    assert_eq!(value(2, "ept"), "N");
    let checked = line(&format!("check {log}.1")).expect(0);
    // Bochs has 40 address bits.
    let cases = Group::from_name("filter.each.long").expect("group").case_count(Profile::Quick, 40);
    let expected = format!("maskmatch: pass: 1 group, {cases} cases");
    assert!(checked.verdict().starts_with(&expected), "{}", checked.verdict());
    line(&format!("check {log}.2")).expect(4);
    for at in [0, 2] {
        assert_eq!(results[at]["facts"]["hypervisor"], "KVMKVMKVM");
        assert_eq!(results[at]["facts"]["channel"], "yes");
        assert!(results[at]["groups"][0]["exits"].as_u64().is_some_and(|exits| exits > 0));
    }
}

#[test]
fn what_shows_on_stock_kvm_is_a_failure_if_strict() {
    let called =
        line("lab --param ept=0 --strict --case filter.each.long-nx0:user-read-user-nx:1,0,0")
            .expect(1);
    assert!(called.out.contains("nx-stale"), "{}", called.out);
}

#[test]
fn a_fault_that_nobody_wants_is_no_exit_to_l0_and_one_that_l1_wants_is_two() {
    let files = Folder::new();
    let json = files.path("bench.json");
    line(&format!("bench --l0 lab --param ept=1 --json {json}")).expect(0);
    let json = files.json("bench.json");
    let prices = json["results"][0]["prices"].as_array().expect("prices");
    let of = |filter: &str, stimulus: Option<&str>| {
        let price = prices
            .iter()
            .find(|p| p["filter"] == filter && p["stimulus"].as_str() == stimulus)
            .expect("a price");
        price["l0_exits"].as_u64().expect("KVM counts")
    };
    let more =
        |filter: &str| of(filter, Some("user-read-np-pml4e")).saturating_sub(of(filter, None));
    // An interrupt of L0 may come between.
    let few = FAULTS as u64 / 4;
    assert!(more("0,0,0") < few, "{}", more("0,0,0"));
    assert!(
        (2 * FAULTS as u64..2 * FAULTS as u64 + few).contains(&more("1,0,0")),
        "{}",
        more("1,0,0")
    );
}

#[test]
fn a_time_limit_ends_the_lab_as_a_crash() {
    let called = line("lab --param ept=1 --limit 0.5").expect(4);
    assert!(called.verdict().contains("crash"), "{}", called.verdict());
}

#[test]
fn the_bug_that_began_this_shows_on_a_stock_kernel() {
    let case = "action.cpuid-narrow-restored:super-write-rsvd-ro-pte:1,8,8";
    let called = line(&format!(
        "lab --kernel bookworm --param allow_smaller_maxphyaddr=1 --strict --case {case}"
    ))
    .expect(1);
    assert!(called.out.contains("known deviation cpuid-vmcs02 in 1 case: "), "{called:#?}");
    let example = format!("  for example {case}: want exit,info=80000b0e,ec=b,");
    assert!(called.out.contains(&example), "{called:#?}");
    assert!(called.out.contains(" got delivered,ec=3,"), "{called:#?}");
    assert!(called.out.contains("docs/seed-bug.md"), "{called:#?}");
}

#[test]
fn strictness_is_about_the_host_and_not_about_the_processor_below_it() {
    let files = Folder::new();
    let json = files.path("json");
    let strict = |kernel: &str, code| {
        let groups = "--param allow_smaller_maxphyaddr=1 --filter action.cpuid*";
        let called =
            line(&format!("lab --strict --kernel {kernel} {groups} --json {json}")).expect(code);
        (called, files.json("json"))
    };
    // Newer than any that has the fault.
    let (called, json) = strict("sid", 0);
    assert!(called.verdict().starts_with("maskmatch: pass: "), "{called:#?}");
    let groups = json["results"][0]["groups"].as_array().expect("groups");
    let sum = |field: &str| groups.iter().filter_map(|group| group[field].as_u64()).sum::<u64>();
    assert_eq!((sum("failed"), sum("known")), (0, 0));
    if json["results"][0]["processor"]["version"] == serde_json::json!([2, 7]) {
        assert!(sum("known_of_processor") > 0, "{json:#}");
        assert!(called.out.contains("known deviation rf0 of the processor in "), "{called:#?}");
    }
    let (called, json) = strict("bookworm", 1);
    assert!(called.out.contains("known deviation cpuid-vmcs02 in "), "{called:#?}");
    let sentence = json["results"][0]["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains("cpuid-vmcs") && !sentence.contains("rf0"), "{sentence}");
}

#[test]
fn qemu_moves_a_guest_whose_l2_is_active_to_a_file_and_back() {
    let files = Folder::new();
    let json = files.path("qemu.json");
    line(&format!("lab --vmm qemu --param ept=1 --filter action.migrate --json {json}")).expect(0);
    let json = files.json("qemu.json");
    let group = &json["results"][0]["groups"][0];
    assert_eq!(group["name"], "action.migrate");
    assert!(group["cases"].as_u64().is_some_and(|cases| cases > 0), "{group}");
    let called = line("lab --param ept=1 --filter action.migrate").expect(3);
    assert!(called.out.contains("needs QEMU: `maskmatch lab --vmm qemu`"), "{called:#?}");
}

#[test]
fn a_vm_entry_that_fails_is_a_failure_of_the_host_with_the_error_number() {
    let set = "ept=1,nested_early_check=1";
    let called = line(&format!("lab --param {set} --filter filter.each.long --filter access.long"))
        .expect(1);
    assert!(
        called.out.contains("the VM entry failed with VM-instruction error 0x7"),
        "{}",
        called.out
    );
    assert!(called.verdict().contains("2 of 2 groups failed"), "{}", called.verdict());
}

#[test]
fn a_second_processor_is_found_whatever_its_apic_id() {
    let called = line("lab --param ept=1 --filter smp.*").expect(0);
    assert!(called.verdict().starts_with("maskmatch: pass: 2 groups"), "{}", called.verdict());
}

#[test]
fn what_nmis_leave_without_virtual_nmis_is_known() {
    line("lab --param ept=1,vnmi=0 --filter action.nmi --filter access.long").expect(0);
}
