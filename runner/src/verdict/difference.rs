//! What differs between the expected and the seen outcome of a case, field by field.
//!
//! Outcomes are words as `spec::walk::outcome` writes them: `exit,info=1,ec=2,...`,
//! `delivered,ec=2,...`, `silent`, joined by `+`, repeated ones with their number as in
//! `2*exit,...`.

/// The fields of an outcome, and their names for people.
const FIELDS: [(&str, &str); 9] = [
    ("info", "VM-exit interruption information"),
    ("ec", "error code"),
    ("qual", "exit qualification"),
    ("rip", "RIP"),
    ("rflags", "RFLAGS"),
    ("idt", "IDT-vectoring information"),
    ("cr2", "CR2"),
    ("cs", "CS"),
    ("count", "count"),
];

/// One line for each thing that differs.
pub fn differences(want: &str, got: &str) -> Vec<String> {
    let (wanted, seen): (Vec<Part>, Vec<Part>) = (parts(want), parts(got));
    let mut lines = Vec::new();
    for part in &wanted {
        match seen.iter().find(|other| other.kind == part.kind) {
            Some(other) => lines.extend(fields(part, other)),
            None => lines.push(format!("{} did not happen", what(part.kind))),
        }
    }
    for part in &seen {
        if !wanted.iter().any(|other| other.kind == part.kind) {
            if let Some(line) = stuck(part) {
                lines.push(line);
                continue;
            }
            // Where no event came, the field still has the value of an earlier exit.
            let code = part.fields.iter().find(|(name, _)| *name == "ec" && part.kind != "done");
            let code =
                code.map(|(_, code)| format!(" with error code 0x{code}")).unwrap_or_default();
            lines.push(format!("{}{code} happened, and must not", what(part.kind)));
        }
    }
    lines
}

/// One of the outcomes that `+` joins.
struct Part<'a> {
    kind: &'a str,
    fields: Vec<(&'a str, &'a str)>,
}

fn parts(text: &str) -> Vec<Part<'_>> {
    text.split('+')
        .map(|part| {
            let (count, part) = part.split_once('*').unwrap_or(("1", part));
            let mut words = part.split(',');
            let kind = words.next().unwrap_or_default();
            let count = std::iter::once(("count", count));
            Part {
                kind,
                fields: count.chain(words.filter_map(|word| word.split_once('='))).collect(),
            }
        })
        .collect()
}

/// Why L2 did not go on, if this part says so.
fn stuck(part: &Part) -> Option<String> {
    let field = |name| {
        part.fields.iter().find(|(known, _)| *known == name).map_or("nothing", |(_, value)| value)
    };
    match part.kind {
        "unexpected-exit" => {
            let reason = u64::from_str_radix(field("reason"), 16).ok()?;
            let name = exit_reason(reason);
            let (failed, basic) = (reason >> 31 & 1 == 1, reason & 0xffff);
            let failed = if failed { ", a failed VM entry" } else { "" };
            Some(format!(
                "L2 had a VM exit that nothing in it causes: reason {basic}{name}{failed}"
            ))
        }
        "unexpected-vector" => Some(format!(
            "L2 got an exception that nothing in it causes: vector 0x{}",
            field("vector")
        )),
        failed => {
            let instruction = match failed.strip_suffix("-failed")? {
                "entry" => "the VM entry".into(),
                instruction => instruction.to_ascii_uppercase(),
            };
            let error = part.fields.iter().find(|(name, _)| *name == "error");
            let error = error.map_or(" without an error number".into(), |(_, number)| {
                format!(" with VM-instruction error 0x{number}")
            });
            Some(format!("{instruction} failed{error}"))
        }
    }
}

/// A basic exit reason's name. SDM vol. 3D, "VMX Basic Exit Reasons".
fn exit_reason(reason: u64) -> &'static str {
    match reason & 0xffff {
        0 => " (exception or NMI)",
        1 => " (external interrupt)",
        2 => " (triple fault)",
        3 => " (INIT signal)",
        33 => " (invalid guest state)",
        48 => " (EPT violation)",
        49 => " (EPT misconfiguration)",
        52 => " (VMX-preemption timer: L2 did not reach the end of the walk)",
        _ => "",
    }
}

fn what(kind: &str) -> &str {
    match kind {
        "complete-walk" => "a complete walk of L2",
        "complete-start" => "the start of L2, which raises no fault and asks for nothing,",
        "exit" => "a VM exit to L1",
        "delivered" => "a #PF in L2",
        "silent" => "the access without a fault",
        "executed" => "the effect of an instruction that faulted",
        "without-effect" => "an access that completed without its effect",
        other => other,
    }
}

