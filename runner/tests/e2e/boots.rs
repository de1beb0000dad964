//! How the image is booted: `cargo test --release -p runner --test e2e -- --ignored boots` boots it
//! each way on each machine and writes docs/boots.md. QEMU's emulation has no VMX, so a log there is
//! a skip; on Bochs it has the verdict of `run --l0 bochs`.

use std::fmt::Write;
use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use cpio::newc::{Builder, trailer};
use serde_json::Value;

use crate::bios;
use crate::command::{call, finish};
use crate::files::Folder;
use crate::iso::assert_same;

/// What a machine has beside what all have.
#[derive(Clone, Copy, PartialEq)]
struct Machine {
    name: &'static str,
    qemu: &'static str,
}

const BIOS: Machine = Machine { name: "QEMU pc, SeaBIOS", qemu: "-machine pc" };
const EFI_PC: Machine = Machine { name: "QEMU pc, OVMF", qemu: "-machine pc -bios OVMF.fd" };
const EFI_Q35: Machine = Machine { name: "QEMU q35, OVMF", qemu: "-machine q35 -bios OVMF.fd" };
const MICROVM: Machine = Machine { name: "QEMU microvm", qemu: "-machine microvm" };

const MACHINES: [Machine; 4] = [BIOS, EFI_PC, EFI_Q35, MICROVM];
/// What every QEMU here has.
const QEMU: &str = "-accel tcg -cpu max -m 256 -nodefaults -display none -serial stdio -no-reboot";
/// How long a machine may take to its log's end, and how long to its own after that.
const TO_LOG: Duration = Duration::from_mins(10);
const TO_END: Duration = Duration::from_mins(1);

const LINUX: &str = "-kernel linux -initrd initramfs -append quiet";
/// On microvm it wants a timer that it can calibrate the TSC by.
const MICROVM_LINUX: &str =
    concat!("-machine acpi=off,pit=on,pic=on ", "-kernel linux -initrd initramfs -append quiet");
/// A network with a TFTP server, and what a machine loads from it first.
macro_rules! tftp {
    ($file:literal) => {
        concat!("-device virtio-net-pci,netdev=n -netdev user,id=n,tftp=.,bootfile=", $file)
    };
}
/// iPXE as an EFI application, on a volume that is made of a folder.
macro_rules! ipxe_disk {
    ($file:literal) => {
        concat!("-drive format=raw,file=fat:rw:ipxe ", tftp!($file))
    };
}

/// A way to boot: its name, and what boots it on which machine.
struct Way {
    name: &'static str,
    qemu: &'static [(Machine, &'static str)],
    /// The drives of Bochs, and a file that is there under another name.
    bochs: Option<(&'static str, &'static str, &'static str)>,
    /// Why it is not on the others.
    others: &'static str,
}

const WAYS: [Way; 8] = [
    Way {
        name: "ELF by PVH",
        qemu: &[
            (BIOS, "-kernel maskmatch.elf -append profile=quick"),
            (MICROVM, "-kernel maskmatch.elf -append profile=quick"),
        ],
        bochs: None,
        others: "OVMF's `-kernel` takes EFI applications only, Bochs has no such option",
    },
    Way {
        name: "ELF by multiboot2",
        qemu: &[
            (BIOS, "-cdrom grub.iso"),
            (EFI_PC, "-cdrom grub.iso"),
            (EFI_Q35, "-cdrom grub.iso"),
        ],
        bochs: Some((bios::CD, "grub.iso", "cd.iso")),
        others: "microvm has no drive that GRUB knows",
    },
    Way {
        name: "EFI application",
        qemu: &[
            (EFI_PC, "-kernel maskmatch.efi -append profile=quick"),
            (EFI_Q35, "-kernel maskmatch.efi -append profile=quick"),
        ],
        bochs: None,
        others: "it needs UEFI",
    },
    Way {
        name: "ISO",
        qemu: &[
            (BIOS, "-cdrom maskmatch.iso"),
            (EFI_PC, "-cdrom maskmatch.iso"),
            (EFI_Q35, "-cdrom maskmatch.iso"),
        ],
        bochs: Some((bios::CD, "maskmatch.iso", "cd.iso")),
        others: "microvm has no CD drive",
    },
    Way {
        name: "disk",
        qemu: &[
            (BIOS, "-drive format=raw,file=maskmatch.img"),
            (EFI_PC, "-drive format=qcow2,file=maskmatch.qcow2"),
            (EFI_Q35, "-drive format=vpc,file=maskmatch.vhd"),
        ],
        bochs: Some((bios::DISK, "maskmatch.img", "disk.img")),
        others: "microvm's firmware boots no disk",
    },
    Way {
        name: "kexec",
        qemu: &[(BIOS, LINUX), (EFI_PC, LINUX), (EFI_Q35, LINUX), (MICROVM, MICROVM_LINUX)],
        bochs: Some((bios::CD, "linux.iso", "cd.iso")),
        others: "",
    },
    Way {
        name: "PXE",
        qemu: &[
            (BIOS, tftp!("maskmatch.pxe")),
            (EFI_PC, tftp!("maskmatch.efi")),
            (EFI_Q35, tftp!("maskmatch.efi")),
        ],
        bochs: None,
        others: "microvm's firmware boots no network, and Bochs has no ROM for one",
    },
    Way {
        name: "iPXE",
        qemu: &[
            (BIOS, tftp!("bios.ipxe")),
            (EFI_PC, ipxe_disk!("efi.ipxe")),
            (EFI_Q35, ipxe_disk!("efi.ipxe")),
        ],
        bochs: None,
        others: "as PXE",
    },
];

