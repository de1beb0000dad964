//! What can be tried with a guest of a few bytes, wherever /dev/kvm is at all.

use super::{Kvm, KvmOptions};
use crate::vmm::elf::tests::file;
use crate::vmm::{Boot, End, Flow, Outcome, Vmm};
use std::time::{Duration, Instant};

/// An ELF file with a PVH note whose entry is `code`, at 2 MiB.
fn image(code: &[u8]) -> Vec<u8> {
    let mut image = file(0x20_0000, 0x20_0000, code, code.len() as u64);
    // A second program header would have to stand where the code is: so the note goes behind, the header grows.
    let note_at = 64 + 2 * 56;
    let mut note = Vec::new();
    for word in [4u32, 4, 18] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"Xen\0");
    note.extend(0x20_0000u32.to_le_bytes());
    let mut header = Vec::new();
    header.extend([4, 0, 0, 0, 4, 0, 0, 0]);
    for word in [note_at as u64, 0, 0, note.len() as u64, note.len() as u64, 4] {
        header.extend(word.to_le_bytes());
    }
    let code = image.split_off(64 + 56);
    image[56] = 2;
    let code_at = (note_at + note.len()) as u64;
    image[64 + 8..64 + 16].copy_from_slice(&code_at.to_le_bytes());
    image.extend(header);
    image.extend(note);
    image.extend(code);
    image
}

/// Runs `code`, or nothing where there is no KVM.
fn run(code: &[u8], limit: Duration, flow: Flow) -> Option<(Outcome, Vec<u8>)> {
    let kvm = Kvm::open_plain(KvmOptions::default()).ok()?;
    let image = image(code);
    let boot = Boot { elf: &image, cmdline: "", memory_mib: 16, processors: 1, limit, verbose: false };
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
    let Some((outcome, log)) = run(b"\x66\xba\xf8\x03\xb0\x0a\xee\xeb\xfd", LONG, Flow::Stop) else { return };
    assert_eq!((outcome.end, log.as_slice()), (End::Stopped, b"\n".as_slice()));
}
