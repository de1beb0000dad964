//! The lab's Xen for real: Debian's hypervisor of this machine's suite in Bochs, our first domain,
//! our image.

use crate::command::line;
use crate::files::Folder;

#[test]
fn real_xen_passes_its_quick_profile() {
    let files = Folder::new();
    let json = files.path("xen.json");
    let called = line(&format!("lab --host xen --xen-options vpid=0 --json {json}")).expect(0);
    assert!(called.verdict().starts_with("maskmatch: pass: "), "{}", called.verdict());
    assert!(!called.out.contains("UNEXPECTED PASS"), "{}", called.out);
    let json = files.json("xen.json");
    let result = &json["results"][0];
    assert_eq!(result["facts"]["hypervisor"], "XenVMMXenVMM");
    assert_eq!(result["facts"]["channel"], "yes");
    // Reset, Xen's boot and all groups: what a user waits for.
    assert!(
        result["instructions"].as_u64().is_some_and(|all| all < 120_000_000),
        "{}",
        result["instructions"]
    );
    let groups = result["groups"].as_array().expect("groups");
    let group = |name: &str| groups.iter().find(|group| group["name"] == name).expect("the group");
    assert_eq!(group("filter.basic.long")["failed"], 0);
    assert_eq!(group("action.restore")["verdict"], "skip");
}

#[test]
fn a_domain_that_xen_crashes_costs_one_group() {
    let bochs = concat!(env!("CARGO_MANIFEST_DIR"), "/known/bochs.toml");
    let called = line(&format!(
        "lab --host xen --xen-options vpid=0 --no-known --known {bochs} --filter host.touch --filter page.pae-ept \
         --filter page.legacy"
    ))
    .expect(4);
    assert!(called.verdict().contains("Xen crashed the guest's domain"), "{}", called.verdict());
    assert!(called.verdict().contains("page.pae-ept"), "{}", called.verdict());
    let row = |name: &str| {
        called.out.lines().find(|line| line.trim_start().starts_with(name)).expect("the group")
    };
    assert!(row("host.touch").contains("pass"), "{}", called.out);
    assert!(row("page.pae-ept").contains("unfinished"), "{}", called.out);
    assert!(!row("page.legacy").contains("fail"), "the group after it ran: {}", called.out);
}

#[test]
fn what_is_no_xen_is_told() {
    line("lab --host xen --xen-image /nowhere").expect(3);
    line("lab --host xen --kernel 9.9 --xen-image /nowhere").expect(2);
    line("lab --host xen --param ept=0").expect(2);
    line("lab --host vmware").expect(2);
}
