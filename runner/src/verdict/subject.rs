//! What is under test: products with their versions and parameters, on which known deviations
//! depend.
//!
//! A product is written as `kvm 6.1 ept=0`: its family, then version and parameters, if any.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};
use serde::{Deserialize, Serialize};

/// What is under test: the host, and the processor that it runs on if that is emulated.
///
/// Where nothing is between the image and an emulator, the emulator is the processor and nothing
/// is the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The emulated processor.
    pub processor: Option<Product>,
    /// The host.
    pub host: Option<Product>,
}

/// A product with its version and the parameters that are in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Product {
    /// What it is.
    pub family: Family,
    /// Major and minor number.
    pub version: Option<(u32, u32)>,
    /// The parameters in force, each value as the product itself writes it.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// What a product is, whatever its version. Logs, tables and command lines have these words in
/// lower case.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// The Bochs emulator.
    Bochs,
    /// Linux/KVM with its module kvm_intel; its version is the kernel's.
    Kvm,
    /// QEMU's own emulation.
    Qemu,
    /// VirtualBox; its parameters are options of its virtual machine.
    VirtualBox,
    /// Xen; its parameters are options of its command line.
    Xen,
}

impl Subject {
    /// Nothing but an emulator.
    pub fn processor(processor: Product) -> Self {
        Self { processor: Some(processor), host: None }
    }

    /// A host on this machine's processor.
    pub fn host(host: Product) -> Self {
        Self { processor: None, host: Some(host) }
    }

    /// What a log's header lets one recognise: the host by CPUID's hypervisor leaf, Bochs, which
    /// has none, by the VMCS of its processors. Neither says which version it is.
    pub fn recognised<'a>(fact: impl Fn(&str) -> Option<&'a str>) -> Self {
        let vmx_basic = fact("vmx_basic").and_then(|text| u64::from_str_radix(text, 16).ok());
        match fact("hypervisor") {
            Some("KVMKVMKVM") => Self::host(Product::new(Family::Kvm, None)),
            Some("VBoxVBoxVBox") => Self::host(Product::new(Family::VirtualBox, None)),
            Some("XenVMMXenVMM") => Self::host(Product::new(Family::Xen, None)),
            Some("none") if vmx_basic.is_some_and(is_of_bochs) => {
                Self::processor(Product::new(Family::Bochs, None))
            }
            _ => Self::default(),
        }
    }

    /// What is tested: the host, or without one the processor.
    pub fn tested(&self) -> Option<&Product> {
        self.host.as_ref().or(self.processor.as_ref())
    }

    /// Whether the time stamp counter counts instructions, as that of Bochs does.
    pub fn counts_instructions(&self) -> bool {
        self.processor.as_ref().is_some_and(|processor| processor.family == Family::Bochs)
    }
}

/// VMCS revision identifiers of Bochs' processors: of the older models and of the newer ones, which
/// have that of Intel's.
const BOCHS_REVISIONS: [u64; 2] = [0x2b, 4];
/// The size of a VMCS of theirs. Intel's processors of the same revision say 1024.
const BOCHS_VMCS_SIZE: u64 = 4096;

/// Whether IA32_VMX_BASIC is that of a processor of Bochs.
fn is_of_bochs(vmx_basic: u64) -> bool {
    let (revision, size) = (vmx_basic & 0x7fff_ffff, vmx_basic >> 32 & 0x1fff);
    BOCHS_REVISIONS.contains(&revision) && size == BOCHS_VMCS_SIZE
}

/// What is between the products of a subject, and between the parts of one, in a word.
const BESIDE: char = '/';
const PART: char = ',';
/// Parameters of kvm_intel that a word has, and that reports always show.
pub const TOLD: [&str; 7] = [
    "ept",
    "allow_smaller_maxphyaddr",
    "enable_shadow_vmcs",
    "unrestricted_guest",
    "vpid",
    "vnmi",
    "nested",
];

impl Subject {
    /// The subject as one word of the image's command line, `bochs,2.7/kvm,6.1,ept=N`, from which
    /// the log's header gets it. It has those of KVM's parameters that are in [`TOLD`].
    pub fn to_word(&self) -> String {
        let told = |product: &Product| {
            let mut product = product.clone();
            product
                .parameters
                .retain(|name, _| product.family != Family::Kvm || TOLD.contains(&name.as_str()));
            product.to_string().replace(' ', &PART.to_string())
        };
        let products = self.processor.iter().chain(&self.host).map(told);
        products.collect::<Vec<_>>().join(&BESIDE.to_string())
    }

