//! The lab's VirtualBox: Debian's packages on this machine's kernel in Bochs, our image.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::command::{finish, line, maskmatch};
use crate::files::Folder;

/// A folder with programs in place of Debian's: `apt-cache` knows no package, `apt-get` fetches
/// nothing.
fn empty_archive() -> Folder {
    let folder = Folder::new();
    let says_where = "case \"$*\" in *print-uris*) exec /usr/bin/apt-get \"$@\";; esac\nexit 0\n";
    for (name, text) in [("apt-get", says_where), ("apt-cache", "exit 0\n")] {
        let path = folder.write(name, format!("#!/bin/sh\n{text}"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    folder
}

#[test]
fn an_archive_without_contrib_is_a_sentence() {
    let (archive, cache) = (empty_archive(), Folder::new());
    let mut command = maskmatch();
    command
        .env("XDG_CACHE_HOME", cache.path(""))
        .env("PATH", format!("{}:/usr/bin:/bin", archive.path("")))
        .args(["lab", "--host", "virtualbox"]);
    let called = finish(&mut command).expect(3);
    assert!(called.verdict().starts_with("maskmatch: skip: "), "{called:#?}");
    assert!(called.verdict().contains("has no package virtualbox in contrib"), "{called:#?}");
    assert_eq!(called.out.lines().count(), 1, "{called:#?}");
}

#[test]
fn options_of_another_host_or_of_none_are_refused() {
    line("lab --host virtualbox --vbox-options warp=on").expect(2);
    line("lab --host virtualbox --vbox-options cpus=0").expect(2);
    line("lab --host virtualbox --param ept=0").expect(2);
    line("lab --vbox-options cpus=2").expect(2);
}

#[test]
fn real_virtualbox_judges_filters() {
    let files = Folder::new();
    let json = files.path("virtualbox.json");
    let called = line(&format!(
        "lab --host virtualbox --vbox-options cpus=2 --filter filter.each.long --json {json}"
    ));
    if called.verdict().starts_with("maskmatch: skip: ") {
        // The archive, or a tool, is missing; the sentence says which.
        called.expect(3);
        return;
    }
    called.expect(0);
    let json = files.json("virtualbox.json");
    let result = &json["results"][0];
    assert_eq!(result["facts"]["channel"], "no");
    assert_eq!(result["groups"][0]["name"], "filter.each.long");
    assert_eq!(result["groups"][0]["failed"], 0);
}
