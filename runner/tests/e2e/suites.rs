//! The Bochs of another Debian suite than the machine's.

use crate::command::line;

/// A released suite, whose Bochs does not change. Its model with supervisor protection keys is not
/// the default: that model also has 5-level paging, with which it cannot enter L2.
const SUPERVISOR_KEYS: &str = "--bochs trixie --cpu sapphire_rapids";

#[test]
fn supervisor_keys_are_tried_on_a_processor_that_has_them() {
    let run = line(&format!("run --l0 bochs {SUPERVISOR_KEYS} --filter pkey.long")).expect(0);
    assert!(run.verdict().starts_with("maskmatch: pass: 1 group, 1,040 cases, "), "{run:#?}");
    assert!(run.verdict().contains("on Bochs 3.") && !run.out.contains("PKS"), "{run:#?}");
}

#[test]
fn kvm_has_protection_keys_on_a_processor_whose_state_linux_can_save() {
    let run = line("lab --bochs trixie --param ept=1 --filter pkey.long").expect(0);
    assert!(run.out.contains("in Bochs 3."), "{run:#?}");
    assert!(run.verdict().starts_with("maskmatch: pass: 1 group, 9 cases"), "{run:#?}");
}

#[test]
fn what_is_no_bochs_is_told() {
    // Before anything boots.
    for (bochs, part) in [
        ("/nonexistent/bochs", "there is no program /nonexistent/bochs"),
        ("/bin/true", "does not say which version"),
        ("..", "names no Debian suite"),
        ("nosuchsuite", "has no suite nosuchsuite"),
    ] {
        let called =
            line(&format!("run --l0 bochs --bochs {bochs} --filter filter.each.long")).expect(2);
        assert!(called.err.contains(part), "{bochs}: {called:#?}");
    }
}