    /// The subject of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::of(word.split(BESIDE).map(|product| product.replace(PART, " "))).ok()
    }

    /// The subject of these products: an emulator is the processor, any other product the host.
    ///
    /// # Errors
    /// A text is not a product, or is one too many.
    pub fn of<T: AsRef<str>>(products: impl IntoIterator<Item = T>) -> Result<Self, String> {
        let mut subject = Self::default();
        for text in products {
            let product: Product = text.as_ref().parse()?;
            let place = match product.family {
                Family::Bochs | Family::Qemu => &mut subject.processor,
                Family::Kvm | Family::VirtualBox | Family::Xen => &mut subject.host,
            };
            if place.replace(product).is_some() {
                return Err(format!(
                    "'{}' is one too many: there is one processor and one host",
                    text.as_ref()
                ));
            }
        }
        Ok(subject)
    }
}

impl Product {
    /// A product without parameters.
    pub fn new(family: Family, version: Option<(u32, u32)>) -> Self {
        Self { family, version, parameters: BTreeMap::new() }
    }

    /// Its name and version in a sentence.
    pub fn title(&self) -> String {
        let version = self.version.map(|(major, minor)| format!(" {major}.{minor}"));
        format!("{}{}", self.family.title(), version.unwrap_or_default())
    }

    /// KVM of a kernel release such as `6.1.0-56-cloud-amd64`, with the parameters of kvm_intel.
    pub fn kvm(release: &str, parameters: BTreeMap<String, String>) -> Self {
        Self { family: Family::Kvm, version: version(release), parameters }
    }
}

/// The first two numbers of a version that begins with them.
pub fn version(text: &str) -> Option<(u32, u32)> {
    let mut numbers =
        text.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// How Linux reads a boolean parameter.
pub fn is_on(value: &str) -> bool {
    matches!(value, "1" | "y" | "Y" | "on")
}

impl Family {
    /// Its name in a sentence.
    pub const fn title(self) -> &'static str {
        self.words().0
    }

    /// How one of its products is written.
    pub const fn example(self) -> &'static str {
        self.words().1
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Bochs => ("Bochs", "bochs 2.7"),
            Self::Kvm => ("KVM", "kvm 6.1 ept=0"),
            Self::Qemu => ("QEMU", "qemu 10.0"),
            Self::VirtualBox => ("VirtualBox", "virtualbox 7.2 x86-vtx-vpid=off"),
            Self::Xen => ("Xen", "xen 4.17 vpid=0"),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl FromStr for Family {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let word: StrDeserializer<'_, Error> = word.into_deserializer();
        Self::deserialize(word).map_err(|error| error.to_string())
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.family)?;
        if let Some((major, minor)) = self.version {
            write!(f, " {major}.{minor}")?;
        }
        self.parameters.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl FromStr for Product {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_ascii_whitespace().peekable();
        let family = words.next().ok_or("a host is written as in 'kvm 6.1 ept=0'")?.parse()?;
        let mut product = Self::new(family, None);
        if let Some(word) = words.next_if(|word| !word.contains('=')) {
            product.version = Some(
                version(word).ok_or_else(|| format!("'{word}' is not a version such as 6.1"))?,
            );
        }
        for word in words {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| format!("'{word}' is not a parameter such as ept=0"))?;
            if product.parameters.insert(name.into(), value.into()).is_some() {
                return Err(format!("'{text}' names {name} twice"));
            }
        }
        Ok(product)
    }
}

#[cfg(test)]
mod tests {
    use super::{Family, Product, Subject, is_on, version};

    #[test]
    fn products_print_as_they_parse() {
        for text in [
            "kvm 6.1 ept=0",
            "bochs 2.7",
            "kvm allow_smaller_maxphyaddr=Y ept=Y",
            "qemu",
            "kvm 7.2",
        ] {
            assert_eq!(
                text.parse::<Product>().map(|product| product.to_string()),
                Ok(text.to_string())
            );
        }
        let product: Product = " kvm  6.1.0-57-cloud-amd64 vpid=1 ept=N ".parse().unwrap();
        assert_eq!(product.to_string(), "kvm 6.1 ept=N vpid=1");
        assert!(is_on(&product.parameters["vpid"]) && !is_on(&product.parameters["ept"]));
    }

