//! The image's command line.

use core::fmt;

use crate::catalogue::case::Case;
use crate::catalogue::group::Group;
use crate::catalogue::machine::{End, Outlets, Region, hex, two_hex};
use crate::catalogue::name::Name;
use crate::catalogue::pattern::Pattern;
use crate::catalogue::plan::Profile;
use crate::manual::filter::Filter;
use crate::manual::paging::Maxphyaddr;

/// The longest command line that the image takes, in bytes.
pub const MAX_COMMAND_LINE: usize = 2048;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options<'a> {
    /// Which groups run: those that one of the patterns selects. Without a pattern, all run.
    pub filter: Patterns<'a>,
    /// Which groups or cases do not run, see [`Patterns::excludes`].
    pub exclude: Patterns<'a>,
    /// Only of these, for the runner that shares groups out.
    pub groups: Span,
    /// How many filters each group tries.
    pub profile: Profile,
    /// One case instead of groups.
    pub case: Option<Case>,
    /// Whether to measure what faults cost in place of groups, see [`crate::log::cost`].
    pub bench: bool,
    /// Whether to execute INVVPID before each VM entry of a scene, for hosts that keep stale
    /// translations over one.
    pub invvpid: bool,
    /// What the image runs on, for the reader of the log. The runner knows more about it than CPUID
    /// says.
    pub on: &'a str,
    /// Where the log goes. Without this, to the serial port that the image finds.
    pub serial: Option<Outlets<'a>>,
    /// Memory that keeps the log as well.
    pub memory: Option<Region>,
    /// How the machine ends.
    pub end: End,
    /// The I/O port that gets the verdict at the end, see
    /// [`debug_exit`](crate::catalogue::machine::debug_exit).
    pub debug_exit: Option<u16>,
}

/// Groups from a place to before another, in the order of [`Group::all`] in this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first one's place, from 0.
    pub from: usize,
    /// The place after the last one's.
    pub until: usize,
}

impl Span {
    /// All groups.
    pub const ALL: Self = Self { from: 0, until: Group::PLACES };
}

impl Default for Span {
    fn default() -> Self {
        Self::ALL
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x},{:#x}", self.from, self.until)
    }
}

/// The values of one key on a command line, each a [`Pattern`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Patterns<'a> {
    line: &'a str,
    key: &'static str,
}

impl<'a> Patterns<'a> {
    /// The patterns, in their order.
    pub fn iter(self) -> impl Iterator<Item = &'a str> + Clone {
        words(self.line).filter_map(move |(key, value)| (key == self.key).then_some(value))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }

    /// The patterns, taken apart.
    pub fn patterns(self) -> impl Iterator<Item = Pattern<'a>> + Clone {
        self.iter().map(Pattern::of)
    }

    /// The patterns, if one of them may match cases of a group. Otherwise no case need be asked
    /// about.
    #[must_use]
    pub fn of_group(self, group: &str) -> Option<Self> {
        self.patterns().any(|pattern| pattern.matches_group(group)).then_some(self)
    }

    /// Whether one of the patterns, as an exclusion, leaves out a case.
    #[must_use]
    pub fn excludes(self, case: &Case) -> bool {
        self.leave_out(case, matches!(case, Case::Scene(_)).then(|| case.filter()))
    }

    /// Whether one of the patterns, as an exclusion, leaves out a case's access or scene under
    /// every filter.
    #[must_use]
    pub fn excludes_access(self, case: &Case) -> bool {
        self.leave_out(case, None)
    }

    fn leave_out(self, case: &Case, scenes_filter: Option<Filter>) -> bool {
        let (group, probe) = (Name::of(&case.group()), Name::of(case.access()));
        self.patterns()
            .any(|pattern| pattern.excludes(group.as_str(), probe.as_str(), scenes_filter))
    }

    /// Whether one of the patterns is for a whole group.
    #[must_use]
    pub fn match_group(self, group: &str) -> bool {
        self.patterns().any(|pattern| pattern.probe().is_none() && pattern.matches_group(group))
    }
}

/// The KEY=VALUE words of a command line.
fn words(line: &str) -> impl Iterator<Item = (&str, &str)> + Clone {
    line.split_ascii_whitespace().filter_map(|word| word.split_once('='))
}

/// A part of the command line that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadOption<'a> {
    /// The part as it was written.
    pub option: &'a str,
    /// What it should have been.
    pub wanted: &'static str,
}

impl fmt::Display for BadOption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot take the option '{}': {}", self.option, self.wanted)
    }
}

