//! The survey as a chapter of the documentation: `merge.md` and its picture.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::command::merge::policy::{Judgement, Parties, Policy, exact};

use super::survey::{self, Cost, Costs, NEEDS, Need};
use super::wording::{in_fields, in_words, parse};
use super::{chart, needless};
use crate::output;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::judge::thousands;

/// From this line on the file is not generated: what was measured on hosts stays as it is.
const KEPT_FROM: &str =
    "<!-- What follows is measured on hosts; `maskmatch merge --survey` keeps it. -->";

/// Makes the survey and writes both files into a folder, which is made if there is none.
///
/// # Errors
/// A file cannot be written.
pub fn write(folder: &Path) -> Result<Exit, Stop> {
    let over = |width| {
        NEEDS.iter().map(|need| (need, survey::costs(need.filters, width))).collect::<Vec<_>>()
    };
    let five = over(5);
    let files = keep(folder, &chapter(&five, &over(7), &survey::all_pairs(5)), &chart::svg(&five))?;
    let time = survey::nanoseconds_of_a_merge();
    output::text(&format!("{files} written; an exact merge takes {time} ns here on average\n"))?;
    Ok(Exit::Pass)
}

/// Writes both files, and keeps what was measured.
fn keep(folder: &Path, chapter: &str, picture: &str) -> Result<String, Stop> {
    fs::create_dir_all(folder).map_err(|error| Stop::file("make the folder", folder, &error))?;
    let (text, image) = (folder.join("merge.md"), folder.join("merge.svg"));
    let kept = match fs::read_to_string(&text) {
        Ok(old) => old.find(KEPT_FROM).map(|at| old[at..].to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Stop::file("read", &text, &error)),
    };
    let chapter = chapter.to_string() + &kept.unwrap_or_default();
    fs::write(&text, chapter).map_err(|error| Stop::file("write", &text, &error))?;
    fs::write(&image, picture).map_err(|error| Stop::file("write", &image, &error))?;
    Ok(format!("{} and {}", text.display(), image.display()))
}

/// The text.
fn chapter(five: &[(&Need, Costs)], seven: &[(&Need, Costs)], pairs: &Costs) -> String {
    let mut text = String::from(INTRODUCTION);
    answers(&mut text, five, pairs);
    text += METHOD;
    examples(&mut text);
    text += SURVEY;
    for (width, rows) in [(5, five), (7, seven)] {
        let filters = rows.first().map_or(0, |(_, costs)| costs[0].pairs);
        let _ = writeln!(text, "### L1's {} filters over {width} bits\n", thousands(filters));
        table(&mut text, rows);
    }
    let _ = writeln!(
        text,
        "### Any filter of L0 against any of L1, over 5 bits: {} pairs\n",
        thousands(pairs[0].pairs)
    );
    header(&mut text);
    lines(&mut text, "any one filter", pairs);
    text.push('\n');
    text
}

fn cost(costs: &Costs, policy: Policy) -> Cost {
    // Every policy has its place.
    costs.iter().copied().find(|cost| cost.policy == policy).unwrap_or(costs[0])
}

