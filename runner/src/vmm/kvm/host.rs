//! Whether a guest on this machine's KVM can use VMX, and if not, why.
//!
//! QEMU with `-accel kvm` needs the same, so it asks here too.

use crate::vmm::Unavailable;
use kvm_bindings::{CpuId, KVM_API_VERSION, KVM_MAX_CPUID_ENTRIES};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;

const DEVICE: &str = "/dev/kvm";
/// Where the kernel shows the parameters of kvm_intel that are in force.
const PARAMETERS: &str = "/sys/module/kvm_intel/parameters";
/// CPUID leaf 1, ECX bit 5: VMX.
const VMX: u32 = 1 << 5;

/// An open KVM, and what it can show to a guest.
pub struct Device {
    /// The device.
    pub kvm: kvm_ioctls::Kvm,
    /// What KVM_GET_SUPPORTED_CPUID says.
    pub cpuid: CpuId,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("kvm", &self.kvm.as_raw_fd()).finish_non_exhaustive()
    }
}

impl Device {
    /// Opens the device and checks its version.
    ///
    /// # Errors
    /// There is none, this user may not open it, or it is not the KVM that Linux has had since
    /// 2.6.22.
    pub fn open() -> Result<Self, Unavailable> {
        // Opened here first, because std's error kinds distinguish the reasons.
        fs::File::options().read(true).write(true).open(DEVICE).map_err(|error| {
            match error.kind() {
                ErrorKind::NotFound => Unavailable::new(
                    format!(
                        "there is no {DEVICE}: this kernel has no KVM, or the CPU no virtualization"
                    ),
                    format!("modprobe {}", module()),
                ),
                ErrorKind::PermissionDenied => Unavailable::new(
                    format!("this user may not open {DEVICE}"),
                    "sudo usermod -aG kvm $USER, then log in again",
                ),
                _ => Unavailable::new(
                    format!("{DEVICE} cannot be opened: {error}"),
                    format!("modprobe {}", module()),
                ),
            }
        })?;
        let kvm = kvm_ioctls::Kvm::new()
            .map_err(|error| Unavailable::failed(format!("open {DEVICE}"), error))?;
        let version = kvm.get_api_version();
        if version != KVM_API_VERSION.cast_signed() {
            return Err(Unavailable::new(
                format!("{DEVICE} has API version {version}, maskmatch needs {KVM_API_VERSION}"),
                "",
            ));
        }
        let cpuid = kvm
            .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
            .map_err(|error| Unavailable::failed("ask KVM for its CPUID", error))?;
        Ok(Self { kvm, cpuid })
    }

    /// Whether a guest can have VMX.
    pub fn offers_vmx(&self) -> bool {
        self.cpuid.as_slice().iter().any(|entry| entry.function == 1 && entry.ecx & VMX != 0)
    }

    /// Checks that a guest can have VMX.
    ///
    /// # Errors
    /// It cannot.
    pub fn require_vmx(&self) -> Result<(), Unavailable> {
        if self.offers_vmx() {
            Ok(())
        } else {
            Err(no_vmx(&vendor(), fs::metadata("/sys/module/kvm_intel").is_ok()))
        }
    }
}

/// Why a guest gets no VMX, by the CPU's vendor and whether kvm_intel is loaded.
fn no_vmx(vendor: &str, kvm_intel: bool) -> Unavailable {
    match (vendor, kvm_intel) {
        ("GenuineIntel", true) => Unavailable::new(
            "KVM offers no nested VMX: kvm_intel was loaded with nested=0",
            "modprobe -r kvm_intel && modprobe kvm_intel nested=1",
        ),
        ("GenuineIntel", false) => Unavailable::new(
            "KVM offers no nested VMX: kvm_intel is not loaded, so this CPU shows no VMX or the host above hides it",
            "modprobe kvm_intel nested=1, or enable VMX in the firmware or in the host above",
        ),
        ("AuthenticAMD" | "HygonGenuine", _) => Unavailable::new(
            "KVM offers no nested VMX: this CPU has SVM, maskmatch needs VMX",
            "maskmatch run --l0 lab",
        ),
        _ => Unavailable::new(
            "KVM offers no nested VMX: this CPU is not known to have it",
            "use a machine with an Intel CPU, or: maskmatch run --l0 lab",
        ),
    }
}

/// The CPU's vendor, as /proc/cpuinfo has it.
fn vendor() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = cpuinfo.lines().find_map(|line| line.strip_prefix("vendor_id"));
    line.map_or_else(String::new, |rest| rest.trim_start_matches([' ', '\t', ':']).to_owned())
}

/// The module that would provide KVM here.
fn module() -> &'static str {
    if vendor() == "AuthenticAMD" { "kvm_amd" } else { "kvm_intel nested=1" }
}

/// The running kernel's version.
pub fn kernel_release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if release.trim().is_empty() { "(unknown version)".into() } else { release.trim().into() }
}

/// Every parameter of kvm_intel that is in force, except those that cannot be read.
pub fn parameters() -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(PARAMETERS) else { return BTreeMap::new() };
    let read = |entry: fs::DirEntry| {
        let value = fs::read_to_string(entry.path()).ok()?;
        Some((entry.file_name().into_string().ok()?, value.trim().to_string()))
    };
    entries.flatten().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::no_vmx;

    #[test]
    fn the_reason_names_what_is_in_the_way() {
        assert!(no_vmx("GenuineIntel", true).mend.contains("nested=1"));
        assert!(no_vmx("GenuineIntel", false).why.contains("not loaded"));
        assert!(
            no_vmx("AuthenticAMD", false).why.contains("this CPU has SVM, maskmatch needs VMX")
        );
        assert!(no_vmx("", false).why.contains("no nested VMX"));
    }
}
