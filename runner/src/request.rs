//! What is to run, and how: resolved once from the command line, which nothing below knows.
//!
//! Which host it is to run on is not part of it: see [`crate::host::Choice`]. Options that only
//! some hosts have are here for those that do.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use spec::catalogue::case::Case;
use spec::catalogue::group::Group;
use spec::catalogue::options::{MAX_COMMAND_LINE, Options, Patterns, Span};
use spec::catalogue::plan::Profile;
use spec::log::CRC32;

use crate::lab::kernel::Which;
use crate::lab::params::ParamSet;
use crate::lab::virtualbox::options::Options as VboxOptions;
use crate::results::publish::Outputs;
use crate::results::record::Shelf;
use crate::verdict::account::Knowledge;
use crate::verdict::exit_code::Stop;
use crate::verdict::known::cases::Cases;
use crate::verdict::known::{Asks, Tables};
use crate::verdict::progress::Progress;
use crate::verdict::subject::Subject;
use crate::vmm::Unavailable;
use crate::vmm::process::quote;
use crate::vmm::qemu::Accel;

/// Memory of the guest unless asked otherwise.
pub const DEFAULT_MEMORY_MIB: u32 = 4;

/// What is to run, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// Patterns of the groups that run. If there are none, all run.
    pub filters: Vec<String>,
    /// Patterns of groups or cases that do not run.
    pub exclude: Vec<String>,
    /// Which of these groups run, if not all.
    pub groups: Span,
    /// Which part of the run is to be done, if not all.
    pub part: Option<Part>,
    /// Where what was done is kept, if anywhere.
    pub keep: Option<Shelf>,
    /// One case in place of groups.
    pub case: Option<Case>,
    /// Whether to measure what faults cost, in place of groups.
    pub bench: bool,
    /// How much of each group to try. Each host has its own default.
    pub profile: Option<Profile>,
    /// Memory of the guest.
    pub memory_mib: u32,
    /// Time limit of a boot, if not the host's own.
    pub limit: Option<Duration>,
    /// What is known of hosts.
    pub tables: Arc<Tables>,
    /// Whether known deviations of what is tested are failures.
    pub strict: bool,
    /// Whether to echo the command lines of VMMs.
    pub verbose: bool,
    /// How many boots of the lab run at the same time.
    pub jobs: NonZeroUsize,
    /// What is written besides the report.
    pub outputs: Outputs,
    /// What QEMU runs the guest on.
    pub accel: Accel,
    /// Which Bochs.
    pub bochs: BochsRequest,
    /// What the lab runs.
    pub lab: LabRequest,
    /// How Xen runs, if it is the lab's host.
    pub xen: XenRequest,
    /// The virtual machines, if VirtualBox is the lab's host. If there are none, the usual ones.
    pub vbox: Vec<VboxOptions>,
}

/// A part of a run: what one of several machines does of it. Written `hash:I/N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its number, from 1.
    pub number: NonZeroUsize,
    /// How many parts there are.
    pub of: NonZeroUsize,
}

impl FromStr for Part {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.strip_prefix("hash:").and_then(|numbers| numbers.split_once('/'));
        let part = numbers.and_then(|(number, of)| {
            Some(Self { number: number.parse().ok()?, of: of.parse().ok()? })
        });
        part.filter(|part| part.number <= part.of)
            .ok_or("a part is written hash:I/N, with I from 1 to N")
    }
}

/// Which Bochs, and as which processor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BochsRequest {
    /// Another Bochs than the installed one: a Debian suite or a program's path.
    pub program: Option<String>,
    /// Whether to look for a newer one of the suite than the one that is kept.
    pub refresh: bool,
    /// The processor that it presents.
    pub cpu: Option<String>,
}

/// What the lab runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabRequest {
    /// The kernels, at least one.
    pub kernels: Vec<Which>,
    /// Parameter sets. If there are none, the usual ones.
    pub sets: Vec<ParamSet>,
    /// What boots the image on the lab's KVM.
    pub vmm: LabVmm,
}

/// How Xen runs. Which versions, [`LabRequest::kernels`] names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XenRequest {
    /// A hypervisor of the user's own.
    pub image: Option<PathBuf>,
    /// Command lines for it. If there are none, the usual ones.
    pub options: Vec<String>,
    /// Whether each group has a domain of its own.
    pub isolate: bool,
}