/// Answers both questions of the thread, and says what the draft gets wrong.
fn answers(text: &mut String, five: &[(&Need, Costs)], pairs: &Costs) {
    let smaller = &five[1].1;
    let (kvm, best) = (cost(smaller, Policy::Kvm), cost(smaller, Policy::Exact));
    let (any_kvm, any_best) = (cost(pairs, Policy::Kvm), cost(pairs, Policy::Exact));
    let _ = writeln!(
        text,
        "**Is merging possible at all, with one filter?** Yes. A sound filter with the least excess always exists, can \
         be found in less than a microsecond, and is often exact.\n\n\
         - L0 presents a smaller MAXPHYADDR (`P,!RSVD`): {} of L1's {} filters over 5 bits merge exactly ({}). The \
         excess falls from {} of all error codes with KVM's policy to {}, and from {:.1} to {:.1} needless faults \
         among the 18 error codes that arise without PK, SS, HLAT and SGX. KVM's policy is exact for {}.\n\
         - Any one filter of L0 and any of L1 over 5 bits: {} of {} pairs merge exactly ({}), {} with KVM's policy.\n\n\
         `maskmatch merge --survey` computes these figures. For one pair: `maskmatch merge --l0 'P,!RSVD' --l1 '!P'`.\n",
        thousands(best.exact),
        thousands(best.pairs),
        share(best.exact, best.pairs),
        percent(kvm.mean_excess()),
        percent(best.mean_excess()),
        kvm.mean_needless(),
        best.mean_needless(),
        thousands(kvm.exact),
        thousands(any_best.exact),
        thousands(any_best.pairs),
        share(any_best.exact, any_best.pairs),
        share(any_kvm.exact, any_kvm.pairs),
    );
    let (repaired, draft) = (cost(smaller, Policy::DraftRepaired), cost(smaller, Policy::Draft));
    let (any_repaired, any_draft) =
        (cost(pairs, Policy::DraftRepaired), cost(pairs, Policy::Draft));
    let _ = writeln!(
        text,
        "**Does it help to keep MASK and MATCH where both parties have the same?** Hardly. Equal filters are rare.\n\n\
         - With `P,!RSVD`, the repaired draft costs less than KVM's policy for {} of {} filters: those where L1 has \
         that very filter or needs nothing. The exact merge costs less for {}.\n\
         - Over all pairs, the repaired draft costs less for {} ({}), the exact merge for {} ({}).\n\
         - The draft as written is unsound: it loses faults with {} of L1's {} filters for `P,!RSVD` ({}), and in {} of \
         all pairs. It takes EB.PF = 0 in vmcs12 to mean that L1 needs nothing, and compares L0's MATCH with L1's MASK.\n\n\
         For one pair: `maskmatch merge --l0 'P,!RSVD' --l1 'P,!RSVD'`. For a pair that the draft gets wrong, with the case \
         that shows it on a host: `maskmatch merge --l0 'P,!RSVD' --l1 'eb=0 mask=0x1 match=0x1'`.\n",
        thousands(repaired.cheaper),
        thousands(repaired.pairs),
        thousands(best.cheaper),
        thousands(any_repaired.cheaper),
        share(any_repaired.cheaper, any_repaired.pairs),
        thousands(any_best.cheaper),
        share(any_best.cheaper, any_best.pairs),
        thousands(draft.unsound),
        thousands(draft.pairs),
        share(draft.unsound, draft.pairs),
        share(any_draft.unsound, any_draft.pairs),
    );
}

const INTRODUCTION: &str = "\
# One filter for two parties

While L2 runs, the processor has one page-fault filter: EB.PF, MASK and MATCH in vmcs02. L1 asks for
its own in vmcs12, and L0 may need page faults too. Linux' `prepare_vmcs02_rare` notes that merging
both parties' MASK and MATCH is hard, if possible at all. So KVM clears both fields as soon as L0
needs any #PF: every fault of L2 exits, and L0 sorts out in software which are L1's. This chapter
says what a merge can do.

A filter is *sound* if every fault that a party needs exits. It is *exact* if no other fault does.
Its *excess* is the number of error codes, of all 2^32, that exit needlessly. Soundness is a must;
excess costs time.

";

const METHOD: &str = "\
## How the best filter is found

A filter makes a subcube of the error codes exit (EB.PF = 1), or all but a subcube (EB.PF = 0). So
there are two things to try: the smallest subcube around what both parties need, and everything but
the largest subcube that neither needs. M0, T0 and M1, T1 are the parties' MASK and MATCH. A filter
is `all` or `none` if MASK is 0 or MATCH has a bit outside it, and merging those is trivial. For the
others:

| EB.PF | the best filter | exact |
|---|---|---|
| both 1 | A = M0 & M1 & ~(T0 ^ T1): the bits that both compare, and alike. If A is not 0: EB.PF = 1, MASK = A, MATCH = T0 & A. | if one contains the other, or M0 = M1 and T0, T1 differ in one bit |
| | If A is 0: EB.PF = 0, MASK = a bit of M0 and another one of M1, MATCH = these bits of ~T0 and ~T1; `all` if M0 = M1 is one bit. | if M0 or M1 is one bit, and the other has one more or none |
| 1 (M0, T0) and 0 (M1, T1) | If T0 and T1 differ in a bit of M0 & M1: the second, which contains the first. | yes |
| | Else EB.PF = 0, MASK = M1 and a bit of M0 that M1 lacks, MATCH = T1 and that bit of ~T0; `all` if M1 lacks none. | if M1 lacks one or none |
| both 0 | If T0 and T1 differ in a bit of M0 & M1: `all`. Else EB.PF = 0, MASK = M0 \\| M1, MATCH = T0 \\| T1. | always |

