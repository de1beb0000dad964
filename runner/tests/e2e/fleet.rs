//! The files of docs/fleet: a run shared out by Slurm and by GNU parallel, in which a part is killed,
//! and what linters say of the others. What is not installed here is not tried. These tests run only
//! when they are asked for: what a machine has by these names need not be what is meant.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use crate::command::{finish, line};
use crate::files::Folder;
use crate::share::lasting;

/// The folder with the files.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/fleet");
/// Runs Slurm for as long as a job takes.
const NODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/slurm_node.sh");
/// What is shared out in three parts: on real KVM.
const RUN: &str =
    "--param ept=0 --filter filter.each.long --filter host.touch --filter access.long";
/// A program that is called as `maskmatch` is. It kills part 2 when that is first begun.
const KILLER: &str = "#!/bin/sh
case \"$*\" in *hash:2/3*)
    if mkdir killed 2>/dev/null; then exec timeout -s KILL 2 PROGRAM \"$@\"; fi
esac
exec PROGRAM \"$@\"
";

/// In place of SSH: runs what follows the name of this machine.
const SSH: &str = "#!/bin/sh
while [ \"$1\" != localhost ]; do shift; done
shift
[ \"$1\" != -- ] || shift
exec sh -c \"$*\"
";

fn is_installed(program: &str) -> bool {
    let there = Command::new("which").arg(program).output().is_ok_and(|out| out.status.success());
    if !there {
        eprintln!("not tried: there is no {program} here");
    }
    there
}

/// A folder to run in, with a `maskmatch` that kills part 2 once.
fn with_killer() -> (Folder, String) {
    let files = Folder::new();
    std::fs::create_dir(files.path("bin")).expect("a folder");
    program(&files, "bin/maskmatch", &KILLER.replace("PROGRAM", env!("CARGO_BIN_EXE_maskmatch")));
    let path = format!("{}:{}", files.path("bin"), std::env::var("PATH").expect("a PATH"));
    (files, path)
}

fn program(files: &Folder, name: &str, text: &str) -> String {
    let path = files.write(name, text);
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("it is ours");
    path
}

/// Part 2 was killed, nothing is lost and nothing is there twice: all parts are as one run.
fn is_one_run(files: &Folder) {
    assert!(Path::new(&files.path("killed")).exists());
    let (one, all) = (files.path("one.json"), files.path("all.json"));
    line(&format!("lab {RUN} --json {one}")).expect(0);
    line(&format!("gather {} --json {all}", files.path("results"))).expect(0);
    assert_eq!(lasting(files, "all.json"), lasting(files, "one.json"));
    let records = std::fs::read_dir(files.path("results")).expect("records").count();
    assert_eq!(records, 3);
}

#[test]
#[ignore = "runs GNU parallel, if installed: cargo test -p runner --test e2e -- --ignored fleet"]
fn parallel_runs_a_part_that_was_killed_again() {
    if !is_installed("parallel") {
        return;
    }
    let (files, path) = with_killer();
    files.write("hosts", "2/localhost\n");
    let ssh = program(&files, "ssh", SSH);
    let call = || {
        let mut parallel = Command::new("sh");
        parallel.args([&format!("{FILES}/parallel.sh"), "3"]).args(RUN.split_ascii_whitespace());
        parallel.current_dir(files.path(".")).env("PATH", &path).env("PARALLEL_SSH", &ssh);
        finish(&mut parallel)
    };
    let first = call();
    assert_ne!(first.code, 0, "{first:#?}");
    let again = call().expect(0);
    assert_eq!(again.err.matches("the lab is over").count(), 1, "{again:#?}");
    is_one_run(&files);
}

#[test]
#[ignore = "runs Slurm's daemons, if installed: cargo test -p runner --test e2e -- --ignored fleet"]
fn slurm_requeues_a_part_that_was_killed() {
    let tools = ["sbatch", "slurmctld", "slurmd", "munged"];
    if !tools.into_iter().all(is_installed) || !is_root() {
        return;
    }
    let (files, path) = with_killer();
    let mut slurm = Command::new("sh");
    slurm.args([NODE, "--array=1-3", &format!("{FILES}/slurm.sh")]);
    slurm.args(RUN.split_ascii_whitespace()).current_dir(files.path("."));
    let called = finish(slurm.env("PATH", &path)).expect(0);
    // An array's tasks begin with 1.
    let of_task = |number| {
        let name = format!("slurm-1_{number}.out");
        String::from_utf8_lossy(&files.read(&name)).into_owned()
    };
    // Task 2 by its second start.
    for task in 1..=3 {
        assert!(
            of_task(task).contains("maskmatch: pass: 1 group"),
            "{}\n{called:#?}",
            of_task(task)
        );
    }
    is_one_run(&files);
}

/// The daemons of Slurm run jobs of other users.
fn is_root() -> bool {
    let is = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    if !is {
        eprintln!("not tried: Slurm's daemons want root");
    }
    is
}

#[test]
#[ignore = "runs linters, if installed: cargo test -p runner --test e2e -- --ignored fleet"]
fn linters_accept_the_files_of_kubernetes_and_github() {
    for (linter, options, file, changed, to) in [
        ("kubernetes-validate", "--strict", "kubernetes.yml", "completions:", "completion:"),
        ("kubeconform", "-strict", "kubernetes.yml", "completions:", "completion:"),
        ("actionlint", "", "github.yml", "runs-on:", "runson:"),
        ("shellcheck", "", "slurm.sh", "\"$code\"", "$cod"),
        ("shellcheck", "", "parallel.sh", "\"$@\"", "$@"),
    ] {
        if !is_installed(linter) {
            continue;
        }
        let files = Folder::new();
        let text = std::fs::read_to_string(format!("{FILES}/{file}")).expect("it is there");
        let lint = |text: &str| {
            let path = files.write(file, text);
            finish(Command::new(linter).args(options.split_ascii_whitespace()).arg(path))
        };
        lint(&text).expect(0);
        assert_ne!(lint(&text.replace(changed, to)).code, 0, "{linter} notices a wrong {file}");
    }
}
