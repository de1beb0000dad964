//! What differs between the expected and the seen outcome of a case, field by field.
//!
//! Outcomes are words as `spec::walk::outcome` writes them: `exit,info=1,ec=2,...`,
//! `delivered,ec=2,...`, `silent`, joined by `+`, repeated ones with their number as in
//! `2*exit,...`.

use spec::manual::vector::PAGE_FAULT;

/// The fields of an outcome, and their names for people. Others are called what the log calls
/// them, in capitals.
const FIELDS: [(&str, &str); 18] = [
    ("info", "VM-exit interruption information"),
    ("ec", "error code"),
    ("qual", "exit qualification"),
    ("idt", "IDT-vectoring information"),
    ("idtec", "IDT-vectoring error code"),
    ("len", "VM-exit instruction length"),
    ("gpa", "guest-physical address"),
    ("gla", "guest-linear address"),
    ("intr", "interruptibility state"),
    ("activity", "activity state"),
    ("pdbg", "pending debug exceptions"),
    ("memory", "memory"),
    ("leaf", "accessed and dirty flags"),
    ("dirty", "dirty flag"),
    ("bitmap", "exception bitmap"),
    ("mask", "page-fault error-code mask"),
    ("match", "page-fault error-code match"),
    ("count", "count"),
];

/// A field's name for people.
pub fn field_name(short: &str) -> String {
    let found = FIELDS.iter().find(|(name, _)| *name == short);
    found.map_or_else(|| short.to_ascii_uppercase(), |(_, full)| (*full).to_string())
}

/// Bits of fields, and their names.
const BITS: [(&str, u32, &str); 31] = [
    ("ec", 0, "P"),
    ("ec", 1, "W/R"),
    ("ec", 2, "U/S"),
    ("ec", 3, "RSVD"),
    ("ec", 4, "I/D"),
    ("ec", 5, "PK"),
    ("ec", 6, "SS"),
    ("ec", 15, "SGX"),
    ("rflags", 0, "CF"),
    ("rflags", 2, "PF"),
    ("rflags", 4, "AF"),
    ("rflags", 6, "ZF"),
    ("rflags", 7, "SF"),
    ("rflags", 8, "TF"),
    ("rflags", 9, "IF"),
    ("rflags", 10, "DF"),
    ("rflags", 11, "OF"),
    ("rflags", 16, "RF"),
    ("rflags", 18, "AC"),
    ("info", 11, "error code valid"),
    ("info", 12, "NMI unblocking due to IRET"),
    ("info", 31, "valid"),
    ("idt", 11, "error code valid"),
    ("idt", 31, "valid"),
    ("intr", 0, "blocking by STI"),
    ("intr", 1, "blocking by MOV SS"),
    ("intr", 2, "blocking by SMI"),
    ("intr", 3, "blocking by NMI"),
    ("dirty", 6, "D"),
    ("leaf", 5, "A"),
    ("leaf", 6, "D"),
];

/// The names of bits of a field, or `None` if one has no name.
pub fn bit_names(field: &str, bits: u64) -> Option<Vec<&'static str>> {
    let bit = |at: u32| BITS.iter().find(|(of, number, _)| *of == field && *number == at);
    let set = (0..u64::BITS).filter(|at| bits >> at & 1 == 1);
    set.map(|at| bit(at).map(|(.., name)| *name)).collect()
}

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
            let event = event(field("info"), field("ec"), field("qual")).unwrap_or_default();
            Some(format!(
                "L2 had a VM exit that nothing in it causes: reason {basic}{name}{failed}{event}"
            ))
        }
        "event-in-l1" => {
            Some(format!("L0 delivered an event to L1 that was L2's: vector 0x{}", field("vector")))
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

/// The event of an exit, in words.
fn event(info: &str, error_code: &str, address: &str) -> Option<String> {
    let vector = u64::from_str_radix(info, 16).ok()? & 0xff;
    Some(if vector == u64::from(PAGE_FAULT) {
        format!(", a page fault with error code 0x{error_code} at 0x{address}")
    } else {
        format!(", vector 0x{vector:x}")
    })
}

/// Names of basic exit reasons. SDM vol. 3D, "VMX Basic Exit Reasons".
const REASONS: [(u64, &str); 31] = [
    (0, "exception or NMI"),
    (1, "external interrupt"),
    (2, "triple fault"),
    (3, "INIT signal: the VMM ends L2 that does not go on"),
    (10, "CPUID"),
    (12, "HLT"),
    (14, "INVLPG"),
    (18, "VMCALL"),
    (19, "VMCLEAR"),
    (20, "VMLAUNCH"),
    (21, "VMPTRLD"),
    (22, "VMPTRST"),
    (23, "VMREAD"),
    (24, "VMRESUME"),
    (25, "VMWRITE"),
    (26, "VMXOFF"),
    (27, "VMXON"),
    (28, "control-register access"),
    (29, "MOV DR"),
    (30, "I/O instruction"),
    (31, "RDMSR"),
    (32, "WRMSR"),
    (33, "invalid guest state"),
    (46, "access to GDTR or IDTR"),
    (47, "access to LDTR or TR"),
    (48, "EPT violation"),
    (49, "EPT misconfiguration"),
    (50, "INVEPT"),
    (52, "VMX-preemption timer: L2 did not go on"),
    (53, "INVVPID"),
    (58, "INVPCID"),
];

/// The name of an exit's basic reason, in parentheses.
pub fn exit_reason(reason: u64) -> String {
    let found = REASONS.iter().find(|(number, _)| *number == reason & 0xffff);
    found.map(|(_, name)| format!(" ({name})")).unwrap_or_default()
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
            let full = field_name(name);
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
    let named = BITS.iter().filter(|(of, bit, _)| *of == field && differing >> bit & 1 == 1);
    let named: Vec<&str> = named.map(|(.., name)| *name).collect();
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
        let fault = "unexpected-exit,reason=0,qual=a100,info=80000b0e,ec=4";
        assert_eq!(
            differences("complete-walk", fault)[1],
            "L2 had a VM exit that nothing in it causes: reason 0 (exception or NMI), a page fault \
             with error code 0x4 at 0xa100"
        );
        assert_eq!(
            differences("complete-walk", "event-in-l1,vector=2")[1],
            "L0 delivered an event to L1 that was L2's: vector 0x2"
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
