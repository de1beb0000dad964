//! The `bochsrc` that Bochs reads.

use crate::vmm::bochs::machine::Machine;
use crate::vmm::bochs::rom::BLOB_ADDRESS;
use std::path::Path;

/// The names of the files in the run's own directory, which is Bochs' current one.
pub mod names {
    /// The configuration.
    pub const CONFIG: &str = "bochsrc";
    /// The debugger's commands.
    pub const DEBUGGER: &str = "debugger.rc";
    /// The boot ROM.
    pub const ROM: &str = "rom.bin";
    /// The guest's memory from 1 MiB up.
    pub const RAM: &str = "ram.bin";
    /// The FIFO that COM1 writes to.
    pub const SERIAL: &str = "serial";
    /// Bochs' own log.
    pub const LOG: &str = "bochs.log";
}

/// The VGA BIOS of Debian's package vgabios, on which bochs depends.
const VGA_ROM: &str = "/usr/share/vgabios/vgabios.bin";

/// The configuration for `machine`; `with_ram`: with its memory as one image.
pub fn bochsrc(machine: &Machine, cpu_model: &str, with_ram: bool) -> String {
    let Machine { memory_mib, processors, ips, .. } = machine;
    // A triple fault must end Bochs (panic: fatal) and not restart the guest. No message below a
    // panic is of use: with Linux, Bochs would log hundreds of megabytes.
    let config = format!(
        "config_interface: textconfig\n\
         display_library: rfb, options=\"timeout=0\"\n\
         memory: guest={memory_mib}, host={memory_mib}\n\
         romimage: file={rom}\n\
         cpu: model={cpu_model}, count={processors}, ips={ips}, reset_on_triple_fault=0\n\
         clock: sync=none\n\
         port_e9_hack: enabled=1\n\
         plugin_ctrl: speaker=0, parallel=0, biosdev=0\n\
         log: {log}\n\
         panic: action=fatal\n\
         error: action=ignore\n\
         info: action=ignore\n\
         debug: action=ignore\n",
        rom = names::ROM,
        log = names::LOG,
    );
    // A VGA BIOS must exist if one is named. Nothing runs it.
    let vga = if Path::new(VGA_ROM).exists() {
        format!("vgaromimage: file={VGA_ROM}\n")
    } else {
        String::new()
    };
    let ram = if with_ram {
        format!("optramimage1: file={}, address={BLOB_ADDRESS:#x}\n", names::RAM)
    } else {
        String::new()
    };
    config + &ram + &vga + &format!("com1: enabled=1, mode=file, dev={}\n", names::SERIAL)
}
