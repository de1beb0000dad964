//! A host kernel that dies while a set runs: a real kvm-intel.ko with two bytes of one function
//! changed.
//!
//! `handle_ept_misconfig` serves accesses to a device's page, which KVM gets as EPT
//! misconfigurations: with ept=1 the function runs first in `host.apic`, with ept=0 never.

use std::path::{Path, PathBuf};
use std::{env, fs};

use object::{Object, ObjectSection, ObjectSymbol};
use serde_json::Value;

use crate::command::{Called, call, line};
use crate::files::Folder;

const FUNCTION: &str = "handle_ept_misconfig";
/// What a function may begin with: a landing pad for indirect branches, the call of the tracer.
const ENDBR64: &[u8] = &[0xf3, 0x0f, 0x1e, 0xfa];
const CALL: u8 = 0xe8;
const CALL_LENGTH: usize = 5;

const UD2: [u8; 2] = [0x0f, 0x0b];
const JUMP_TO_ITSELF: [u8; 2] = [0xeb, 0xfe];

#[test]
fn after_an_oops_the_other_sets_run_in_a_fresh_boot() {
    let files = Folder::new();
    let (called, json) = run(&files, UD2, &["ept=0", "ept=1", "ept=0,vpid=0"], "host.*");
    assert!(called.verdict().contains("3 parameter sets (2 pass, 1 crash)"), "{called:#?}");
    assert!(called.err.contains("the lab boots again"), "{called:#?}");
    let [before, broken, after] = &json["results"].as_array().expect("results")[..] else {
        panic!("{json:#}")
    };
    for passed in [before, after] {
        assert_eq!(passed["verdict"], "pass", "{passed:#}");
        assert_eq!(groups(passed), ["host.touch", "host.dirty", "host.apic", "host.device"]);
    }
    assert_eq!(after["params"], "ept=0,vpid=0");
    died_in_host_apic(broken, "died of an oops");
    assert_eq!(groups(broken)[..2], ["host.touch", "host.dirty"], "what was seen before is kept");
    assert!(broken["groups"][1]["cases"].as_u64().is_some_and(|cases| cases > 0), "{broken:#}");
}

#[test]
fn a_hang_is_ended_and_tells_where() {
    let files = Folder::new();
    let (called, json) = run(&files, JUMP_TO_ITSELF, &["ept=1", "ept=0"], "host.apic");
    assert!(called.verdict().contains("2 parameter sets (1 pass, 1 crash)"), "{called:#?}");
    died_in_host_apic(&json["results"][0], "soft lockup");
    assert_eq!(json["results"][1]["verdict"], "pass", "{json:#}");
}

/// Runs the sets on the stock kernel whose `kvm_intel` has these bytes in [`FUNCTION`].
fn run(files: &Folder, code: [u8; 2], sets: &[&str], filter: &str) -> (Called, Value) {
    let module = files.write("kvm-intel.ko", broken_module(files, code));
    let json = files.path("json");
    let mut arguments =
        vec!["lab", "--jobs", "1", "--kvm-intel", &module, "--json", &json, "--filter", filter];
    arguments.extend(sets.iter().flat_map(|set| ["--param", set]));
    let called = call(arguments).expect(4);
    let json = files.json("json");
    assert_eq!(json["exit_code"], 4);
    (called, json)
}

/// The set crashed; sentence and the kernel's words name the group, the reason and the function.
fn died_in_host_apic(result: &Value, reason: &str) {
    assert_eq!(result["verdict"], "crash", "{result:#}");
    let sentence = result["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains("last seen in group host.apic at 0 of"), "{sentence}");
    let told = format!("{sentence}\n{:#}", result["kernel_trouble"]);
    for part in [reason, FUNCTION, "in group host.apic at 0 of"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

fn groups(result: &Value) -> Vec<&str> {
    let groups = result["groups"].as_array().expect("groups");
    groups.iter().filter_map(|group| group["name"].as_str()).collect()
}

/// The stock module with `code` in [`FUNCTION`], after what every function begins with.
fn broken_module(files: &Folder, code: [u8; 2]) -> Vec<u8> {
    let mut module = stock_module(files);
    let at = {
        let elf = object::File::parse(&*module).expect("a module is an ELF file");
        let function = elf
            .symbols()
            .find(|symbol| symbol.name() == Ok(FUNCTION))
            .expect("the module has the function");
        let section = function.section_index().expect("the function is defined in the module");
        let (start, _) = elf
            .section_by_index(section)
            .ok()
            .and_then(|text| text.file_range())
            .expect("text is in the file");
        (start + function.address()) as usize
    };
    let at = if module[at..].starts_with(ENDBR64) { at + ENDBR64.len() } else { at };
    let at = if module[at] == CALL { at + CALL_LENGTH } else { at };
    module[at..at + code.len()].copy_from_slice(&code);
    module
}

/// The kvm-intel.ko of this machine's suite, from where the lab keeps it. A lab without time
/// reveals the release.
fn stock_module(files: &Folder) -> Vec<u8> {
    let json = files.path("release.json");
    line(&format!("lab --param ept=1 --limit 0.1 --json {json}")).expect(4);
    let release = files.json("release.json")["results"][0]["release"]
        .as_str()
        .expect("a release")
        .to_string();
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache =
        cache.unwrap_or_else(|| Path::new(&env::var_os("HOME").expect("a home")).join(".cache"));
    let kernels = fs::read_dir(cache.join("maskmatch/kernels")).expect("the lab's cache");
    let kernel = kernels.flatten().find(|kernel| {
        kernel.file_name().to_string_lossy().split('_').next().is_some_and(|package| {
            package.trim_end_matches("-unsigned").ends_with(&format!("-{release}"))
        })
    });
    let modules = kernel.expect("the kernel is in the cache").path().join("modules");
    if let Ok(plain) = fs::read(modules.join("kvm-intel.ko")) {
        return plain;
    }
    let packed =
        fs::File::open(modules.join("kvm-intel.ko.xz")).expect("a module, packed or plain");
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut liblzma::read::XzDecoder::new(packed), &mut plain)
        .expect("it unpacks");
    plain
}
