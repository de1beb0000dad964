//! Whether a log is the answer to what was asked.
//!
//! A log may be sound and yet be another's: of another run, or of an image with other groups. So
//! its header is held against the image's command line, and its results against the plan that
//! follows from the options in the header.

use spec::catalogue::group::Group;
use spec::catalogue::options::Options;
use spec::log::{Counts, cost};

use crate::verdict::findings::{Fate, Findings};
use crate::verdict::names;

/// The version of this maskmatch and of the image that it carries.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Options that a host adds to those that a run asks for.
const OF_HOST: [&str; 5] = ["exclude", "invvpid", "memory", "on", "serial"];
/// Cases that a group counts when it cannot go on: L2 does not start, a processor is gone.
const AT_TROUBLE: u64 = 2;

/// Why a whole log is not the answer. `asked` is the image's command line without what a host adds,
/// or `None` if the log was made elsewhere.
pub fn mismatch(findings: &Findings, asked: Option<&str>) -> Option<String> {
    if findings.sound().is_err() {
        return None;
    }
    let of_header = asked.and_then(|asked| of_header(findings, asked));
    let of_header =
        of_header.map(|why| format!("the log is not the answer to what was asked: {why}"));
    of_header.or_else(|| {
        of_plan(findings).map(|why| format!("the log does not have the plan of its options: {why}"))
    })
}

/// Why the logs of several guests, each of which was asked for a part of `line`, are not the answer
/// to it together. `logs` are whole.
pub fn mismatch_of_parts(logs: &[Findings], line: &str) -> Option<String> {
    let common = |line: &str| -> Vec<String> {
        let words = line.split_ascii_whitespace();
        words.filter(|word| !word.starts_with("filter=")).map(String::from).collect()
    };
    let odd = logs.iter().map(Findings::image_options).find(|own| common(own) != common(line));
    let why = odd.map(|own| format!("options are '{own}', and '{line}' was asked for")).or_else(
        || {
            let wanted = Group::selected(Options::parse(line).ok()?).map(|group| group.to_string());
            let tried = logs.iter().flat_map(|log| &log.groups).map(|group| group.name.clone());
            (!tried.eq(wanted)).then(|| "the groups are not those of the options, once each".into())
        },
    )?;
    Some(format!("the logs are not the answer to what was asked: {why}"))
}

/// What the header says that was not asked for.
fn of_header(findings: &Findings, asked: &str) -> Option<String> {
    let version = findings.version.as_deref().unwrap_or_default();
    if version != VERSION {
        return Some(format!("it is from maskmatch {version}, and the image was of {VERSION}"));
    }
    // The image says that it cannot run here before it reads its options.
    if findings.fact("options").is_none() && findings.skip.is_some() {
        return None;
    }
    let line = findings.image_options();
    let mut words = line.split_ascii_whitespace().peekable();
    // The image's own name, which some loaders put there.
    words.next_if(|word| !word.contains('='));
    let all_asked = asked.split_ascii_whitespace().all(|word| words.next() == Some(word));
    let of_host = |word: &str| word.split_once('=').is_some_and(|(key, _)| OF_HOST.contains(&key));
    (!all_asked || !words.all(of_host))
        .then(|| format!("its options are '{line}', and '{asked}' was asked for"))
}

/// What the results are that do not follow from the options. Another version has other groups.
fn of_plan(findings: &Findings) -> Option<String> {
    let (line, planned) = (findings.image_options(), findings.planned?);
    findings.fact("options")?;
    // The image ends with an error if it cannot read its options. But a loader may put a name
    // before them that only looks like options here.
    let options = Options::parse_loaded(&line).ok()?;
    if findings.version.as_deref() != Some(VERSION) || findings.reader.summary().errors > 0 {
        return None;
    }
    let plan: Vec<String> = match options.case {
        _ if options.bench => vec![cost::GROUP.into()],
        Some(case) => vec![case.group().to_string()],
        None => Group::selected(options).map(|group| group.to_string()).collect(),
    };
    if planned != plan.len() as u64 {
        return Some(format!("it has {planned} groups, and its options select {}", plan.len()));
    }
    for (group, name) in findings.groups.iter().zip(&plan) {
        if group.name != *name {
            return Some(format!("group {} is where its options want {name}", group.name));
        }
    }
    if options.case.is_some() || options.bench {
        return None;
    }
    findings.groups.iter().find_map(|group| match &group.fate {
        Fate::Ran(counts) => of_counts(findings, names::group(&group.name)?, &options, counts),
        Fate::Skipped(_) | Fate::Unfinished => None,
    })
}

/// Whether a group has as many cases as the plan. Fewer are right where a host lacks something, or
/// memory does.
fn of_counts(
    findings: &Findings,
    group: Group,
    options: &Options<'_>,
    counts: &Counts,
) -> Option<String> {
    let maxphyaddr =
        findings.fact("maxphyaddr")?.parse().ok().filter(|bits| (36..=52).contains(bits))?;
    let planned = group.case_count(options.profile, maxphyaddr) as u64;
    let name = group.to_string();
    let is_whole = counts.differing == 0
        && matches!(group, Group::Walk(_))
        && options.exclude.of_group(&name).is_none();
    let more = if counts.differing > 0 { AT_TROUBLE } else { 0 };
    let Counts { cases, .. } = *counts;
    (cases > planned + more || is_whole && cases != planned)
        .then(|| format!("group {name} has {cases} cases, and the plan has {planned}"))
}

#[cfg(test)]
mod tests {
    use super::{Group, Options, mismatch_of_parts};
    use crate::verdict::findings::Findings;
    use crate::verdict::intake::{Intake, SILENCE};
    use crate::verdict::progress::Progress;
    use crate::vmm::Sink;
    use spec::log::Writer;

    const LINE: &str = "profile=quick filter=host.* on=xen";

    /// The log of a guest with these options that skips each group.
    fn log(options: &str, groups: &[String]) -> Findings {
        let mut text = String::new();
        let facts = format!("boot=pvh options={}", options.replace(' ', "+"));
        let mut log = Writer::begin(&mut text, "0.1.0", &facts);
        log.plan(groups.len());
        for (number, group) in (1..).zip(groups) {
            log.skip(number, group, &"x");
        }
        log.end();
        let mut intake = Intake::new(SILENCE, None, Progress::none());
        let _ = intake.bytes(text.as_bytes());
        intake.finish().remove(0).0
    }

    #[test]
    fn parts_together_are_what_was_asked_for() {
        let groups: Vec<String> =
            Group::selected(Options::parse(LINE).unwrap()).map(|group| group.to_string()).collect();
        let (one, rest) = groups.split_at(1);
        let part = |groups: &[String]| log("profile=quick on=xen filter=host.touch", groups);
        assert_eq!(mismatch_of_parts(&[part(one), part(rest)], LINE), None);
        for wrong in [
            vec![part(one), part(&rest[1..])],
            vec![part(one), part(&groups)],
            vec![part(rest), part(one)],
            vec![part(one), log("profile=standard on=xen filter=host.touch", rest)],
        ] {
            assert!(mismatch_of_parts(&wrong, LINE).is_some());
        }
    }
}