A filter with EB.PF = 0 and one bit in MASK is the same as one with EB.PF = 1 and that bit of MATCH
inverted; here it counts as the latter. `runner/src/command/merge/policy/exact.rs` has the proof. It
merges any number of L0's filters, and its tests compare it with all filters over up to 7 bits.

";

/// What hypervisors in use need, against `P,!RSVD`.
const EXAMPLES: [(&str, &str); 9] = [
    ("none", "L1 uses EPT and leaves its guest's faults alone"),
    ("all", "L1 uses shadow paging"),
    ("P,!RSVD", "L1 presents a smaller MAXPHYADDR itself"),
    ("!P", "not-present faults"),
    ("P", "present faults"),
    ("RSVD", "reserved bits, as marks for MMIO"),
    ("P,I", "fetches without permission"),
    ("W", "writes"),
    ("P,W,U", "user writes without permission"),
];

fn examples(text: &mut String) {
    text.push_str(
        "## What L1 needs, against `P,!RSVD`\n\n\
         | L1 needs | as | best filter | exits on | verdict | needless of 18 | with KVM's policy |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for (words, what) in EXAMPLES {
        // A test reads them all.
        let Ok(l1) = parse(words) else { continue };
        let parties = Parties { l0: NEEDS[1].filters, l1 };
        let best = Judgement::of(exact(parties), parties);
        let kvm = Judgement::of(Policy::Kvm.vmcs02(parties, survey::FRESH), parties);
        let _ = writeln!(
            text,
            "| `{words}` | {what} | `{}` | `{}` | {} | {} | {} |",
            in_fields(best.vmcs02),
            in_words(best.vmcs02),
            best.verdict(),
            needless(&best, parties).len(),
            needless(&kvm, parties).len()
        );
    }
    text.push_str("\nOne line each: `maskmatch merge --l0 'P,!RSVD' --l1 FILTER`.\n\n");
}

const SURVEY: &str = "\
## The survey

![Error codes that exit needlessly, by policy](merge.svg)

Every filter of L1 counts once. All those with MATCH outside MASK do the same, so they count as one
with EB.PF = 0 and one with EB.PF = 1. *Excess* is a part of all 2^32 error codes. *Needless of 18*
counts the error codes that arise without PK, SS, HLAT and SGX: RSVD comes only with P, and a fetch
is no write. For a policy that loses faults, excess is no merit. The draft starts with a fresh
vmcs02 (MASK = MATCH = 0).

`maskmatch merge --survey` writes this chapter and its picture.

";

fn table(text: &mut String, rows: &[(&Need, Costs)]) {
    header(text);
    for (need, costs) in rows {
        let words: Vec<String> = need.words.iter().map(|words| format!("`{words}`")).collect();
        let name = if words.is_empty() {
            need.name.into()
        } else {
            format!("{}: {}", need.name, words.join(", "))
        };
        lines(text, &name, costs);
    }
    text.push('\n');
}

fn header(text: &mut String) {
    text.push_str(
        "| L0 needs | policy | loses faults | exact | excess, mean | excess, most | needless of 18, mean | most |\n\
         |---|---|---:|---:|---:|---:|---:|---:|\n",
    );
}