/// The fields that differ, including those that one side lacks.
fn fields(want: &Part, got: &Part) -> Vec<String> {
    let value = |part: &Part, name: &str| {
        let found = part.fields.iter().find(|(known, _)| *known == name);
        found.map(
            |(_, value)| if name == "count" { (*value).to_string() } else { format!("0x{value}") },
        )
    };
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in want.fields.iter().chain(&got.fields) {
        if !names.contains(name) {
            names.push(name);
        }
    }
    names
        .into_iter()
        .filter(|name| value(want, name) != value(got, name))
        .map(|name| {
            let full =
                FIELDS.iter().find(|(short, _)| *short == name).map_or(name, |(_, full)| full);
            let shown = |part| value(part, name).unwrap_or_else(|| "nothing".into());
            let bits = bits(name, &shown(want), &shown(got));
            format!("{full}: want {}, got {}{bits}", shown(want), shown(got))
        })
        .collect()
}

/// The names of the bits that differ, where bits have names.
fn bits(field: &str, want: &str, got: &str) -> String {
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    let (Some(want), Some(got)) = (number(want), number(got)) else { return String::new() };
    let differing = want ^ got;
    let names: &[(u32, &str)] = match field {
        "ec" => &[
            (0, "P"),
            (1, "W/R"),
            (2, "U/S"),
            (3, "RSVD"),
            (4, "I/D"),
            (5, "PK"),
            (6, "SS"),
            (15, "SGX"),
        ],
        "rflags" => &[
            (0, "CF"),
            (2, "PF"),
            (4, "AF"),
            (6, "ZF"),
            (7, "SF"),
            (8, "TF"),
            (9, "IF"),
            (10, "DF"),
            (11, "OF"),
            (16, "RF"),
            (18, "AC"),
        ],
        _ => &[],
    };
    let named: Vec<&str> =
        names.iter().filter(|(bit, _)| differing >> bit & 1 == 1).map(|&(_, name)| name).collect();
    if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::differences;

    const EXIT: &str = "exit,info=80000b0e,ec=6,qual=1000,rip=40,rflags=10cd7,idt=0,cr2=0";

    #[test]
    fn equal_outcomes_do_not_differ() {
        assert!(differences(EXIT, EXIT).is_empty());
        assert!(differences("silent", "silent").is_empty());
    }

    #[test]
    fn differing_fields_alone_are_shown() {
        let got = EXIT.replace("ec=6", "ec=7").replace("10cd7", "cd7");
        assert_eq!(
            differences(EXIT, &got),
            ["error code: want 0x6, got 0x7 (P)", "RFLAGS: want 0x10cd7, got 0xcd7 (RF)"]
        );
    }

    #[test]
    fn another_outcome_is_told_in_words() {
        assert_eq!(
            differences(EXIT, "done,ec=6,rip=40"),
            ["a VM exit to L1 did not happen", "done happened, and must not"]
        );
        assert_eq!(
            differences(EXIT, "delivered,ec=6,cr2=1000,rip=40,cs=8,rflags=10cd7"),
            [
                "a VM exit to L1 did not happen",
                "a #PF in L2 with error code 0x6 happened, and must not"
            ]
        );
        assert_eq!(
            differences("silent", "silent+without-effect"),
            ["an access that completed without its effect happened, and must not"]
        );
    }

    #[test]
    fn an_l2_that_does_not_run_is_told_in_words() {
        assert_eq!(
            differences("complete-walk", "unexpected-exit,reason=2,qual=0"),
            [
                "a complete walk of L2 did not happen",
                "L2 had a VM exit that nothing in it causes: reason 2 (triple fault)"
            ]
        );
        let entry = differences("complete-start", "unexpected-exit,reason=80000021,qual=0");
        assert!(
            entry[1].ends_with("reason 33 (invalid guest state), a failed VM entry"),
            "{entry:?}"
        );
        assert!(
            differences("complete-walk", "unexpected-vector,vector=d")[1].ends_with("vector 0xd")
        );
        let failed = |got| differences("complete-walk", got)[1].clone();
        assert_eq!(
            failed("entry-failed,error=7"),
            "the VM entry failed with VM-instruction error 0x7"
        );
        assert_eq!(failed("invvpid-failed"), "INVVPID failed without an error number");
    }

    #[test]
    fn repetition_and_effects_are_seen() {
        assert_eq!(differences(EXIT, &format!("2*{EXIT}")), ["count: want 1, got 2"]);
        assert_eq!(
            differences(EXIT, &format!("{EXIT}+executed")),
            ["the effect of an instruction that faulted happened, and must not"]
        );
    }

    #[test]
    fn any_text_is_taken() {
        for text in ["", "+", "*", ",", "=", "exit,=,ec", "x*y*z,a=b=c"] {
            let _ = differences(text, EXIT);
            let _ = differences(EXIT, text);
        }
    }
}