/// The command line of Linux in Bochs, without what costs it long and what Bochs does wrong.
const LINUX_IN_BOCHS: &str = "quiet acpi=off nosmp nokaslr mitigations=off tsc=reliable \
    tsc_early_khz=50000 lpj=200000 no_timer_check random.trust_cpu=1 cryptomgr.notests \
    clearcpuid=321,323,580";

/// Installs what boots, and makes files of it in `$D`, where the image's files are.
const SETUP: &str = r#"set -e; cd $D; export DEBIAN_FRONTEND=noninteractive
apt-get -qq -y --no-install-recommends install qemu-system-x86 ovmf ipxe-qemu grub-pc-bin     grub-efi-amd64-bin grub-common xorriso mtools
mkdir debs root; apt-get -qq -y --no-install-recommends --download-only     -o Dir::Cache::archives=$D/debs/ install kexec-tools busybox-static ipxe linux-image-cloud-amd64
for file in debs/*.deb; do dpkg-deb -x $file root; done
cp /usr/share/ovmf/OVMF.fd .; cp root/boot/vmlinuz-* linux
mkdir -p ipxe/EFI/BOOT; cp root/boot/ipxe.efi ipxe/EFI/BOOT/BOOTX64.EFI
printf '#!ipxe
chain maskmatch.pxe
' >bios.ipxe
printf '#!ipxe
chain maskmatch.efi profile=quick
' >efi.ipxe
iso() { mkdir -p $1/boot/grub; printf "set timeout=0
menuentry x {
$3
boot
}
" >$1/boot/grub/grub.cfg
    cp $2 $1/; grub-mkrescue -o $1.iso $1 2>/dev/null; }
iso grub maskmatch.elf 'multiboot2 /maskmatch.elf profile=quick'
mkdir -p files/sbin files/bin; cp root/sbin/kexec files/sbin/; cp root/bin/busybox kexec/* files/bin/
for library in $(LD_LIBRARY_PATH=root/usr/lib/x86_64-linux-gnu ldd root/sbin/kexec | grep -o '[^ ]*/[^ ]*')
do mkdir -p files/lib64; cp $library files/lib64/; done
"#;

/// The first program of Linux: it leaves Linux for the image.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
export LD_LIBRARY_PATH=/lib64
kexec.sh
poweroff -f
";

#[test]
#[ignore = "installs QEMU and firmware, and takes long; it writes docs/boots.md"]
fn boots() {
    let folder = Folder::new();
    let image = |form: &str, file: &str| {
        let line = ["image", form, &folder.path(file), "--cmdline", "profile=quick"];
        call(line.iter().take(if form == "--elf" { 3 } else { 5 })).expect(0);
    };
    for (form, file) in [
        ("--elf", "maskmatch.elf"),
        ("--efi", "maskmatch.efi"),
        ("--iso", "maskmatch.iso"),
        ("--disk", "maskmatch.img"),
        ("--disk", "maskmatch.qcow2"),
        ("--disk", "maskmatch.vhd"),
        ("--pxe", "maskmatch.pxe"),
        ("--kexec", "kexec"),
    ] {
        image(form, file);
    }
    let shell = |script: &str| {
        finish(Command::new("sh").args(["-c", script]).env("D", folder.path(""))).expect(0)
    };
    shell(SETUP);
    folder.write("initramfs", initramfs(&folder));
    shell(&format!(
        "cd $D; mkdir -p linux-cd/boot/grub; cp linux initramfs linux-cd; printf 'linux /linux {LINUX_IN_BOCHS}\n\
         initrd /initramfs\nboot\n' >linux-cd/boot/grub/grub.cfg; grub-mkrescue -o linux.iso linux-cd"
    ));
    let versions = shell(
        "cd $D; dpkg-query -W qemu-system-x86 seabios ovmf ipxe-qemu grub-pc-bin bochs; for file in \
         debs/kexec-tools*.deb debs/linux-image-6*.deb debs/ipxe*.deb; do dpkg-deb -W $file; done",
    );
    let run = ["run", "--l0", "bochs", "--profile", "quick", "--json", &folder.path("run.json")];
    call(run).expect(0);
    let run = folder.result("run.json");

    let (mut table, mut lines) = (String::new(), String::new());
    for way in &WAYS {
        let _ = write!(table, "| {} ", way.name);
        for machine in MACHINES {
            let options =
                way.qemu.iter().find(|(on, _)| *on == machine).map(|(_, options)| options);
            if let Some(options) = options {
                let _ = writeln!(
                    lines,
                    "| {}, {} | `{} {options}` |",
                    way.name, machine.name, machine.qemu
                );
                qemu(&folder, &format!("{} {options}", machine.qemu));
            }
            table += if options.is_some() { "| skip, off " } else { "| - " };
        }
        if let Some((drives, file, name)) = way.bochs {
            fs::copy(folder.path(file), folder.path(name)).expect("the file can be copied");
            on_bochs(&folder, drives, &run);
            table += "| verdict, off ";
        } else {
            table += "| - ";
        }
        let _ = writeln!(table, "| {} |", way.others);
        eprintln!("{}: done", way.name);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/boots.md");
    fs::write(path, document(&table, &lines, &versions.out)).expect("docs can be written");
}

/// The folder `files` as an archive that Linux unpacks, and what it starts.
fn initramfs(folder: &Folder) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut add = |name: &str, mode: u32, content: &[u8]| {
        let entry = Builder::new(name).mode(mode);
        let mut writer = entry.write(&mut archive, content.len() as u32);
        std::io::Write::write_all(&mut writer, content).expect("memory can be written");
        writer.finish().expect("memory can be written");
    };
    for name in ["proc", "sys"] {
        add(name, 0o40_755, b"");
    }
    for name in ["bin", "sbin", "lib64"] {
        add(name, 0o40_755, b"");
        for file in fs::read_dir(folder.path(&format!("files/{name}"))).expect("a folder").flatten()
        {
            let inside = format!("{name}/{}", file.file_name().to_string_lossy());
            add(&inside, 0o100_755, &fs::read(file.path()).expect("a file"));
        }
    }
    add("init", 0o100_755, INIT.as_bytes());
    trailer(archive).expect("memory can be written")
}

