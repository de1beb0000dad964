//! The results of the parts of a run as one, as if one guest had run all groups.

use spec::log::Verdict;

use super::findings::Findings;
use super::judge::Source;
use super::result::{Measured, Origin, RunResult};

/// Joins the results of guests that ran different groups of the same set, in the groups' order.
/// `asked` is the image's command line for all of these groups, or `None` if some are missing.
pub fn joined(mut parts: Vec<RunResult>, asked: Option<&str>) -> Option<RunResult> {
    // A host that lacks what the run needs lacks it for each part.
    let ran = |part: &RunResult| matches!(part.source, Source::Run(_));
    if let Some(at) = parts.iter().position(|part| !ran(part)) {
        return Some(parts.swap_remove(at));
    }
    if parts.len() < 2 {
        return parts.pop();
    }
    // What the host has the image leave out can be all groups of a part.
    let tries = |part: &RunResult| part.findings.skip.is_none();
    if parts.iter().any(tries) {
        parts.retain(tries);
    } else {
        parts.truncate(1);
    }
    let crash = parts.iter().find(|part| part.judgement.verdict == Verdict::Crash);
    let crash = crash.map(|part| (part.source.clone(), part.judgement.clone()));
    let first = parts.first()?;
    let source = crash.as_ref().map_or_else(|| first.source.clone(), |(source, _)| source.clone());
    let (strict, options) = (first.strict, options(first, asked));
    let asked = options.as_ref().and(asked).map(String::from);
    let origin = Origin { asked, ..first.origin.clone() };
    let sum = |one: Measured, more: Measured| Measured {
        instructions: one.instructions.zip(more.instructions).map(|(one, more)| one + more),
        seconds: one.seconds.zip(more.seconds).map(|(one, more)| one + more),
    };
    let measured = parts.iter().map(|part| part.measured).reduce(sum)?;
    let (mut trouble, mut raw, mut all) = (Vec::new(), Vec::new(), None::<Findings>);
    for part in parts {
        trouble.extend(part.trouble);
        raw.extend(part.raw.unwrap_or_default());
        match &mut all {
            Some(all) => all.join(part.findings),
            None => all = Some(part.findings),
        }
    }
    let mut findings = all?;
    if let Some(options) = options {
        findings.facts.retain(|(key, _)| key != "options");
        findings.facts.push(("options".into(), options));
    }
    let mut result = RunResult::new((findings, None), source, strict, origin, measured);
    result.raw = Some(raw);
    if let Some((_, judgement)) = crash
        && result.judgement.verdict <= Verdict::Crash
    {
        result.judgement = judgement;
    }
    Some(result.in_trouble(trouble))
}

/// The options in the header of a log with all groups: what was asked for, and what the host added
/// to that in the first part.
fn options(first: &RunResult, asked: Option<&str>) -> Option<String> {
    let of_part = first.findings.image_options();
    let of_host = of_part.strip_prefix(first.origin.asked.as_deref()?)?;
    Some(format!("{}{of_host}", asked?).replace(' ', "+"))
}
