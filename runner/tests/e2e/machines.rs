//! The image on machines that lack something, in QEMU's emulation, which ends in a second.

use std::process::Command;

use crate::command::{call, line};
use crate::files::Folder;

/// Boots the image, with these options of QEMU. Returns what it wrote to QEMU's standard output.
fn boot(folder: &Folder, options: &str, cmdline: &str) -> Vec<u8> {
    // So that QEMU is installed.
    line("run --l0 qemu --accel tcg --filter filter.each.long").expect(3);
    let image = folder.path("image");
    call(["image", "--elf", &image]).expect(0);
    let mut qemu = Command::new("timeout");
    qemu.args([
        "120",
        "qemu-system-x86_64",
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-kernel",
        &image,
    ]);
    qemu.args(options.split(' ')).args(["-append", cmdline]);
    let output = qemu.output().expect("QEMU starts");
    assert!(output.status.success(), "the machine was not powered off: {output:?}");
    output.stdout
}

#[test]
fn whatever_a_machine_lacks_is_said_and_it_is_powered_off() {
    let folder = Folder::new();
    for (options, cmdline, verdict, note) in [
        ("-m 16 -serial stdio -cpu pentium3", "", "skip: the CPU has no 64-bit mode", ""),
        ("-m 3 -serial stdio", "", "skip: the machine has too little memory", ""),
        ("-m 16 -serial none -debugcon stdio", "", "skip: the CPU offers no VMX", "note: no COM1"),
        (
            "-m 16 -serial stdio",
            "x pci=off quiet",
            "skip: the CPU offers no VMX",
            "image: pci=off\nnote: ",
        ),
        ("-m 16 -serial stdio", "profile=fast", "error: ", "profile=fast"),
        ("-m 16 -serial stdio", &format!("filter={}", "x".repeat(2100)), "error: ", "too long"),
        ("-m 16 -serial stdio -no-acpi", "", "skip: the CPU offers no VMX", ""),
        ("-m 16 -serial stdio -M q35", "", "skip: the CPU offers no VMX", ""),
        ("-m 16 -serial stdio -M microvm", "", "skip: the CPU offers no VMX", ""),
    ] {
        let log = boot(&folder, options, cmdline);
        let checked = call(["check", &folder.write("log", log)]);
        assert!(
            checked.verdict().starts_with(&format!("maskmatch: {verdict}")),
            "{options} {cmdline}: {checked:#?}"
        );
        assert!(checked.out.contains(note), "{options} {cmdline}: {checked:#?}");
    }
}

#[test]
fn without_com1_the_log_is_on_the_screen() {
    let folder = Folder::new();
    let (screen, commands) = (folder.path("screen"), folder.path("commands"));
    // Once the machine is off, QEMU waits for commands.
    let script = format!(
        "(while ! grep -q '# end' {log}; do sleep 0.1; done; echo 'pmemsave 0xb8000 4000 \"{screen}\"'; echo quit) | \
         timeout 120 qemu-system-x86_64 -nodefaults -display none -no-shutdown -vga std -m 16 -monitor stdio \
         -debugcon file:{log} -kernel {image}",
        log = folder.write("log", ""),
        image = folder.path("image"),
    );
    // It leaves the image.
    boot(&folder, "-m 16 -serial stdio", "");
    folder.write("commands", script);
    assert!(Command::new("sh").arg(commands).output().is_ok_and(|output| output.status.success()));
    let text: Vec<u8> = folder.read("screen").into_iter().step_by(2).collect();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(
        text.contains("1..0 # SKIP the CPU offers no VMX") && text.contains("crc32="),
        "{text}"
    );
}
