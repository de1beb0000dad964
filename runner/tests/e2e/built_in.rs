//! A kernel that has KVM built in. No suite of Debian's has one, so the test builds the smallest from
//! Debian's source: `cargo test -p runner --test e2e -- --ignored kvm_that_is_part_of_the_kernel`.

use std::process::Command;

use crate::command::{finish, line};
use crate::files::Folder;

/// Builds the kernel in the folder `$D`.
const BUILD: &str = "cd $D && apt-get -q download linux-source-6.1 && dpkg-deb -x linux-source-6.1*.deb . \
                     && tar xf usr/src/linux-source-6.1.tar.xz --strip-components=1 && make tinyconfig \
                     && scripts/kconfig/merge_config.sh .config $C && make -j$(nproc) bzImage";

#[test]
#[ignore = "builds a kernel; needs flex, bison, bc and libelf-dev"]
fn kvm_that_is_part_of_the_kernel_has_its_parameters_from_the_command_line() {
    let folder = Folder::new();
    let (tree, json) = (folder.path(""), folder.path("result.json"));
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/built_in.config");
    finish(Command::new("sh").args(["-c", BUILD]).env("D", &tree).env("C", config)).expect(0);
    let sets = "--param ept=1 --param ept=0,kvm.tdp_mmu=0 --param warp_drive=1";
    line(&format!("lab --modules {tree} {sets} --filter filter.each.long --json {json}")).expect(0);
    let json = folder.json("result.json");
    let value = |at: usize, name: &str| json["results"][at]["host"]["parameters"][name].clone();
    assert_eq!([value(0, "ept"), value(0, "nested"), value(0, "pml")], ["Y", "Y", "N"]);
    assert_eq!([value(1, "ept"), value(1, "kvm.tdp_mmu")], ["N", "N"]);
    assert_eq!(json["results"][2]["verdict"], "skip");
    // What would be lost without KVM's own parameter.
    let groups = "--param ept=1 --filter forced.*";
    let forced = line(&format!("lab --modules {tree} {groups}")).expect(0);
    assert!(forced.verdict().starts_with("maskmatch: pass: "), "{forced:#?}");
    line(&format!("lab --modules {tree} --kvm-intel {config} {groups}")).expect(2);
}
