//! The image on machines of many kinds, in QEMU's emulation, which ends in a second: where its log
//! goes, what it says of what a machine lacks, and how it ends.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::command::{call, line};
use crate::files::Folder;

/// A boot that is over.
#[derive(Debug)]
struct Booted {
    /// The file LOG.
    log: Vec<u8>,
    /// Why QEMU ended, as its monitor says; else its exit status.
    end: String,
}

/// Boots the image, with these options of QEMU, to the end of the machine. `LOG` in them is the
/// path of a file.
fn boot(folder: &Folder, options: &str, cmdline: &str) -> Booted {
    // So that QEMU is installed.
    line("run --l0 qemu --accel tcg --filter filter.each.long").expect(3);
    let (image, log) = (folder.path("image"), folder.write("serial", ""));
    call(["image", "--elf", &image]).expect(0);
    let mut qemu = Command::new("timeout");
    qemu.args(["120", "qemu-system-x86_64", "-S", "-nodefaults", "-display", "none"])
        .args(["-no-reboot", "-qmp", "stdio", "-kernel", &image])
        .args(options.replace("LOG", &log).split(' '))
        .args(["-append", cmdline]);
    let mut qemu =
        qemu.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("QEMU is started");
    // Its monitor says nothing when this is closed.
    let mut monitor = qemu.stdin.take().expect("it is piped");
    let commands = b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"cont\"}";
    monitor.write_all(commands).expect("QEMU reads");
    let Output { stdout, status, .. } = qemu.wait_with_output().expect("QEMU ends");
    let said = String::from_utf8_lossy(&stdout);
    let reason = said.rsplit_once("\"reason\": \"").map(|(_, reason)| reason.split('"'));
    let end = match (reason, status.code()) {
        (Some(mut reason), Some(0)) => reason.next().expect("it has an end").to_string(),
        (_, code) => format!("{code:?}"),
    };
    Booted { log: folder.read("serial"), end }
}

const OFF: &str = "guest-shutdown";
const RESET: &str = "guest-reset";
const NO_VMX: &str = "skip: the CPU offers no VMX";

#[test]
fn whatever_a_machine_lacks_is_said_and_it_is_powered_off() {
    let folder = Folder::new();
    for (options, cmdline, verdict, note) in [
        ("-m 16 -serial file:LOG -cpu pentium3", "", "skip: the CPU has no 64-bit mode", ""),
        ("-m 3 -serial file:LOG", "", "skip: the machine has too little memory", ""),
        ("-m 16 -serial none -debugcon file:LOG", "", NO_VMX, "note: no COM1"),
        ("-m 16 -serial file:LOG", "x pci=off quiet", NO_VMX, "image: pci=off\nnote: "),
        ("-m 16 -serial file:LOG", "profile=fast", "error: ", "profile=fast"),
        ("-m 16 -serial file:LOG", &format!("filter={}", "x".repeat(2100)), "error: ", "too long"),
        ("-m 16 -serial file:LOG", "memory=0x40000000,0x1000", "error: ", "no memory"),
    ] {
        let Booted { log, end } = boot(&folder, options, cmdline);
        assert_eq!(end, OFF, "{options} {cmdline}");
        let checked = call(["check", &folder.write("log", log)]);
        assert!(
            checked.verdict().starts_with(&format!("maskmatch: {verdict}")),
            "{options} {cmdline}: {checked:#?}"
        );
        assert!(checked.out.contains(note), "{options} {cmdline}: {checked:#?}");
    }
}

#[test]
fn a_machine_ends_by_what_its_firmware_says_or_else_by_a_reset() {
    let folder = Folder::new();
    for (machine, cmdline, end) in [
        ("pc", "", OFF),
        ("q35 -smp 3", "", OFF),
        // Without the hypervisor's bit only the firmware's tables say how.
        ("pc -cpu qemu64,-hypervisor", "", OFF),
        ("q35 -cpu qemu64,-hypervisor -m 5G", "", OFF),
        ("microvm,acpi=on -cpu qemu64,-hypervisor", "", OFF),
        ("pc,acpi=off", "", RESET),
        // It has the tables all the same.
        ("q35,acpi=off", "", OFF),
        ("microvm,acpi=off", "", RESET),
        ("pc", "end=reset", RESET),
        ("q35", "end=reset", RESET),
        ("microvm,acpi=on", "end=reset", RESET),
        ("pc -device isa-debug-exit", "debug-exit=0x501", "Some(39)"),
        ("pc -device isa-debug-exit", "debug-exit=0x501 profile=fast", "Some(43)"),
        // No device has the port.
        ("pc", "debug-exit=0x501", OFF),
    ] {
        let booted = boot(&folder, &format!("-M {machine} -serial file:LOG"), cmdline);
        assert_eq!(booted.end, end, "{machine} {cmdline}");
        let log = String::from_utf8_lossy(&booted.log);
        assert!(log.contains("# end "), "{machine} {cmdline}: {log}");
        let processors = match machine {
            "pc,acpi=off" | "microvm,acpi=off" => " hypervisor=TCGTCGTCGTCG options=",
            "q35 -smp 3" => " processors=3 ",
            _ => " processors=1 ",
        };
        assert!(log.contains(processors), "{machine} {cmdline}: {log}");
    }
}

