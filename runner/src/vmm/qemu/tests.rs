//! Moves a guest of a few bytes, on QEMU's translator where QEMU is installed.

use super::{Accel, Qemu};
use crate::vmm::elf::tests::pvh;
use crate::vmm::{Boot, End, Flow, Outcome, Vmm};
use std::path::Path;
use std::time::Duration;

/// `mov dx, 0x3f8; mov al, LETTER; out dx, al`.
fn write(letter: u8) -> Vec<u8> {
    [b"\x66\xba\xf8\x03\xb0".as_slice(), &[letter], b"\xee"].concat()
}

/// `mov dx, 0x4d40; in al, dx; mov bl, al; out dx, al; in al, dx; cmp al, bl; je back to in`.
const MOVE: &[u8] = b"\x66\xba\x40\x4d\xec\x88\xc3\xee\xec\x38\xd8\x74\xfb";
/// `mov dx, 0x604; mov ax, 0x2000; out dx, ax; hlt`.
const OFF: &[u8] = b"\x66\xba\x04\x06\x66\xb8\x00\x20\x66\xef\xf4";

/// Runs `code` on this QEMU, or nothing where there is none.
fn run(code: &[u8], program: Option<&Path>) -> Option<(Outcome, Vec<u8>)> {
    run_within(code, program, Duration::from_mins(1))
}

fn run_within(code: &[u8], program: Option<&Path>, limit: Duration) -> Option<(Outcome, Vec<u8>)> {
    let mut qemu = Qemu::find(Accel::Tcg).ok()?;
    qemu.program = program.map_or(qemu.program, Into::into);
    let image = pvh(code);
    let boot =
        Boot { elf: &image, cmdline: "", memory_mib: 16, processors: 1, limit, verbose: false };
    let mut log = Vec::new();
    let outcome = qemu.run(&boot, &mut |bytes: &[u8]| {
        log.extend(bytes);
        Flow::Continue
    });
    Some((outcome.unwrap(), log))
}

#[test]
fn a_guest_that_moves_goes_on_where_it_was() {
    let code = [&write(b'a'), MOVE, &write(b'b'), MOVE, &write(b'c'), OFF].concat();
    let Some((outcome, log)) = run(&code, None) else { return };
    assert_eq!((outcome.end, log.as_slice()), (End::PoweredOff, b"abc".as_slice()));
}

/// A script in place of QEMU that does something else before it starts a QEMU that restores a
/// guest.
fn changed(folder: &Path, restoring: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("qemu");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *-incoming*) {restoring};; esac\nexec qemu-system-x86_64 \"$@\"\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_move_that_fails_is_told_and_what_was_seen_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let code = [&write(b'a'), MOVE, &write(b'b'), OFF].concat();
    for (restoring, why) in [
        // This machine is not the one that was saved.
        ("set -- \"$@\" -m 32", "QEMU does not restore the guest"),
        ("head -c 3000 state >cut; cp cut state", "QEMU does not restore the guest"),
        (
            "echo broken >&2; exit 1",
            "QEMU does not restore the guest: it ended with exit status: 1: broken",
        ),
    ] {
        let program = changed(folder.path(), restoring);
        let Some((outcome, log)) = run(&code, Some(&program)) else { return };
        let End::Crashed(sentence) = &outcome.end else { panic!("{outcome:?} with {restoring}") };
        assert!(sentence.contains(why), "{sentence}");
        assert_eq!(log, b"a", "{restoring}");
    }
}

#[test]
fn an_old_state_shows_in_what_the_guest_writes() {
    let folder = tempfile::tempdir().unwrap();
    let program =
        changed(folder.path(), "if [ -f kept ]; then cp kept state; else cp state kept; fi");
    let code = [&write(b'a'), MOVE, &write(b'b'), MOVE, &write(b'c'), OFF].concat();
    let limit = Duration::from_secs(10);
    let Some((outcome, log)) = run_within(&code, Some(&program), limit) else { return };
    assert_eq!(outcome.end, End::TimedOut(limit));
    assert!(log.starts_with(b"abb"), "{log:?}");
}
