//! Checks each row by itself: it says what it must, and covers only what it names, where it names
//! it.

use std::collections::BTreeSet;

use super::super::element::Element;
use super::super::hosts::Fit;
use super::super::{Row, Tables};
use super::{catalogue, judge, subject};
use crate::verdict::subject::Subject;

/// Subjects such that each row fits one. Each row, except those for a whole family, also misses
/// another of the same family.
pub fn subjects() -> Vec<Subject> {
    let mut texts: Vec<String> =
        ["2.7", "2.8", "3.0", "3.1"].map(|version| format!("bochs {version}")).into();
    for version in ["5.10", "5.13", "6.1", "6.9", "6.10", "6.12", "7.2"] {
        for (ept, smaller) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            texts
                .push(format!("kvm {version} ept={ept} allow_smaller_maxphyaddr={smaller} vnmi=1"));
        }
    }
    for (version, kvm) in [
        ("2.7", "6.1 vnmi=0"),
        ("3.0", "6.1 vnmi=0"),
        ("2.7", "6.1 vnmi=1"),
        ("2.7", "5.10 vnmi=1"),
    ] {
        texts.push(format!("bochs {version} / kvm {kvm} ept=1 allow_smaller_maxphyaddr=0"));
    }
    texts.extend(["xen 4.17 ept=1", "xen 4.20 ept=0", "virtualbox 7.2"].map(String::from));
    texts.push("bochs 2.7 / xen 4.17 ept=1".into());
    texts.iter().map(|text| subject(text)).collect()
}

/// One row and no other.
fn alone(row: &Row) -> Tables {
    Tables::only(row.clone())
}

/// A difference that an element covers, and one that it does not: other bits of its word, or the
/// reverse.
pub fn examples(element: &Element) -> (String, String) {
    let text = element.to_string();
    let concrete = |pattern: &str| match pattern {
        "delivered*" => "delivered6".to_string(),
        "*" => "exit0".to_string(),
        other => other.to_string(),
    };
    let (ends, word) =
        text.split_once(':').map_or((text.as_str(), None), |(ends, word)| (ends, Some(word)));
    let word = word
        .map(|word| word.split_once('^').map_or((word, None), |(word, bits)| (word, Some(bits))));
    let (want, got) = ends.split_once('>').unwrap_or((ends, ends));
    let (want, got) = (concrete(want), concrete(got));
    let ends = if want == got { got.clone() } else { format!("{want}>{got}") };
    let Some((word, bits)) = word else { return (ends, format!("{got}>{want}")) };
    let bits = bits.map(|bits| u64::from_str_radix(bits, 16).unwrap());
    let covered = format!("{ends}:{word}^{:x}", bits.unwrap_or(0xff));
    let other = match bits {
        Some(bits) => format!("{ends}:{word}^{:x}", bits.rotate_left(20)),
        None => format!("{ends}:{}^1", if word == "rbx" { "rbp" } else { "rbx" }),
    };
    (covered, other)
}

#[test]
fn every_row_is_complete() {
    let tables = Tables::built_in();
    let names: BTreeSet<&str> = tables.rows().iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names.len(), tables.rows().len());
    for row in tables.rows() {
        let told = &row.text;
        for (key, value) in [("requires", &told.requires), ("run", &told.run), ("seen", &told.seen)]
        {
            assert!(value.as_ref().is_some_and(|text| !text.is_empty()), "{}: {key}", row.name);
        }
        // One row is about an interface of Linux, not of the processor.
        assert_eq!(told.sections.is_empty(), row.name == "apf-late", "{}: section", row.name);
        assert!(
            told.reason.ends_with('.') && !told.reason.contains(". "),
            "{}: one sentence",
            row.name
        );
        assert!(told.run.as_ref().is_some_and(|run| run.starts_with("maskmatch ")), "{}", row.name);
        for cases in row.globs() {
            assert!(cases.exist(), "{}: {cases}", row.name);
        }
        for cases in &row.exclude {
            assert_eq!(cases.can_be_excluded(), Ok(()), "{}", row.name);
        }
        if let Some(shows) = &row.shows {
            // What must show can be seen.
            let seen =
                |(group, probe): &(String, String)| row.elements(group, probe).next().is_some();
            let named = |(group, probe): &(String, String)| {
                shows.cases.iter().any(|cases| cases.pattern().matches(group, probe))
            };
            assert!(catalogue().iter().filter(|case| named(case)).all(seen), "{}", row.name);
        }
    }
}