#[test]
fn a_machine_can_be_left_halted() {
    let folder = Folder::new();
    let script = format!(
        "(while ! grep -q '# end' {log}; do sleep 0.1; done; \
          while ! grep -q HLT=1 {said}; do echo info registers; sleep 0.1; done; echo quit) | \
         timeout 120 qemu-system-x86_64 -nodefaults -display none -no-reboot -monitor stdio \
         -serial file:{log} -kernel {image} -append end=halt >{said}",
        log = folder.write("log", ""),
        said = folder.write("said", ""),
        image = folder.path("image"),
    );
    // It leaves the image.
    boot(&folder, "-serial file:LOG", "");
    let status = Command::new("sh").arg(folder.write("commands", script)).status();
    assert!(status.is_ok_and(|status| status.success()));
    assert!(String::from_utf8_lossy(&folder.read("said")).contains("HLT=1"));
}

#[test]
fn the_log_goes_where_it_is_asked_for_or_where_the_firmware_has_its_console() {
    let folder = Folder::new();
    // A table of the firmware's: a 16550 at COM2's ports, 115,200 baud.
    let mut spcr = [0; 44];
    spcr[4..16].copy_from_slice(&[1, 8, 0, 1, 0xf8, 2, 0, 0, 0, 0, 0, 0]);
    spcr[22] = 7;
    let spcr = format!("-acpitable sig=SPCR,rev=2,data={}", folder.write("spcr", spcr));
    let other = folder.path("other");
    let pci = "-chardev file,id=pci,path=LOG -device pci-serial,chardev=pci";
    // Whether the other one has it, too.
    for (options, cmdline, both) in [
        (format!("-serial file:{other} -serial file:LOG"), "serial=com2", false),
        (format!("-serial file:{other} -serial file:LOG"), "serial=0x2f8", false),
        (format!("-serial file:{other} -serial file:LOG"), "serial=com1,com2,com1", true),
        (format!("-serial file:{other} -debugcon file:LOG"), "serial=e9", false),
        (format!("-serial file:{other} -debugcon file:LOG"), "serial=com1,e9", true),
        (format!("-serial file:{other} {pci}"), "serial=pci", false),
        (format!("-M q35 -serial file:{other} {pci}"), "serial=com1,pci", true),
        (format!("-debugcon file:{other} {pci}"), "", false),
        (format!("-serial file:{other} -serial file:LOG {spcr}"), "", true),
        (format!("-serial none -serial file:LOG -debugcon file:{other} {spcr}"), "", false),
    ] {
        folder.write("other", "");
        let booted = boot(&folder, &options, cmdline);
        let checked = call(["check", &folder.write("log", &booted.log)]).expect(3);
        assert!(checked.verdict().starts_with("maskmatch: skip: "), "{options}: {checked:#?}");
        let expected = if both { booted.log } else { Vec::new() };
        assert!(folder.read("other") == expected, "{options} {cmdline}");
    }
    let none = boot(&folder, "-serial file:LOG", "serial=none");
    assert_eq!((none.log.len(), &*none.end), (0, OFF));
}

/// Boots with this memory of a machine saved after its end.
fn memory_after(folder: &Folder, memory: &str, options: &str) -> Vec<u8> {
    let saved = folder.path("saved");
    // Once the machine is off, QEMU waits for commands.
    let script = format!(
        "(while ! grep -q '# end' {log}; do sleep 0.1; done; \
          echo 'pmemsave {memory} \"{saved}\"'; echo quit) | \
         timeout 120 qemu-system-x86_64 -nodefaults -display none -no-shutdown -m 32 -monitor stdio \
         -debugcon file:{log} -kernel {image} {options}",
        log = folder.write("log", ""),
        image = folder.path("image"),
    );
    // It leaves the image.
    boot(folder, "-serial file:LOG", "");
    let status = Command::new("sh").arg(folder.write("commands", script)).status();
    assert!(status.is_ok_and(|status| status.success()));
    folder.read("saved")
}

#[test]
fn without_a_serial_port_the_log_is_on_the_screen() {
    let folder = Folder::new();
    let screen = memory_after(&folder, "0xb8000 4000", "-vga std");
    let text: Vec<u8> = screen.into_iter().step_by(2).collect();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(
        text.contains("1..0 # SKIP the CPU offers no VMX") && text.contains("crc32="),
        "{text}"
    );
}

#[test]
fn memory_keeps_the_log_as_linux_keeps_a_console() {
    let folder = Folder::new();
    let options = "-append 'serial=e9 memory=0x1000000,0x2000'";
    let kept = memory_after(&folder, "0x1000000 0x2000", options);
    let word = |at: usize| u32::from_le_bytes(kept[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((&kept[..4], word(4)), (&b"DBGC"[..], 0));
    let log = folder.read("log");
    assert_eq!(word(8) as usize, log.len());
    assert!(kept[12..12 + log.len()] == log);
    assert!(kept[12 + log.len()..].iter().all(|&byte| byte == 0), "nothing beyond");
}