    #[test]
    fn a_subject_is_a_word_of_a_command_line() {
        for (products, word) in [
            (&["bochs 2.7 cpu=tigerlake"][..], "bochs,2.7,cpu=tigerlake"),
            (&["kvm 6.1 ept=N ple_gap=128"], "kvm,6.1,ept=N"),
            (&["bochs 3.0", "kvm 7.2 ept=Y vpid=Y"], "bochs,3.0/kvm,7.2,ept=Y,vpid=Y"),
            (&["kvm"], "kvm"),
        ] {
            let subject = Subject::of(products).unwrap();
            assert_eq!(subject.to_word(), word);
            assert_eq!(Subject::from_word(word).unwrap().to_word(), word);
        }
        assert_eq!(Subject::default().to_word(), "");
        for word in ["", "hyperv", "kvm/kvm", "kvm,6.1/bochs,2.7/qemu", "kvm,six"] {
            assert_eq!(Subject::from_word(word), None, "{word}");
        }
        assert!(Subject::of(["kvm 6.1", "kvm 7.2"]).unwrap_err().contains("'kvm 7.2'"));
    }

    #[test]
    fn a_header_tells_the_family_of_what_is_tested() {
        for (hypervisor, vmx_basic, products) in [
            ("KVMKVMKVM", Some("d8100011e57ed0"), &["kvm"][..]),
            // Of Bochs below it KVM shows nothing.
            ("KVMKVMKVM", Some("d810000000002b"), &["kvm"]),
            ("none", Some("d810000000002b"), &["bochs"]),
            ("none", Some("d8100000000004"), &["bochs"]),
            // Intel's own, and a KVM that hides.
            ("none", Some("da040000000004"), &[]),
            ("none", Some("d8100011e57ed0"), &[]),
            ("none", Some("nonsense"), &[]),
            ("none", None, &[]),
            ("VMwareVMware", Some("d810000000002b"), &[]),
        ] {
            let fact = |key: &str| match key {
                "hypervisor" => Some(hypervisor),
                _ => vmx_basic,
            };
            assert_eq!(
                Ok(Subject::recognised(fact)),
                Subject::of(products),
                "{hypervisor} {vmx_basic:?}"
            );
        }
        assert_eq!(Subject::recognised(|_| None), Subject::default());
    }

    #[test]
    fn nonsense_is_refused_and_named() {
        for (text, part) in [
            ("", "'kvm 6.1 ept=0'"),
            ("hyperv 1.0", "hyperv"),
            ("KVM 6.1", "KVM"),
            ("kvm six", "'six'"),
            ("kvm 6", "'6'"),
            ("kvm 6.1 ept", "'ept'"),
            ("kvm 6.1 6.2", "'6.2'"),
            ("kvm ept=0 ept=1", "ept twice"),
        ] {
            let error = text.parse::<Product>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn releases_are_read() {
        assert_eq!(version("6.1.0-56-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("7.2.13+deb14-cloud-amd64"), Some((7, 2)));
        assert_eq!(version("strange"), None);
        assert_eq!(version("v6.1"), None);
    }

    #[test]
    fn json_has_words_and_numbers() {
        let host = Product::kvm("6.1.0", [("ept".into(), "N".into())].into());
        let subject = Subject {
            processor: Some(Product::new(Family::Bochs, Some((2, 7)))),
            host: Some(host),
        };
        let json = serde_json::json!({
            "processor": { "family": "bochs", "version": [2, 7], "parameters": {} },
            "host": { "family": "kvm", "version": [6, 1], "parameters": { "ept": "N" } },
        });
        assert_eq!(serde_json::to_value(&subject).unwrap(), json);
        assert_eq!(serde_json::from_value::<Subject>(json).unwrap(), subject);
        assert!(subject.counts_instructions());
        assert!(!Subject::host(Product::new(Family::Kvm, None)).counts_instructions());
    }
}