#[test]
fn most_rows_say_where_in_the_source_they_are() {
    // These were found by their effect.
    let without = [
        "rf0",
        "pkru-alone",
        "nmi-exit-blocks",
        "real-code",
        "real-code-forced",
        "trap-lost",
        "smap-implicit",
        "vpid-unsynced",
        "vbox-ept-emulated",
        "vbox-inject-lost",
        "vbox-nmi-push",
        "vbox-pending-step",
        "smi-apf-kill",
    ];
    let tables = Tables::built_in();
    let found =
        tables.rows().iter().filter(|row| row.text.source.is_none()).map(|row| row.name.as_str());
    assert_eq!(found.collect::<BTreeSet<_>>(), without.into());
}

#[test]
fn every_row_is_for_some_subjects_and_not_for_others() {
    let tables = Tables::built_in();
    for row in tables.rows() {
        let fits = |subject: &Subject| row.fit(subject) == Fit::Yes;
        assert!(subjects().iter().any(fits), "{}", row.name);
        assert!(!subjects().iter().all(fits), "{}", row.name);
    }
}

#[test]
fn what_a_row_names_is_known_where_it_names_it_and_nowhere_else() {
    let tables = Tables::built_in();
    let all = catalogue();
    let mut elements = 0;
    for row in tables.rows() {
        let only = alone(row);
        let (hosts, others): (Vec<_>, Vec<_>) =
            subjects().into_iter().partition(|subject| row.fit(subject) == Fit::Yes);
        let known = only.of(&hosts[0]);
        for clause in &row.clauses {
            let inside = |(group, probe): &&(String, String)| {
                clause.cases.iter().any(|cases| cases.pattern().matches(group, probe))
            };
            let (group, probe) = all.iter().find(inside).unwrap();
            for element in &clause.differs {
                elements += 1;
                let (covered, other) = examples(element);
                let at = format!("{}: {element} in {group}:{probe}", row.name);
                assert!(judge(&known, group, &covered, probe).is_known(), "{at}");
                assert!(
                    hosts
                        .iter()
                        .all(|host| judge(&only.of(host), group, &covered, probe).is_known()),
                    "{at}"
                );
                assert!(
                    !others
                        .iter()
                        .any(|host| judge(&only.of(host), group, &covered, probe).is_known()),
                    "{at}"
                );
                // Unless another clause has it.
                let elsewhere = row
                    .elements(group, probe)
                    .any(|more| more != element && examples(more).0 == other);
                assert!(
                    elsewhere || !judge(&known, group, &other, probe).is_known(),
                    "{at}: {other}"
                );
            }
        }
        // Where no clause matches nothing is known.
        let outside = all.iter().find(|(group, probe)| row.elements(group, probe).next().is_none());
        let everywhere = row
            .clauses
            .iter()
            .flat_map(|clause| &clause.cases)
            .any(|cases| cases.to_string() == "*:*");
        assert_eq!(outside.is_none(), everywhere, "{}", row.name);
        for element in row.clauses.iter().flat_map(|clause| &clause.differs) {
            if let Some((group, probe)) = outside {
                assert!(
                    !judge(&known, group, &examples(element).0, probe).is_known(),
                    "{}: {group}:{probe}",
                    row.name
                );
            }
        }
    }
    assert!(elements > 100, "{elements}");
}

#[test]
fn rows_for_every_case_are_few() {
    let tables = Tables::built_in();
    let wide =
        tables.rows().iter().filter(|row| row.globs().any(|cases| cases.to_string() == "*:*"));
    assert_eq!(
        wide.map(|row| row.name.as_str()).collect::<Vec<_>>(),
        ["rf0", "nmi-blocked", "nmi-blocked-vnmi0", "apf-flag"]
    );
    // Nothing excuses everything.
    let mut elements =
        tables.rows().iter().flat_map(|row| &row.clauses).flat_map(|clause| &clause.differs);
    assert!(!elements.any(|element| *element == Element::Anything));
}
