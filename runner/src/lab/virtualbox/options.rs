//! Options of a virtual machine: each by the name that `VBoxManage modifyvm` has for it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a virtual machine may be asked to differ in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Options {
    /// Names and values, in order.
    values: Vec<(String, String)>,
}

/// Switches: VBoxManage's name, and where the VMM's settings have it. All are on by default.
pub const SWITCHES: [(&str, &str); 4] = [
    ("large-pages", "EnableLargePages"),
    ("nested-paging", "EnableNestedPaging"),
    ("x86-vtx-ux", "EnableUX"),
    ("x86-vtx-vpid", "EnableVPID"),
];
/// How many processors the machine has.
const PROCESSORS: &str = "cpus";
/// More than these are not tried.
const MOST: u32 = 4;
/// The machine as it is by default.
const DEFAULT: &str = "default";
/// The machines that run if none is named.
const MATRIX: [&str; 3] = ["", "x86-vtx-vpid=off", "cpus=2"];

/// The machines that run if none is named.
pub fn matrix() -> Vec<Options> {
    MATRIX.iter().filter_map(|text| text.parse().ok()).collect()
}

impl Options {
    /// How many processors the machine has, at least `needed`.
    pub fn processors(&self, needed: u32) -> u32 {
        let own = self.value(PROCESSORS).and_then(|value| value.parse().ok());
        own.unwrap_or(1).max(needed)
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.value(name).is_none_or(|value| value == "on")
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// All options with the values that are in force, as known deviations depend on them.
    pub fn in_force(&self) -> BTreeMap<String, String> {
        let switch = |(name, _): (&str, &str)| {
            (name.to_string(), if self.is_on(name) { "on" } else { "off" }.to_string())
        };
        let processors = (PROCESSORS.to_string(), self.processors(1).to_string());
        SWITCHES.into_iter().map(switch).chain([processors]).collect()
    }

    /// The options as they were given, to give them again.
    pub fn given(&self) -> String {
        let words = self.values.iter().map(|(name, value)| format!("{name}={value}"));
        words.collect::<Vec<_>>().join(" ")
    }
}

impl FromStr for Options {
    type Err = String;

    /// Parses `x86-vtx-vpid=off cpus=2`; an empty text is the machine as it is by default.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut options = Self::default();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty() && *word != DEFAULT) {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| format!("'{word}' is not of the form x86-vtx-vpid=off"))?;
            let is_switch = SWITCHES.iter().any(|(known, _)| *known == name);
            let is_count = || value.parse().is_ok_and(|count| (1..=MOST).contains(&count));
            if !is_switch && name != PROCESSORS {
                let names: Vec<&str> = SWITCHES.iter().map(|(name, _)| *name).collect();
                return Err(format!(
                    "there is no option {name}: there are {PROCESSORS}, {}",
                    names.join(", ")
                ));
            }
            if is_switch && !matches!(value, "on" | "off") {
                return Err(format!("{word}: {name} is on or off"));
            }
            if !is_switch && !is_count() {
                return Err(format!("{word}: {name} is a number from 1 to {MOST}"));
            }
            if options.value(name).is_some() {
                return Err(format!("'{text}' names {name} twice"));
            }
            options.values.push((name.into(), value.into()));
        }
        Ok(options)
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = self.given();
        f.write_str(if given.is_empty() { DEFAULT } else { &given })
    }
}

impl TryFrom<String> for Options {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Options> for String {
    fn from(options: Options) -> Self {
        options.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, matrix};

    #[test]
    fn options_print_as_they_parse() {
        for text in ["default", "x86-vtx-vpid=off", "cpus=2 large-pages=off"] {
            assert_eq!(text.parse::<Options>().map(|options| options.to_string()), Ok(text.into()));
        }
        let options: Options = "cpus=2,x86-vtx-vpid=off".parse().unwrap();
        assert_eq!(options.in_force()["x86-vtx-vpid"], "off");
        assert_eq!(options.in_force()["nested-paging"], "on");
        assert_eq!((options.processors(1), options.processors(3)), (2, 3));
        assert_eq!(Options::default().processors(2), 2);
        assert_eq!(Options::default().given(), "");
    }

    #[test]
    fn nonsense_is_refused_and_named() {
        for (text, part) in [
            ("vpid", "form"),
            ("warp=on", "no option warp"),
            ("x86-vtx-vpid=0", "on or off"),
            ("cpus=0", "from 1 to"),
            ("cpus=many", "from 1 to"),
            ("cpus=1 cpus=2", "cpus twice"),
        ] {
            let error = text.parse::<Options>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_matrix_is_whole() {
        let all: Vec<String> = matrix().iter().map(ToString::to_string).collect();
        assert_eq!(all, ["default", "x86-vtx-vpid=off", "cpus=2"]);
    }
}
