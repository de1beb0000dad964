//! Sets of parameters of `kvm_intel` and `kvm`: how L0 is loaded, and which sets are worth a run. A
//! parameter of `kvm` has the module's name before it: `kvm.tdp_mmu=0`.
//!
//! What matters is whether L0 itself needs page faults while L2 runs. Without EPT it always does.
//! With EPT it does only if `allow_smaller_maxphyaddr` is on and the guest's MAXPHYADDR is below
//! the host's. The other parameters change how vmcs12 reaches L0 (shadow VMCS) or how L2's tables
//! are walked.

use std::collections::BTreeMap;
use std::fmt;
use std::iter::once;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::modules::{KVM, KVM_INTEL};
use crate::verdict::subject::is_on;

/// `kvm_intel` parameters that every run has: without nesting there is nothing to test.
const NESTED: (&str, &str) = ("nested", "1");
/// Bochs logs guest-physical addresses with their low 12 bits, which the processor clears (SDM
/// "Page-Modification Logging"); KVM warns of each.
const PML_OFF: (&str, &str) = ("pml", "0");
/// The default. 5.10 does not go back to it by itself: the variable is kvm.ko's and outlives
/// kvm_intel.
const SMALLER_OFF: (&str, &str) = ("allow_smaller_maxphyaddr", "0");
/// The module whose parameters stand without its name.
const UNNAMED: &str = "kvm_intel.";
/// What stands before the name of a parameter of another module.
const JOINT: char = '.';
/// The name under which a set gives the guest's MAXPHYADDR. It is for the VMM, not for the module.
const GUEST_MAXPHYADDR: &str = "guest_maxphyaddr";
/// A MAXPHYADDR below every host's (Bochs has 40), and one that real guests have had.
const SMALLER_MAXPHYADDR: u8 = 36;

/// One way to load `kvm_intel`, and the MAXPHYADDR that its guest gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ParamSet {
    values: Vec<(String, String)>,
    guest_maxphyaddr: Option<u8>,
}

impl ParamSet {
    /// The parameters as given, in order, without those that every run has.
    pub fn values(&self) -> &[(String, String)] {
        &self.values
    }

    /// The MAXPHYADDR that the VMM gives the guest, or `None` for the host's.
    pub fn guest_maxphyaddr(&self) -> Option<u8> {
        self.guest_maxphyaddr
    }

    /// The parameter line for the kernel, with `always` (see [`always`]) first, so that the set can
    /// override it.
    pub fn module_line(&self, always: &[(String, String)]) -> String {
        let own = |name: &str| self.values.iter().any(|(known, _)| known == name);
        let kept = always.iter().filter(|(name, _)| !own(name));
        kept.chain(self.values.iter().filter(|(name, _)| !name.contains(JOINT)))
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The words for the kernel's command line if the module is part of the kernel.
    pub fn kernel_line(&self, module: &str, always: &[(String, String)]) -> String {
        let own = if module == KVM_INTEL {
            self.module_line(always)
        } else {
            let own = self.of(module).map(|(name, value)| format!("{name}={value}"));
            once(quirk(module).to_string()).chain(own).collect::<Vec<_>>().join(" ")
        };
        let named = own.split_ascii_whitespace().map(|word| format!("{module}{JOINT}{word}"));
        named.collect::<Vec<_>>().join(" ")
    }

    /// The parameters of another module than `kvm_intel`, without its name.
    pub fn of<'a>(&'a self, module: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.values.iter().filter_map(move |(name, value)| {
            let (of, name) = name.split_once(JOINT)?;
            (of == module).then_some((name, value.as_str()))
        })
    }

    /// If the module lacks a parameter of this set, a sentence that says which. The kernel would
    /// only log it.
    pub fn unknown_to(&self, known: &[String]) -> Option<String> {
        let unknown: Vec<&str> = self
            .values
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !known.iter().any(|k| k == name))
            .collect();
        (!unknown.is_empty())
            .then(|| format!("this kernel's kvm_intel has no parameter {}", unknown.join(", ")))
    }

    /// If a value is none that the parameter can have, a sentence that says which. `known` are the
    /// module's parameters with their types.
    #[must_use]
    pub fn misfit(&self, known: &[(String, String)]) -> Option<String> {
        self.values.iter().find_map(|(name, value)| {
            let (_, kind) = known.iter().find(|(known, _)| known == name)?;
            let number = value.strip_prefix('-').unwrap_or(value);
            let number = number
                .strip_prefix("0x")
                .map_or_else(|| number.parse(), |hex| u64::from_str_radix(hex, 16));
            match kind.as_str() {
                "bool" if !is_on(value) && !is_off(value) => {
                    Some(format!("{name}={value}: {name} is 0 or 1"))
                }
                "int" | "uint" | "long" | "ulong" | "short" | "ushort" if number.is_err() => {
                    Some(format!("{name}={value}: {name} is a number"))
                }
                _ => None,
            }
        })
    }

    /// If the loaded module has another value in force than this set asks for (`effective` is what
    /// it says), a sentence that says which. The kernel turns off what the CPU, or another
    /// parameter, does not allow.
    pub fn refused_by(&self, effective: &BTreeMap<String, String>) -> Option<String> {
        self.values.iter().find_map(|(name, wanted)| {
            let got = effective.get(name).filter(|got| !is_same(wanted, got))?;
            Some(format!("{name}={wanted} was asked for, and {name}={got} is in force"))
        })
    }
}

