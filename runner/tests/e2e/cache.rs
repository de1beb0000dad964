//! The cache of kernels, in a folder of the test's own.

use std::fs;
use std::path::PathBuf;

use crate::command::{Called, finish, maskmatch};
use crate::files::Folder;

/// A lab that has no time to boot, with or without a network.
fn lab(folder: &Folder, options: &str, has_network: bool) -> Called {
    let mut command = maskmatch();
    command
        .env("XDG_CACHE_HOME", folder.path(""))
        .args(["lab", "--param", "ept=1", "--limit", "0.1"]);
    if !has_network {
        let nobody = "\"http://127.0.0.1:9\"";
        let text = format!("Acquire::http::Proxy {nobody};\nAcquire::https::Proxy {nobody};\n");
        command.env("APT_CONFIG", folder.write("offline", text));
    }
    finish(command.args(options.split_ascii_whitespace()))
}

#[test]
fn a_kernel_that_is_damaged_is_noticed_and_fetched_again() {
    let folder = Folder::new();
    lab(&folder, "", true).expect(4);
    let kept = fs::read_dir(folder.path("maskmatch/kernels")).expect("the cache").flatten();
    let kernel: PathBuf = kept
        .map(|entry| entry.path())
        .find(|path| path.join("SHA256SUMS").is_file())
        .expect("a kernel with checksums");
    let image = kernel.join("bzImage");
    let (whole, damage) =
        (fs::read(&image).expect("a kernel"), || fs::write(&image, "cut off").expect("it is ours"));

    let unused = lab(&folder, "", false).expect(4);
    assert!(!unused.err.contains("fetch"), "what is whole needs no network: {unused:#?}");
    damage();
    let offline = lab(&folder, "", false).expect(3);
    assert!(offline.err.contains("is fetched again: its bzImage is damaged"), "{offline:#?}");
    assert!(offline.verdict().contains("Could not connect"), "apt's reason: {offline:#?}");
    lab(&folder, "", true).expect(4);
    assert!(fs::read(&image).expect("a kernel") == whole);
    damage();
    lab(&folder, "--refresh", true).expect(4);
    assert!(fs::read(&image).expect("a kernel") == whole);
}