/// What boots the image on the lab's KVM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LabVmm {
    /// The built-in VMM.
    #[default]
    Kvm,
    /// This machine's QEMU, copied into the lab.
    Qemu,
}

impl Request {
    /// The image's command line, without what it runs on and what that asks for.
    pub fn cmdline(&self, profile: Profile) -> String {
        let mut line = selection(&self.filters, &self.exclude, profile);
        let span = (self.groups != Span::ALL).then_some(self.groups);
        line.extend(span.map(|span| format!(" groups={span}")));
        line.extend(self.case.iter().map(|case| format!(" case={case}")));
        line + if self.bench { " bench=yes" } else { "" }
    }

    /// What results depend on beside the set and the image's command line.
    pub fn choice(&self) -> String {
        let asks = serde_json::to_vec(&self.tables.asks()).unwrap_or_default();
        format!(
            "memory={} accel={}{} vmm={:?} isolate={} asks={:x}",
            self.memory_mib,
            self.accel.name(),
            self.bochs.options(),
            self.lab.vmm,
            self.xen.isolate,
            CRC32.checksum(&asks)
        )
    }

    /// Shows how far a run is; of several at the same time each has its name.
    pub fn progress(&self, profile: Profile, subject: Subject, name: &str) -> Progress {
        let name = if self.jobs.get() > 1 { name } else { "" };
        let knowledge = Knowledge { tables: Arc::clone(&self.tables), subject };
        let line = self.cmdline(profile);
        match Options::parse(&line) {
            Ok(options) if self.case.is_none() && !self.bench => {
                Progress::of_run(options, knowledge, name)
            }
            _ => Progress::none(),
        }
    }

    /// The time limit of a boot on a host that is `slowness` times slower than hardware. It is many
    /// times what a good boot takes.
    pub fn limit(&self, profile: Profile, slowness: u32) -> Duration {
        let minutes = match profile {
            Profile::Quick => 5,
            Profile::Standard => 30,
            Profile::Exhaustive => 120,
        };
        self.limit.unwrap_or(Duration::from_mins(minutes) * slowness)
    }

    /// The option that gives the guest the same memory again, with a space before it. Empty for the
    /// usual memory.
    pub fn memory_option(&self) -> String {
        if self.memory_mib == DEFAULT_MEMORY_MIB {
            String::new()
        } else {
            format!(" --memory {}", self.memory_mib)
        }
    }
}

impl BochsRequest {
    /// Options that choose the same Bochs again, each with a space before it.
    pub fn options(&self) -> String {
        let program = self.program.as_ref().map(|program| format!(" --bochs {}", quote(program)));
        let cpu = self.cpu.as_ref().map(|cpu| format!(" --cpu {cpu}"));
        program.unwrap_or_default() + &cpu.unwrap_or_default()
    }
}

/// The part of the image's command line that selects groups.
pub fn selection(filters: &[String], exclude: &[String], profile: Profile) -> String {
    let mut line = format!("profile={}", profile.name());
    line.extend(filters.iter().map(|filter| format!(" filter={filter}")));
    line.extend(exclude.iter().map(|exclude| format!(" exclude={exclude}")));
    line
}

/// Checks patterns of what is to be left out.
///
/// # Errors
/// One is for cases that the image cannot leave out, or for none at all.
pub fn check_exclusions(patterns: Patterns<'_>) -> Result<(), Stop> {
    let mut of_cases = patterns.iter().filter(|pattern| pattern.contains(':'));
    let check = |pattern: &str| pattern.parse::<Cases>().and_then(|cases| cases.can_be_excluded());
    of_cases.try_for_each(check).map_err(|why| Stop::usage(format!("what is left out: {why}")))
}

