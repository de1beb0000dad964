//! The server of Bochs' display, which nobody uses, must be open to nobody.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::command::{maskmatch, programs_below};
use crate::files::Folder;

/// The state of a socket that listens, in /proc/net/tcp.
const LISTENS: &str = "0A";

#[test]
fn bochs_listens_on_no_port() {
    let files = Folder::new();
    let mut command = maskmatch();
    command.args(["run", "--l0", "bochs", "--profile", "exhaustive", "--filter", "filter.*"]);
    command.env("TMPDIR", files.path("")).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut told =
        BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    // The display is older than the first group's end.
    assert!(told.any(|line| line.starts_with("[1/")), "a group ends");
    let bochs = programs_below(&files.path("")).pop().expect("Bochs runs");
    let listening: Vec<String> = ["tcp", "tcp6"]
        .iter()
        .flat_map(|kind| sockets(&format!("/proc/{bochs}/net/{kind}")))
        .collect();
    let descriptors = fs::read_dir(format!("/proc/{bochs}/fd")).expect("its descriptors").flatten();
    let open: Vec<String> = descriptors
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
        .filter(|name| listening.contains(name))
        .collect();
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(open.is_empty(), "{open:?}");
}

/// The sockets of a table that listen, as a descriptor's link names them.
fn sockets(table: &str) -> Vec<String> {
    let text = fs::read_to_string(table).unwrap_or_default();
    let rows = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(3) == Some(&LISTENS))
        .map(|row| format!("socket:[{}]", row[9]))
        .collect()
}
