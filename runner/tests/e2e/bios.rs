//! A Bochs with a BIOS: what boots there, boots on a PC.

use std::process::Command;

use crate::command::own_network;
use crate::files::Folder;

/// What starts a program that must end.
const LIMIT: [&str; 2] = ["timeout", "1200"];

/// A CD in the drive, from which the BIOS boots.
pub const CD: &str = "ata0-master: type=cdrom, path=cd.iso, status=inserted\nboot: cdrom\n";
/// A disk of `maskmatch image --disk`.
pub const DISK: &str = "ata0-master: type=disk, mode=flat, path=disk.img, cylinders=512, heads=4, spt=17\n\
                        boot: disk\n";

/// Boots what a folder has in these drives, to the end of the image's log, whose path it gives. The
/// image must power the machine off.
pub fn boot(folder: &Folder, model: &str, drives: &str) -> String {
    let config = format!(
        "config_interface: textconfig\n\
         display_library: rfb, options=\"timeout=0\"\n\
         memory: guest=128, host=128\n\
         romimage: file=/usr/share/bochs/BIOS-bochs-latest\n\
         vgaromimage: file=/usr/share/vgabios/vgabios.bin\n\
         cpu: model={model}, ips=50000000, reset_on_triple_fault=0\n\
         clock: sync=none\n\
         {drives}\
         com1: enabled=1, mode=file, dev=log\n\
         log: bochs.log\n\
         panic: action=fatal\n\
         error: action=ignore\n\
         info: action=ignore\n"
    );
    folder.write("bochsrc", config);
    folder.write("commands", "c\n");
    let network =
        own_network().map(|way| std::iter::once(&"unshare").chain(way)).into_iter().flatten();
    let words: Vec<&str> = LIMIT
        .iter()
        .chain(network)
        .chain(&["bochs", "-q", "-f", "bochsrc", "-rc", "commands"])
        .copied()
        .collect();
    // The guest powers off, which Bochs calls a panic.
    let ended = Command::new(words[0])
        .args(&words[1..])
        .current_dir(folder.path(""))
        .output()
        .expect("Bochs starts");
    let said = String::from_utf8_lossy(&folder.read("bochs.log")).into_owned();
    assert!(said.contains("soft power off"), "{ended:?}\n{said}");
    folder.path("log")
}
