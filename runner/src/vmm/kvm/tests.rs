//! What a guest of a few bytes can test, on any machine with /dev/kvm.

use super::{Kvm, KvmOptions};
use crate::vmm::elf::tests::pvh;
use crate::vmm::{Boot, End, Flow, Outcome, Vmm};
use std::time::{Duration, Instant};

/// Runs `code`, or nothing where there is no KVM.
fn run(code: &[u8], limit: Duration, flow: Flow) -> Option<(Outcome, Vec<u8>)> {
    let kvm = Kvm::open_plain(KvmOptions::default()).ok()?;
    let image = pvh(code);
    let boot =
        Boot { elf: &image, cmdline: "", memory_mib: 16, processors: 1, limit, verbose: false };
    let mut log = Vec::new();
    let outcome = kvm.run(&boot, &mut |bytes: &[u8]| {
        log.extend(bytes);
        flow
    });
    Some((outcome.unwrap(), log))
}

const LONG: Duration = Duration::from_mins(1);

#[test]
fn what_is_written_to_com1_comes_out_and_the_power_goes_off() {
    // mov dx, 0x3f8; mov al, 'A'; out dx, al; mov dx, 0x604; mov ax, 0x2000; out dx, ax
    let code = b"\x66\xba\xf8\x03\xb0A\xee\x66\xba\x04\x06\x66\xb8\x00\x20\x66\xef\xf4";
    let Some((outcome, log)) = run(code, LONG, Flow::Continue) else { return };
    assert_eq!(outcome.end, End::PoweredOff);
    assert_eq!(log, b"A");
}

#[test]
fn a_triple_fault_is_a_crash() {
    // ud2, without an IDT
    let Some((outcome, _)) = run(b"\x0f\x0b", LONG, Flow::Continue) else { return };
    assert_eq!(outcome.end, End::Crashed("the guest died of a triple fault".into()));
}

#[test]
fn a_guest_that_hangs_is_late_and_not_forever() {
    let limit = Duration::from_millis(200);
    let start = Instant::now();
    for code in [b"\xeb\xfe".as_slice(), b"\xfa\xf4\xeb\xfd"] {
        let Some((outcome, _)) = run(code, limit, Flow::Continue) else { return };
        assert_eq!(outcome.end, End::TimedOut(limit));
    }
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_flood_can_be_stopped() {
    // mov dx, 0x3f8; mov al, 10; out dx, al; jmp back
    let Some((outcome, log)) = run(b"\x66\xba\xf8\x03\xb0\x0a\xee\xeb\xfd", LONG, Flow::Stop)
    else {
        return;
    };
    assert_eq!((outcome.end, log.as_slice()), (End::Stopped, b"\n".as_slice()));
}
