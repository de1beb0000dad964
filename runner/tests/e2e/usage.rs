//! Wrong use, and files that are asked for.

use crate::command::{call, line};
use crate::files::Folder;

#[test]
fn wrong_use_ends_with_2_and_says_what_to_do() {
    for (words, part) in [
        ("frobnicate", "frobnicate"),
        ("run --profile fast", "quick, standard or exhaustive"),
        ("run --filter nothing.*", "maskmatch list"),
        ("list --filter nothing", "maskmatch list"),
        ("run --exclude host.apic:*", "host.apic"),
        ("lab --exclude smp.*:*", "smp.filters"),
        ("run --exclude filter.basic.*:*:1,0,0", "all of its accesses"),
        ("list --exclude event.long:no-such-scene", "no case"),
        ("image --iso /tmp/unused.iso --cmdline exclude=action.*:event", "only as a whole"),
        ("run --case filter.basic.long", "GROUP:STIMULUS:EB,MASK,MATCH"),
        ("explain nonsense", "maskmatch list --cases"),
        ("run --l0 bochs --accel tcg", "--l0 qemu"),
        ("run --l0 kvm --cpu skylake", "--l0 bochs"),
        ("run --l0 kvm --bochs sid", "--l0 bochs"),
        ("run --l0 bochs --refresh", "--bochs"),
        ("run --limit -3", "seconds"),
        ("bench --l0 qemu --profile quick", "--l0 bochs"),
        ("run --log /nonexistent/folder/log", "/nonexistent/folder/log"),
        ("image --elf /nonexistent/folder/image", "/nonexistent/folder/image"),
        ("image --iso /tmp/unused.iso --cmdline profile=fast", "profile is quick, standard or exhaustive"),
        ("image", "--elf"),
    ] {
        let called = line(words).expect(2);
        assert!(called.err.contains(part), "{words}: {called:#?}");
        assert_eq!(called.out, "", "{words}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    assert!(line("--help").expect(0).out.contains("Exit codes"));
    assert!(line("run --help").expect(0).out.contains("--l0"));
    assert!(line("--version").expect(0).out.starts_with("maskmatch "));
}

#[test]
fn the_image_is_an_elf_file() {
    let folder = Folder::new();
    call(["image", "--elf", &folder.path("image")]).expect(0);
    assert_eq!(folder.read("image")[..4], *b"\x7fELF");
}

#[test]
fn the_iso_image_is_a_bootable_iso_image() {
    let folder = Folder::new();
    call(["image", "--iso", &folder.path("iso"), "--cmdline", "profile=quick"]).expect(0);
    let bytes = folder.read("iso");
    assert_eq!(bytes[0x8001..0x8006], *b"CD001");
    assert_eq!(bytes[510..512], [0x55, 0xaa], "a USB stick boots it, too");
}
