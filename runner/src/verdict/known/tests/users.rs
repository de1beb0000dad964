//! A user's own tables.

use spec::catalogue::options::Options;
use spec::log::Counts;

use super::super::{Party, Ran, Tables};
use super::{MAXPHYADDR, judge, names, subject};

const OWN: &str = r#"
[[row]]
name = "cr2-early"
hosts = ["kvm >=6.1"]
reason = "A made-up host writes CR2 before the exit."
cases = ["access.*:user-*"]
differs = ["exit0:cr2"]
"#;

fn with(text: &str) -> Result<Tables, String> {
    let mut tables = Tables::built_in();
    tables.add_file("own.toml", text).map(|()| tables)
}

#[test]
fn a_row_of_the_user_turns_a_failure_into_known_and_back() {
    let subject = subject("bochs 2.7 / kvm 6.1 ept=1 allow_smaller_maxphyaddr=0");
    let is_known = |tables: &Tables| {
        let judged = judge(
            &tables.of(&subject),
            "access.long",
            "exit0:cr2^1000,rflags^10000",
            "user-mov-read-np",
        );
        judged.is_known().then(|| (names(&judged.rows).len(), judged.of()))
    };
    assert_eq!(is_known(&Tables::built_in()), None);
    assert_eq!(is_known(&with(OWN).unwrap()), Some((2, Party::Host)));
    assert_eq!(is_known(&with(&OWN.replace("6.1", "6.2")).unwrap()), None);
    assert_eq!(is_known(&Tables::none()), None);
}

#[test]
fn a_file_may_be_about_the_processor() {
    let tables =
        with(&format!("of = \"processor\"\n{}", OWN.replace("kvm >=6.1", "bochs 2.7"))).unwrap();
    let in_lab = subject("bochs 2.7 / kvm 6.1 ept=1");
    let known = tables.of(&in_lab);
    let judged = judge(&known, "access.long", "exit0:cr2^1000", "user-mov-read-np");
    assert_eq!(
        (judged.is_known(), judged.of(), known.tested()),
        (true, Party::Processor, Party::Host)
    );
    // The host's rows are about what is tested.
    let of_bochs = with(&OWN.replace("kvm >=6.1", "bochs 2.7")).unwrap();
    let judged = |text| {
        let (subject, difference) = (subject(text), "exit0:cr2^1000");
        let known = of_bochs.of(&subject);
        let judged = judge(&known, "access.long", difference, "user-mov-read-np");
        judged.is_known().then_some((judged.of(), known.tested()))
    };
    assert_eq!(judged("bochs 2.7"), Some((Party::Processor, Party::Processor)));
    assert_eq!(judged("bochs 2.7 / kvm 6.1 ept=1"), None);
}

#[test]
fn a_row_that_does_not_show_is_told_of_what_is_tested_whatever_the_file_is_about() {
    let shows = "shows = { cases = [\"access.*:user-mov-read-np\"], when = \"exits\" }\n";
    for (of, hosts, on, told) in [
        ("host", "bochs 2.7", "bochs 2.7", true),
        ("processor", "bochs 2.7", "bochs 2.7", true),
        ("host", "bochs 2.7", "bochs 2.7 / kvm 6.1 ept=1", false),
        ("processor", "bochs 2.7", "bochs 2.7 / kvm 6.1 ept=1", false),
        ("host", "kvm", "bochs 2.7 / kvm 6.1 ept=1", true),
        ("host", "kvm", "kvm 6.1 ept=1", true),
    ] {
        let mut tables = Tables::none();
        let text = format!("of = \"{of}\"\n{OWN}{shows}").replace("kvm >=6.1", hosts);
        tables.add_file("own.toml", &text).unwrap();
        let subject = subject(on);
        let counts = Counts { cases: u64::MAX, exits: 1, ..Counts::default() };
        let ran = [Ran { group: "access.long", counts: &counts }];
        let passes =
            tables.of(&subject).unexpected_passes(Options::default(), MAXPHYADDR, &ran, &[]);
        assert_eq!(
            names(&passes),
            if told { vec!["cr2-early"] } else { vec![] },
            "{of} {hosts} on {on}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_file_row_and_key() {
    let row = |changed: &str, to: &str| OWN.replace(changed, to);
    for (text, parts) in [
        ("[[row]\n".to_string(), &["own.toml: line 1"][..]),
        (format!("rows = 1\n{OWN}"), &["own.toml: key rows"]),
        (format!("of = \"guest\"\n{OWN}"), &["own.toml: key of", "guest"]),
        (row("reason", "reasons"), &["own.toml: row cr2-early", "reasons"]),
        (
            row("reason = \"A made-up host writes CR2 before the exit.\"\n", ""),
            &["row cr2-early", "reason"],
        ),
        (row("A made-up host writes CR2 before the exit.", ""), &["row cr2-early", "key reason"]),
        (row("\"cr2-early\"", "\"rf0\""), &["own.toml: row rf0", "key name"]),
        (row("\"cr2-early\"", "\"CR2 early\""), &["key name"]),
        (row("name = \"cr2-early\"", ""), &["own.toml: row 1", "name"]),
        (row("kvm >=6.1", "kvm six"), &["row cr2-early", "key hosts", "'six'"]),
        (row("[\"kvm >=6.1\"]", "[]"), &["row cr2-early", "key hosts"]),
        (row("access.*:user-*", "access.*"), &["row cr2-early", "key cases", "access.*"]),
        (
            row("access.*:user-*", "access.*:uesr-*"),
            &["own.toml: row cr2-early", "access.*:uesr-*", "no case"],
        ),
        (
            row("access.*:user-*", "access.*:user-*:1,0,0"),
            &["row cr2-early", "key cases", "filter"],
        ),
        (row("exit0:cr2", "exit0:cr9"), &["row cr2-early", "key differs", "'cr9'"]),
        (row("[\"exit0:cr2\"]", "[]"), &["row cr2-early", "key differs"]),
        (
            format!("{OWN}also = [{{ cases = [], differs = [] }}]"),
            &["row cr2-early", "key also.cases"],
        ),
        (
            format!("{OWN}shows = {{ cases = [\"x:*\"], when = \"never\" }}"),
            &["row cr2-early", "never"],
        ),
        (
            format!("{OWN}shows = {{ cases = [\"nothing\"] }}"),
            &["row cr2-early", "key shows.cases"],
        ),
        (format!("{OWN}exclude = [\"host.*\"]"), &["row cr2-early", "key exclude"]),
        (
            format!("{OWN}exclude = [\"host.apic:*\"]"),
            &["row cr2-early", "key exclude", "host.apic"],
        ),
        (format!("{OWN}option = \"turbo=yes\""), &["row cr2-early", "key option", "turbo=yes"]),
        (
            format!("{OWN}section = \"RIP\""),
            &["row cr2-early", "key section", "'RIP'", "docs/sections.md"],
        ),
        (
            format!("{OWN}section = [\"saving-rip\", \"rip\"]"),
            &["row cr2-early", "key section", "'rip'"],
        ),
        (OWN.split("cases").next().unwrap().to_string(), &["row cr2-early", "no cases"]),
    ] {
        let error = with(&text).expect_err(&text);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}\n{parts:?}");
        assert!(!error.contains('\n'), "{error}");
    }
}