impl<'a> Options<'a> {
    /// As [`Options::read`], of a line to which no loader has added anything.
    ///
    /// # Errors
    /// Also the first word that is no option.
    pub fn parse(command_line: &'a str) -> Result<Self, BadOption<'a>> {
        let mut unknown = None;
        let options = Self::read(command_line, &mut |word| unknown = unknown.or(Some(word)))?;
        match unknown {
            Some(option) => Err(BadOption { option, wanted: "the image has no such option" }),
            None => Ok(options),
        }
    }

    /// As [`Options::read`], of a line to which a loader may have added words.
    ///
    /// # Errors
    /// As there.
    pub fn parse_loaded(command_line: &'a str) -> Result<Self, BadOption<'a>> {
        Self::read(command_line, &mut |_| {})
    }

    /// As [`Options::take`].
    ///
    /// # Errors
    /// The first option with a value that it cannot have, or the word at which the line is too long.
    pub fn read(
        command_line: &'a str,
        unknown: &mut dyn FnMut(&'a str),
    ) -> Result<Self, BadOption<'a>> {
        let (options, bad) = Self::take(command_line, unknown);
        bad.map_or(Ok(options), Err)
    }

    /// Reads a command line: words between spaces, each `KEY=VALUE`. `filter` and `exclude` may be
    /// repeated. Of any other key the last one counts. Words that are no options go to `unknown`,
    /// since loaders add some of their own. A first word without `=` is the image's own name, which
    /// some loaders put there. Also gives the first part that cannot be taken; it is left out.
    pub fn take(
        command_line: &'a str,
        unknown: &mut dyn FnMut(&'a str),
    ) -> (Self, Option<BadOption<'a>>) {
        let mut options = Self {
            filter: Patterns { line: command_line, key: "filter" },
            exclude: Patterns { line: command_line, key: "exclude" },
            ..Self::default()
        };
        let mut bad = None;
        for (at, option) in command_line.split_ascii_whitespace().enumerate() {
            let end = option.as_ptr().addr() - command_line.as_ptr().addr() + option.len();
            let taken = match option.split_once('=') {
                _ if end > MAX_COMMAND_LINE => {
                    Err("the command line is too long: it may have 2048 bytes")
                }
                Some((key, value)) => options.set(key, value),
                None => Ok(at == 0),
            };
            match taken {
                Ok(true) => {}
                Ok(false) => unknown(option),
                Err(wanted) => bad = bad.or(Some(BadOption { option, wanted })),
            }
        }
        (options, bad)
    }

    /// Sets an option. Says whether there is one of this name.
    ///
    /// # Errors
    /// What the value should have been.
    fn set(&mut self, key: &str, value: &'a str) -> Result<bool, &'static str> {
        let yes = match value {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err("it is yes or no"),
        };
        match key {
            "filter" | "exclude" => {}
            "profile" => {
                self.profile =
                    Profile::from_name(value).ok_or("profile is quick, standard or exhaustive")?;
            }
            "case" => {
                let case = Case::from_id(value);
                self.case = Some(case.ok_or("case is an id as `maskmatch list --cases` shows")?);
            }
            "groups" => {
                let (from, until) = two_hex(value).ok_or("groups is 0xFROM,0xUNTIL")?;
                self.groups =
                    Span { from: from as usize, until: Group::PLACES.min(until as usize) };
            }
            "bench" => self.bench = yes?,
            "invvpid" => self.invvpid = yes?,
            "on" => self.on = value,
            "serial" => {
                let outlets = Outlets::from_names(value);
                self.serial = Some(outlets.ok_or(Outlets::WANTED)?);
            }
            "memory" => {
                let region = Region::from_numbers(value);
                self.memory =
                    Some(region.ok_or("memory is 0xADDRESS,0xSIZE, from 4 MiB to 4 GiB")?);
            }
            "end" => self.end = End::from_name(value).ok_or("end is poweroff, reset or halt")?,
            "debug-exit" => {
                let port = hex(value).and_then(|port| port.try_into().ok());
                self.debug_exit = Some(port.ok_or("debug-exit is an I/O port as 0xPORT")?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The cases of a group that are tried on a processor that has all that they need, in the order
    /// in which L1 tries them.
    pub fn cases(self, group: Group, maxphyaddr: Maxphyaddr) -> impl Iterator<Item = Case> {
        let exclude = self.exclude.of_group(Name::of(&group).as_str());
        let is_left_out = move |case: &Case| exclude.is_some_and(|exclude| exclude.excludes(case));
        group.cases(self.profile, maxphyaddr).filter(move |case| !is_left_out(case))
    }

    /// How many they are.
    #[must_use]
    pub fn case_count(self, group: Group, maxphyaddr: Maxphyaddr) -> usize {
        match self.exclude.of_group(Name::of(&group).as_str()) {
            Some(_) => self.cases(group, maxphyaddr).count(),
            None => group.case_count(self.profile, maxphyaddr),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_COMMAND_LINE, Options};
    use crate::catalogue::case::Case;
    use crate::catalogue::group::Group;
    use crate::catalogue::machine::{End, Outlets, Region};
    use crate::catalogue::plan::Profile;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn every_option_is_read() {
        let id = "filter.high.long:user-read-np-pte:0,80000000,0";
        let line = std::format!(
            "filter=filter.basic.* profile=quick filter=host.* case={id} exclude=a:b groups=0x2,0xf bench=yes invvpid=yes on=kvm-6.1 \
             serial=com1,e9 memory=0x1000000,0x10000 end=reset debug-exit=0x501"
        );
        let options = Options::parse(&line).unwrap();
        assert_eq!(options.filter.iter().collect::<Vec<_>>(), ["filter.basic.*", "host.*"]);
        assert_eq!(options.exclude.iter().collect::<Vec<_>>(), ["a:b"]);
        assert_eq!((options.profile, options.case), (Profile::Quick, Case::from_id(id)));
        assert_eq!((options.bench, options.invvpid, options.on), (true, true, "kvm-6.1"));
        assert_eq!(options.serial, Outlets::from_names("com1,e9"));
        assert_eq!(options.memory, Region::from_numbers("0x1000000,0x10000"));
        assert_eq!((options.end, options.debug_exit), (End::Reset, Some(0x501)));
        assert_eq!((options.groups.from, options.groups.until), (2, 15));
    }

    #[test]
    fn an_empty_line_and_the_images_name_are_fine() {
        for line in ["", "/boot/maskmatch.elf"] {
            let options = Options::parse(line).unwrap();
            assert!(options.filter.is_empty() && options.exclude.is_empty());
            assert_eq!(
                (options.case, options.bench, options.invvpid, options.on),
                (None, false, false, "")
            );
        }
    }

    #[test]
    fn wrong_words_are_pointed_at() {
        for line in [
            "profile=fast",
            "quiet case=filter.basic.long",
            "bench=1",
            "invvpid=",
            "serial=com5",
            "memory=16777216,65536",
            "end=off",
            "debug-exit=501",
            "debug-exit=0x10000",
            "groups=0x3",
            "groups=1,3",
        ] {
            let bad = Options::parse(line).unwrap_err();
            assert!(line.ends_with(bad.option), "{line}");
        }
    }

    #[test]
    fn what_cannot_be_taken_leaves_the_rest() {
        let (options, bad) = Options::take("profile=fast end=off debug-exit=0x501", &mut |_| {});
        assert_eq!(bad.unwrap().option, "profile=fast");
        assert_eq!((options.end, options.debug_exit), (End::PowerOff, Some(0x501)));
    }

    #[test]
    fn words_of_loaders_are_left_alone() {
        let line = "maskmatch.elf profile=quick pci=off console=ttyS0 quiet filter=x on=y";
        let mut unknown = Vec::new();
        assert_eq!(
            Options::read(line, &mut |word| unknown.push(word)).unwrap().profile,
            Profile::Quick
        );
        assert_eq!(unknown, ["pci=off", "console=ttyS0", "quiet"]);
        assert_eq!(Options::parse(line).unwrap_err().option, "pci=off");
        assert!(Options::parse("maskmatch.elf exclude=a bench=no invvpid=no").is_ok());
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_and_not_cut() {
        let fits =
            std::format!("filter={} on=x", "y".repeat(MAX_COMMAND_LINE - "filter= on=x".len()));
        assert!(Options::parse(&fits).is_ok());
        assert_eq!(Options::parse(&std::format!("{fits}y")).unwrap_err().option, "on=xy");
        assert!(Options::parse(&std::format!("{fits}   ")).is_ok());
    }

    #[test]
    fn an_exclusion_is_of_a_group_an_access_or_a_scene_s_filter() {
        let line = "exclude=host.* exclude=event.*:int-* exclude=tlb.pae:pdpte-np:1,0,f* exclude=filter.*:user-*:1,0,0";
        let exclude = Options::parse(line).unwrap().exclude;
        for (id, excluded, whatever_the_filter) in [
            ("host.touch:user-read-again:1,0,0", true, true),
            ("event.long:int-idt-np:1,0,0", true, true),
            ("event.long:nmi:1,0,0", false, false),
            ("tlb.pae:pdpte-np:1,0,ffffffff", true, false),
            ("tlb.pae:pdpte-np:1,0,0", false, false),
            ("filter.basic.long:user-read-user:1,0,0", false, false),
        ] {
            let case = Case::from_id(id).expect(id);
            assert_eq!(
                (exclude.excludes(&case), exclude.excludes_access(&case)),
                (excluded, whatever_the_filter),
                "{id}"
            );
        }
        assert!(exclude.match_group("host.apic") && !exclude.match_group("event.long"));
    }

    #[test]
    fn the_patterns_of_a_group_are_those_that_may_match_its_cases() {
        let options =
            Options::parse("profile=quick exclude=event.*:int-* exclude=tlb.pae:entry:1,0,f*")
                .unwrap();
        for (name, concerned) in
            [("event.long", true), ("tlb.pae", true), ("tlb.long", false), ("host.apic", false)]
        {
            let group = Group::from_name(name).unwrap();
            assert_eq!(options.exclude.of_group(name).is_some(), concerned, "{name}");
            let fewer = options.case_count(group, 40) < group.case_count(Profile::Quick, 40);
            assert_eq!(fewer, name == "event.long", "{name}");
        }
        assert_eq!(Options::default().exclude.of_group("event.long"), None);
    }

    proptest! {
        #[test]
        fn no_command_line_panics(line: String) {
            let _ = Options::parse(&line);
        }
    }
}