fn lines(text: &mut String, need: &str, costs: &Costs) {
    for cost in costs {
        let _ = writeln!(
            text,
            "| {need} | {} | {} | {} | {} | {} | {:.2} | {} |",
            cost.policy.name(),
            share(cost.unsound, cost.pairs),
            share(cost.exact, cost.pairs),
            percent(cost.mean_excess()),
            percent(cost.most_excess()),
            cost.mean_needless(),
            cost.most_needless
        );
    }
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// A part in percent. What is not 0 never looks like 0.
fn share(part: u64, whole: u64) -> String {
    let tenths = part * 1000 / whole.max(1);
    match (part, tenths) {
        (0, _) => "0".into(),
        (_, 0) => "< 0.1 %".into(),
        _ => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        EXAMPLES, Judgement, KEPT_FROM, NEEDS, Parties, chapter, exact, keep, parse, share, survey,
    };
    use spec::manual::filter::Filter;
    use std::fs;

    #[test]
    fn the_examples_are_filters() {
        assert!(EXAMPLES.iter().all(|(words, _)| parse(words).is_ok()));
    }

    #[test]
    fn what_was_measured_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, measured) =
            (folder.path().join("docs"), format!("{KEPT_FROM}\n\n## Measured\n"));
        let file = inner.join("merge.md");
        keep(&inner, "old\n", "<svg/>").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "old\n");
        fs::write(&file, format!("old\n{measured}")).unwrap();
        keep(&inner, "new\n", "<svg/>").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), format!("new\n{measured}"));
        assert!(inner.join("merge.svg").exists());
    }

    #[test]
    fn every_figure_has_its_place() {
        let rows: Vec<_> =
            NEEDS.iter().map(|need| (need, survey::costs(need.filters, 3))).collect();
        let text = chapter(&rows, &rows, &survey::all_pairs(2));
        assert!(!text.contains("NaN") && !text.contains("{}"), "{text}");
        let policy = |line: &str| line.split('|').nth(2).map(str::trim) == Some("exact");
        assert_eq!(text.lines().filter(|line| policy(line)).count(), 2 * NEEDS.len() + 1);
    }

    #[test]
    fn little_is_not_nothing() {
        assert_eq!(
            (share(0, 9), share(1, 9_999), share(1, 3)),
            ("0".into(), "< 0.1 %".into(), "33.3 %".into())
        );
    }

    /// The rows of the method's table, as they are written there.
    fn by_table(l0: Filter, l1: Filter) -> (Filter, bool) {
        let lowest = |bits: u32| bits & bits.wrapping_neg();
        let Filter { mask: m0, matching: t0, .. } = l0;
        let Filter { mask: m1, matching: t1, .. } = l1;
        let differ = (t0 ^ t1) & m0 & m1;
        match (l0.eb_pf, l1.eb_pf) {
            (true, true) => {
                let alike = m0 & m1 & !(t0 ^ t1);
                if alike != 0 {
                    let contains = differ == 0 && (m0 & m1 == m0 || m0 & m1 == m1);
                    let exact = contains || m0 == m1 && differ.is_power_of_two();
                    return (Filter::new(true, alike, t0 & alike), exact);
                }
                let pairs = (0..32).flat_map(|a| (0..32).map(move |b| (1 << a, 1 << b)));
                let pair = pairs
                    .into_iter()
                    .find(|&(a, b): &(u32, u32)| a != b && m0 & a != 0 && m1 & b != 0);
                let Some((a, b)) = pair else { return (Filter::ALWAYS, true) };
                let one = |one: u32, other: u32| {
                    one.is_power_of_two() && (other & !one).count_ones() <= 1
                };
                (Filter::new(false, a | b, !t0 & a | !t1 & b), one(m0, m1) || one(m1, m0))
            }
            (true, false) if differ != 0 => (l1, true),
            (true, false) => match lowest(m0 & !m1) {
                0 => (Filter::ALWAYS, true),
                bit => (Filter::new(false, m1 | bit, t1 | !t0 & bit), (m0 & !m1).is_power_of_two()),
            },
            (false, true) => by_table(l1, l0),
            (false, false) if differ != 0 => (Filter::ALWAYS, true),
            (false, false) => (Filter::new(false, m0 | m1, t0 | t1), true),
        }
    }

    #[test]
    fn the_table_of_the_method_is_true() {
        let plain = |filter: &Filter| filter.mask != 0 && filter.matching & !filter.mask == 0;
        let direct = |filter: &Filter| filter.eb_pf || !filter.mask.is_power_of_two();
        let all: Vec<Filter> =
            survey::filters(4).into_iter().filter(plain).filter(direct).collect();
        for (&l0, &l1) in all.iter().flat_map(|l0| all.iter().map(move |l1| (l0, l1))) {
            let parties = Parties { l0: &[l0], l1 };
            let (filter, is_exact) = by_table(l0, l1);
            let (told, best) =
                (Judgement::of(filter, parties), Judgement::of(exact(parties), parties));
            assert!(told.is_sound(), "{l0} {l1}: {filter}");
            assert_eq!(
                (told.excess, told.is_exact()),
                (best.excess, is_exact),
                "{l0} {l1}: {filter}"
            );
        }
    }
}
