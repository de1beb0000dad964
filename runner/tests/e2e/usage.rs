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
        ("lab --l0 bochs", "leave out --l0 bochs"),
        ("run --l0 bochs --cpu no_such_model", "no_such_model"),
        ("run --l0 bochs --memory 3", "4..=2048"),
        ("run --l0 bochs --log /tmp", "/tmp"),
        ("run --l0 bochs --log /tmp/unused --json /tmp/../tmp/unused", "named twice"),
        ("run --known /dev/zero", "not a file"),
        ("image --iso /tmp/unused.iso --cmdline quiet=yes", "quiet=yes"),
        ("lab --param ept", "name=value"),
        ("lab --param ept=banana", "ept is 0 or 1"),
        ("lab --kernel ../x", "names no kernel"),
        ("lab --kernel-image /nowhere", "--modules"),
        ("lab --kernel-image /nowhere --modules /nowhere", "/nowhere cannot be booted"),
        ("lab --kernel-image /dev/zero --modules /nowhere", "not a file"),
        ("lab --kvm-intel /dev/zero", "not a file"),
        ("lab --kvm-intel /etc/hostname", "/etc/hostname cannot be used"),
        ("run --l0 bochs --kernel sid", "maskmatch lab"),
        ("bench --l0 qemu --profile quick", "--l0 bochs"),
        ("run --log /nonexistent/folder/log", "/nonexistent/folder/log"),
        ("image --elf /nonexistent/folder/image", "/nonexistent/folder/image"),
        (
            "image --iso /tmp/unused.iso --cmdline profile=fast",
            "profile is quick, standard or exhaustive",
        ),
        ("image", "--elf"),
    ] {
        let called = line(words).expect(2);
        assert!(called.err.contains(part), "{words}: {called:#?}");
        assert_eq!(called.out, "", "{words}");
    }
}

#[test]
fn a_command_line_that_the_image_cannot_take_is_refused_before_the_run() {
    let words = |length: usize| format!("--exclude {}", "x".repeat(length));
    let called =
        line(&format!("run --l0 bochs --profile quick --filter filter.each.long {}", words(1900)));
    assert_eq!(called.code, 0, "{called:#?}");
    for command in ["run --l0 bochs", "lab --param ept=1"] {
        let called =
            line(&format!("{command} --profile quick --filter filter.each.long {}", words(2000)))
                .expect(2);
        assert!(called.err.contains("2048"), "{called:#?}");
        assert_eq!(called.out, "");
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
    assert_eq!(bytes[0x8807..0x881e], *b"EL TORITO SPECIFICATION", "firmware boots it");
}
