//! Ctrl-C and `kill` while Bochs runs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use crate::command::{maskmatch, works_below};
use crate::files::Folder;

#[test]
fn nothing_of_an_interrupted_run_stays_behind() {
    for (words, started, signal, number) in [
        ("run --l0 bochs --profile exhaustive -v", "-rc debugger.rc", "-INT", 2),
        ("lab --param ept=1 --param ept=0 -v", "-rc debugger.rc", "-TERM", 15),
    ] {
        let temporary = Folder::new();
        let mut command = maskmatch();
        command.args(words.split(' ')).env("TMPDIR", temporary.path(""));
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut told =
            BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        assert!(told.any(|line| line.contains(started)), "{words}: Bochs is started");
        // The lab starts a second one beside it.
        assert_ne!(folders(&temporary), 0, "{words}");
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .expect("kill is there");
        assert!(sent.success());
        // Bochs has only the pipe of its own output, so this pipe can end while Bochs lives.
        told.for_each(drop);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.signal(), Some(number), "{words}: {output:?}");
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(
            out.lines().any(|line| line.starts_with("maskmatch: crash: ")),
            "{words}: what was seen is told: {out}"
        );
        assert_eq!(folders(&temporary), 0, "{words}");
        assert_eq!(works_below(&temporary.path("")), 0, "{words}");
    }
}

fn folders(temporary: &Folder) -> usize {
    fs::read_dir(temporary.path("")).expect("the folder is there").count()
}