/// The options of a [`selection`], and the groups that run with them.
///
/// # Errors
/// There are none, or a pattern is for cases that cannot be left out.
pub fn selected(line: &str) -> Result<(Options<'_>, Vec<Group>), Stop> {
    let options = Options::parse(line).map_err(|bad| Stop::usage(bad.to_string()))?;
    check_exclusions(options.exclude)?;
    let groups: Vec<Group> = Group::selected(options).collect();
    if groups.is_empty() {
        let listed = |patterns: Patterns<'_>| patterns.iter().collect::<Vec<_>>().join("', '");
        let (filter, exclude) = (listed(options.filter), listed(options.exclude));
        let patterns = if filter.is_empty() { "*".into() } else { filter };
        let but = if exclude.is_empty() { String::new() } else { format!(" but not '{exclude}'") };
        return Err(Stop::usage(format!(
            "no group matches '{patterns}'{but}: `maskmatch list` shows them all"
        )));
    }
    Ok((options, groups))
}

/// How many processors the guest must have for what is to run.
pub fn processors(options: &Options<'_>) -> u32 {
    let two = |group: &Group| matches!(group, Group::Smp(_));
    let of_groups = || Group::selected(*options).any(|group| two(&group));
    let wanted = options.case.map_or_else(of_groups, |case| two(&case.group()));
    if wanted { 2 } else { 1 }
}

/// The image's whole command line on a subject.
///
/// # Errors
/// It is longer than the image takes.
pub fn cmdline_on(cmdline: &str, asks: &[Asks], subject: &Subject) -> Result<String, Unavailable> {
    let asked = Asks::options(asks, subject);
    let on = Some(format!("on={}", subject.to_word())).filter(|_| *subject != Subject::default());
    let line =
        std::iter::once(cmdline.to_string()).chain(asked).chain(on).collect::<Vec<_>>().join(" ");
    if line.len() > MAX_COMMAND_LINE {
        let why = format!(
            "the image's command line would have {} bytes; it takes {MAX_COMMAND_LINE}",
            line.len()
        );
        return Err(Unavailable::usage(
            why,
            "give fewer --filter and --exclude options, or some with `*`",
        ));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::{cmdline_on, selected, selection};
    use crate::verdict::known::Tables;
    use crate::verdict::subject::Subject;
    use spec::catalogue::options::{MAX_COMMAND_LINE, Options};
    use spec::catalogue::plan::Profile;

    #[test]
    fn patterns_select_together() {
        let count = |filters: &[&str], exclude: &[&str]| {
            let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
            let line = selection(&own(filters), &own(exclude), Profile::Quick);
            selected(&line).map_err(|stop| stop.why).map(|(_, groups)| groups.len())
        };
        assert_eq!(count(&["host.*"], &[]), Ok(4));
        assert_eq!(count(&["host.*", "smp.*"], &["host.apic", "event.long:int-*"]), Ok(5));
        assert!(
            count(&["host.*"], &["event.long", "host.touch:*"]).unwrap_err().contains("host.touch")
        );
        assert!(count(&[], &["*"]).unwrap_err().contains("'*' but not '*'"));
        assert!(
            count(&["host.*", "nothing"], &["host.*"])
                .unwrap_err()
                .contains("'host.*', 'nothing' but not 'host.*'")
        );
        assert!(count(&["two words"], &[]).unwrap_err().contains("'words'"));
    }

    #[test]
    fn what_a_subject_asks_for_is_in_the_image_s_command_line() {
        let tables = Tables::built_in();
        let line = |products: &[&str]| {
            cmdline_on("profile=quick", &tables.asks(), &Subject::of(products).unwrap())
        };
        let shadowing = line(&["bochs 2.7", "kvm 5.10 ept=N allow_smaller_maxphyaddr=N"]).unwrap();
        let options = Options::parse(&shadowing).unwrap();
        assert!(
            options.invvpid && options.exclude.iter().any(|pattern| pattern == "tlb.pae*:invlpg-*")
        );
        assert_eq!(options.on, "bochs,2.7/kvm,5.10,allow_smaller_maxphyaddr=N,ept=N");
        assert_eq!(line(&["bochs 3.1"]).unwrap(), "profile=quick on=bochs,3.1");
        assert_eq!(cmdline_on("profile=quick", &[], &Subject::default()).unwrap(), "profile=quick");
        let long = "x".repeat(MAX_COMMAND_LINE);
        assert!(cmdline_on(&long, &[], &Subject::default()).is_ok());
        assert!(
            cmdline_on(&(long + "x"), &[], &Subject::default()).unwrap_err().why.contains("2049")
        );
    }
}