impl FromStr for ParamSet {
    type Err = String;

    /// Parses `ept=0` or `ept=1,vpid=0`; `guest_maxphyaddr=36` is the guest's.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut set = Self { values: Vec::new(), guest_maxphyaddr: None };
        for part in text.split([',', ' ']).filter(|part| !part.is_empty()) {
            let (name, value) = part
                .split_once('=')
                .filter(|(name, value)| {
                    is_word(name)
                        && !value.is_empty()
                        && value.bytes().all(|b| b.is_ascii_graphic())
                })
                .ok_or_else(|| format!("'{part}' is not of the form name=value, like ept=0"))?;
            let name = name.replace('-', "_");
            let name = name.strip_prefix(UNNAMED).unwrap_or(&name).to_string();
            if name == GUEST_MAXPHYADDR {
                let bits = value.parse().ok().filter(|bits| (32..=52).contains(bits));
                set.guest_maxphyaddr = Some(
                    bits.ok_or_else(|| format!("guest_maxphyaddr={value} is not in 32..=52"))?,
                );
            } else if name == NESTED.0 && !is_on(value) {
                return Err(format!("nested={value} leaves nothing to test; leave it out"));
            } else if set.values.iter().any(|(known, _)| *known == name) {
                return Err(format!("'{text}' names {name} twice"));
            } else {
                set.values.push((name, value.into()));
            }
        }
        if set.values.is_empty() && set.guest_maxphyaddr.is_none() {
            return Err("a parameter set is empty; write it like ept=0 or ept=1,vpid=0".into());
        }
        let smaller = set
            .values
            .iter()
            .any(|(name, value)| name == "allow_smaller_maxphyaddr" && is_on(value));
        if smaller && set.guest_maxphyaddr.is_none() {
            set.guest_maxphyaddr = Some(SMALLER_MAXPHYADDR);
        }
        Ok(set)
    }
}

impl fmt::Display for ParamSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> =
            self.values.iter().map(|(name, value)| format!("{name}={value}")).collect();
        parts.extend(self.guest_maxphyaddr.map(|bits| format!("{GUEST_MAXPHYADDR}={bits}")));
        f.write_str(&parts.join(","))
    }
}

impl TryFrom<String> for ParamSet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<ParamSet> for String {
    fn from(set: ParamSet) -> Self {
        set.to_string()
    }
}

/// The parameters of every run in a Bochs of this major version.
pub fn always(bochs_major: u32) -> Vec<(String, String)> {
    // With APIC virtualization, guests on Bochs 3.0 do not get going.
    let quirk = (bochs_major >= 3).then_some(("enable_apicv", "0"));
    [NESTED, PML_OFF, SMALLER_OFF]
        .into_iter()
        .chain(quirk)
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// The parameters of modules other than `kvm_intel`: KVM must emulate what follows the
/// forced-emulation prefix, which otherwise raises #UD.
pub fn quirk(module: &str) -> &'static str {
    if module == KVM { "force_emulation_prefix=1" } else { "" }
}

/// Sets that only the exhaustive profile runs.
const EXHAUSTIVE: [&str; 7] = [
    "unrestricted_guest=0",
    "vpid=0",
    "kvm.tdp_mmu=0",
    "kvm.nx_huge_pages=1",
    "vnmi=0",
    "eptad=0",
    "preemption_timer=0",
];

/// The sets that are run when the user names none.
pub fn matrix(exhaustive: bool) -> Vec<ParamSet> {
    let standard = ["ept=1", "ept=0", "allow_smaller_maxphyaddr=1", "enable_shadow_vmcs=0"];
    let more: &[&str] = if exhaustive { &EXHAUSTIVE } else { &[] };
    standard.iter().chain(more).filter_map(|text| text.parse().ok()).collect()
}

/// Whether it is the name of a parameter, or one after the name of its module.
fn is_word(name: &str) -> bool {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    let (module, name) = name.split_once(JOINT).unwrap_or((name, name));
    is_name(module) && is_name(name)
}

