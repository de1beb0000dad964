//! The virtual machine as VirtualBox's VMM has it: a tree of settings.
//!
//! They are those that VirtualBox gives to a machine that was made by `VBoxManage createvm --ostype
//! Other_64` with `--nested-hw-virt on --ioapic on --x86-x2apic on`, COM1 to a file, and no display,
//! keyboard, disk or network. The image keeps its log in memory, after that which its loader's map
//! has: [`log_region`].

use serde_json::{Map, Value, json};
use spec::catalogue::machine::Region;

use super::options::{Options, SWITCHES};

/// Where the firmware is, inside: the boot ROM for Bochs, which needs no more of a machine than
/// VirtualBox has.
pub const FIRMWARE: &str = "/tmp/firmware.bin";
/// Where COM1's bytes come, inside: what the image says before it knows its options.
pub const SERIAL: &str = "/tmp/serial";
/// Memory for the log. That of the exhaustive profile is far below a megabyte.
const LOG_MIB: u32 = 2;
/// The machine's name in its identifier, which must have 16 bytes.
const UUID: &[u8; 16] = b"maskmatch lab VM";
/// Where memory above 4 GiB would begin, counted from 4 GiB down.
const RAM_HOLE: u64 = 512 << 20;
/// `PDMAPICMODE_X2APIC`.
const X2APIC: u64 = 3;
/// COM1.
const COM1: (u64, u64) = (0x3f8, 4);
/// The PCI device and function of the power management of a PIIX4.
const PIIX4: (u64, u64) = (7, 0);
/// A device that is trusted may have a part in the kernel.
const TRUSTED: (&str, u64) = ("Trusted", 1);

/// Where a machine keeps the log whose image has so much memory.
pub fn log_region(memory_mib: u32) -> Region {
    Region { start: memory_mib << 20, size: LOG_MIB << 20 }
}

/// What the image is asked for the log's sake.
pub fn log_options(memory_mib: u32) -> String {
    let Region { start, size } = log_region(memory_mib);
    format!("serial=none memory={start:#x},{size:#x}")
}

/// The settings of a machine with these options.
pub fn settings(options: &Options, processors: u32, memory_mib: u32) -> Value {
    let mut hm = json!({
        "HMForced": 1,
        "64bitEnabled": 1,
        "UseNEMInstead": 0,
        "FallbackToNEM": 0,
        "FallbackToIEM": 0,
    });
    for (name, setting) in SWITCHES {
        hm[setting] = json!(u64::from(options.is_on(name)));
    }
    json!({
        "Name": "maskmatch",
        "UUID": UUID,
        "RamSize": u64::from(memory_mib + LOG_MIB) << 20,
        "RamHoleSize": RAM_HOLE,
        "NumCPUs": processors,
        "CpuExecutionCap": 100,
        "TimerMillies": 10,
        "EnablePAE": 1,
        "HMEnabled": 1,
        // The image ends by a reset where nothing else works.
        "PowerOffInsteadOfReset": 1,
        "CPUM": { "NestedHWVirt": 1, "Enable64bit": 1 },
        "EM": { "TripleFaultReset": 1, "IemExecutesAll": 0, "IemRecompiled": 0 },
        "HM": hm,
        "GIM": { "Provider": "None" },
        "Devices": devices(processors),
    })
}

fn devices(processors: u32) -> Value {
    let (port, irq) = COM1;
    let mut serial = device(&json!({ "IRQ": irq, "IOAddress": port, "UartType": "16550A" }));
    serial["0"]["LUN#0"] = json!({
        "Driver": "Char",
        "AttachedDriver": { "Driver": "RawFile", "Config": { "Location": SERIAL } },
    });
    let mut acpi = device(&json!({ "NumCPUs": processors, "IOAPIC": 1 }));
    acpi["0"]["PCIBusNo"] = json!(0);
    acpi["0"]["PCIDeviceNo"] = json!(PIIX4.0);
    acpi["0"]["PCIFunctionNo"] = json!(PIIX4.1);
    let boots =
        (0..4).map(|number| (format!("BootDevice{number}"), json!("NONE"))).collect::<Map<_, _>>();
    let mut bios = json!({
        "NumCPUs": processors,
        "HardDiskDevice": "piix3ide",
        "FloppyDevice": "i82078",
        "UUID": UUID,
        "BiosRom": FIRMWARE,
    });
    if let Value::Object(bios) = &mut bios {
        bios.extend(boots);
    }
    json!({
        "pcarch": device(&json!({})),
        "8237A": device(&json!({})),
        "pci": device(&json!({ "IOAPIC": 1 })),
        "i8254": device(&json!({})),
        "i8259": device(&json!({})),
        "apic": device(&json!({ "IOAPIC": 1, "Mode": X2APIC, "NumCPUs": processors })),
        "ioapic": device(&json!({ "NumCPUs": processors })),
        "mc146818": device(&json!({ "UseUTC": 1 })),
        "pcbios": device(&bios),
        "serial": serial,
        "acpi": acpi,
    })
}

/// The only one of a kind of device.
fn device(config: &Value) -> Value {
    let (name, value) = TRUSTED;
    json!({ "0": { name: value, "Config": config } })
}

#[cfg(test)]
mod tests {
    use super::{log_options, log_region, settings};
    use spec::catalogue::options::Options;

    #[test]
    fn options_reach_the_settings() {
        let of = |text: &str| settings(&text.parse().unwrap(), 2, 32);
        let (usual, other) = (of(""), of("x86-vtx-vpid=off"));
        assert_eq!(usual["HM"]["EnableVPID"], 1);
        assert_eq!(other["HM"]["EnableVPID"], 0);
        assert_eq!(other["HM"]["EnableNestedPaging"], 1);
        assert_eq!(usual["RamSize"], 34 << 20);
        assert_eq!(usual["UUID"].as_array().unwrap().len(), 16);
        for device in ["apic", "ioapic", "pcbios", "acpi"] {
            assert_eq!(usual["Devices"][device]["0"]["Config"]["NumCPUs"], 2, "{device}");
        }
    }

    #[test]
    fn the_image_is_asked_to_keep_the_log_where_the_machine_has_memory_for_it() {
        let line = format!("profile=quick {}", log_options(4));
        let options = Options::parse(&line).unwrap();
        assert_eq!(options.memory, Some(log_region(4)));
        assert_eq!(options.serial.unwrap().iter().count(), 0);
        let (end, ram) = (4 << 20, settings(&"".parse().unwrap(), 1, 4)["RamSize"].as_u64());
        assert_eq!((log_region(4).start, ram), (end, Some(u64::from(end + log_region(4).size))));
    }
}