/// Boots in QEMU, in the folder. The log must be a sound skip, and the machine must end.
fn qemu(folder: &Folder, options: &str) {
    let log = folder.path("log");
    let mut command = Command::new("qemu-system-x86_64");
    command.args(QEMU.split(' ')).args(options.split(' ')).current_dir(folder.path(""));
    command.stdin(Stdio::null()).stdout(File::create(&log).expect("it is ours"));
    let mut machine = command.spawn().expect("QEMU starts");
    let start = Instant::now();
    let mut logged = None;
    let status = loop {
        if let Some(status) = machine.try_wait().expect("it is ours") {
            break Some(status);
        }
        if has_end(&log) {
            logged.get_or_insert_with(Instant::now);
        }
        let late = logged.map_or(start.elapsed() > TO_LOG, |at| at.elapsed() > TO_END);
        if late {
            machine.kill().and_then(|()| machine.wait()).expect("it is ours");
            break None;
        }
        sleep(Duration::from_millis(200));
    };
    let text = String::from_utf8_lossy(&folder.read("log")).into_owned();
    assert!(status.is_some_and(|status| status.success()), "{options}: {status:?}\n{text}");
    let checked = call(["check", &log]).expect(3);
    assert!(checked.verdict().contains("VMX"), "{options}: {checked:#?}");
    assert!(text.contains("profile=quick"), "{options}: {text}");
}

fn has_end(log: &str) -> bool {
    fs::read(log).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains("# end "))
}

/// Boots in Bochs. The log must have the verdict of a run.
fn on_bochs(folder: &Folder, drives: &str, run: &Value) {
    let model = run["processor"]["parameters"]["cpu"].as_str().expect("a model");
    let log = bios::boot(folder, model, drives);
    let [major, minor] = [0, 1].map(|at| run["processor"]["version"][at].as_u64().expect("one"));
    let (host, json) = (format!("bochs {major}.{minor}"), folder.path("checked.json"));
    call(["check", &log, "--host", &host, "--json", &json]).expect(0);
    let fields = ["name", "verdict", "cases", "failed", "known", "differences"];
    assert_same(&folder.result("checked.json"), run, &fields);
}

fn document(table: &str, lines: &str, versions: &str) -> String {
    format!(
        "# How the image boots

`cargo test --release -p runner --test e2e -- --ignored boots` boots the image in each way on each
machine and writes this file. It stops at the first that is wrong.

- *skip, off*: the log is sound and says that the CPU has no VMX, which QEMU's emulation lacks, and
  the machine ended by itself.
- *verdict, off*: `maskmatch check` says of each group what `maskmatch run --l0 bochs` says, and the
  machine was powered off.

| way | {} | Bochs, BIOS | the others |
|---|---|---|---|---|---|---|
{table}
[usage.md](usage.md#boot-it-anywhere) says how each file is made. Secure Boot is not supported: the
EFI application is not signed.

## What was run

`qemu-system-x86_64 {QEMU}` with:

| way, machine | options |
|---|---|
{lines}
*ELF by multiboot2* is a CD that `grub-mkrescue` made. *kexec* is Debian's cloud kernel with Debian's
kexec-tools, and runs the script that `image --kexec` writes. In Bochs it comes from a CD.

Versions, as Debian names them:

```text
{versions}```
",
        MACHINES.map(|machine| machine.name).join(" | ")
    )
}