fn is_off(value: &str) -> bool {
    matches!(value, "0" | "n" | "N" | "off")
}

/// Whether a parameter's value is the one asked for. The kernel prints booleans as Y and N, numbers
/// in decimal.
fn is_same(wanted: &str, got: &str) -> bool {
    match got {
        "Y" => is_on(wanted),
        "N" => is_off(wanted),
        _ => wanted == got || !wanted.bytes().all(|b| b.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_print_as_they_parse() {
        for text in [
            "ept=0",
            "ept=1,vpid=0",
            "allow_smaller_maxphyaddr=1,guest_maxphyaddr=36",
            "guest_maxphyaddr=39",
            "kvm.tdp_mmu=0",
        ] {
            assert_eq!(text.parse::<ParamSet>().map(|set| set.to_string()), Ok(text.to_string()));
        }
        let set: ParamSet = "allow_smaller_maxphyaddr=Y".parse().unwrap();
        assert_eq!(set.guest_maxphyaddr(), Some(36));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "ept",
            "ept=",
            "=1",
            ".ept=1",
            "kvm.=1",
            "a.b.c=1",
            "ept=0,ept=1",
            "nested=0",
            "guest_maxphyaddr=99",
            "e\u{e9}=1",
        ] {
            assert!(text.parse::<ParamSet>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_module_line_nests_and_lets_the_set_override() {
        let set: ParamSet = "ept=0".parse().unwrap();
        assert_eq!(set.module_line(&always(2)), "nested=1 pml=0 allow_smaller_maxphyaddr=0 ept=0");
        assert_eq!(
            set.module_line(&always(3)),
            "nested=1 pml=0 allow_smaller_maxphyaddr=0 enable_apicv=0 ept=0"
        );
        let set: ParamSet = "enable_apicv=1".parse().unwrap();
        assert_eq!(
            set.module_line(&always(3)),
            "nested=1 pml=0 allow_smaller_maxphyaddr=0 enable_apicv=1"
        );
    }

    #[test]
    fn a_kernel_that_has_the_modules_built_in_gets_their_parameters() {
        let set: ParamSet = "ept=0,kvm.tdp_mmu=0,guest_maxphyaddr=36".parse().unwrap();
        assert_eq!(
            set.kernel_line(KVM_INTEL, &always(2)),
            "kvm_intel.nested=1 kvm_intel.pml=0 kvm_intel.allow_smaller_maxphyaddr=0 kvm_intel.ept=0"
        );
        assert_eq!(set.kernel_line(KVM, &always(2)), "kvm.force_emulation_prefix=1 kvm.tdp_mmu=0");
    }

    #[test]
    fn an_unknown_parameter_says_its_name() {
        let set: ParamSet = "ept=0,warp=9".parse().unwrap();
        assert!(set.unknown_to(&["ept".into()]).unwrap().contains("warp"));
        assert_eq!(set.unknown_to(&["ept".into(), "warp".into()]), None);
    }

    #[test]
    fn values_that_a_parameter_cannot_have_are_found() {
        let known = [("ept", "bool"), ("ple_gap", "uint"), ("odd", "charp")]
            .map(|(n, k)| (n.into(), k.into()));
        let misfit = |text: &str| text.parse::<ParamSet>().unwrap().misfit(&known);
        for fine in
            ["ept=0", "ept=Y", "ple_gap=0x80", "ple_gap=128", "odd=banana", "unknown=banana"]
        {
            assert_eq!(misfit(fine), None, "{fine}");
        }
        for wrong in ["ept=banana", "ept=2", "ple_gap=many"] {
            assert!(misfit(&format!("unknown=1,{wrong}")).unwrap().starts_with(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_in_force_is_refused() {
        let set: ParamSet = "ept=1,ple_gap=128".parse().unwrap();
        let in_force = |ept: &str| {
            [("ept".to_string(), ept.to_string()), ("ple_gap".into(), "128".into())].into()
        };
        assert_eq!(set.refused_by(&in_force("Y")), None);
        assert!(set.refused_by(&in_force("N")).unwrap().contains("ept=N"));
    }

    #[test]
    fn the_matrix_is_whole() {
        assert_eq!((matrix(false).len(), matrix(true).len()), (4, 4 + EXHAUSTIVE.len()));
    }

    #[test]
    fn parameters_of_kvm_are_apart() {
        let set: ParamSet = "kvm.tdp-mmu=0,kvm_intel.ept=1".parse().unwrap();
        assert_eq!(set.module_line(&[]), "ept=1");
        assert_eq!(set.of("kvm").collect::<Vec<_>>(), [("tdp_mmu", "0")]);
    }
}
