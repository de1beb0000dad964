//! What other programs make of the results: docs/consumers.md is written by
//! `cargo test -p runner --test e2e -- --ignored consumers`, which installs them in a folder of its
//! own. Each must count what the results have.

use std::fmt::Write;
use std::process::Command;

use serde_json::Value;

use crate::command::{call, finish};
use crate::files::Folder;

/// A program that reads results.
struct Consumer {
    /// Its name.
    name: &'static str,
    /// Installs it below `$D`.
    install: &'static str,
    /// Prints its version.
    version: &'static str,
    /// What it reads.
    reads: &'static str,
    /// Prints how many test points it sees in `$F` as passed, known, skipped and failed.
    count: &'static str,
    /// What it takes known deviations for.
    known: Known,
    /// What a user runs.
    usage: &'static str,
}

/// What a consumer takes known deviations for.
#[derive(Clone, Copy, PartialEq)]
enum Known {
    /// A kind of their own.
    Apart,
    /// Passes: it has no such kind.
    Passed,
    /// Failures: it has no such kind.
    Failed,
    /// Only whether anything failed is told.
    Whole,
}

const CONSUMERS: [Consumer; 7] = [
    Consumer {
        name: "prove (TAP::Harness)",
        install: "true",
        version: "prove --version | grep -o 'v[0-9.]*' | head -1",
        reads: "tap",
        count: "perl -MTAP::Harness -e '$h = TAP::Harness->new({exec => [\"cat\"], verbosity => -3}); \
                $a = $h->runtests($ARGV[0]); print join \" \", $a->passed - $a->todo - $a->skipped, \
                scalar $a->todo, scalar $a->skipped, scalar $a->failed' $F",
        known: Known::Apart,
        usage: "prove -e 'maskmatch run --tap --l0' kvm",
    },
    Consumer {
        name: "tap.py",
        install: "$D/venv/bin/pip -q install tap.py more-itertools pyyaml",
        version: "$D/venv/bin/pip show tap.py | sed -n 's/Version: //p'",
        reads: "tap",
        count: "$D/venv/bin/tappy $F >$D/out 2>&1; n() { sed -n \"s/.*$1=\\([0-9]*\\).*/\\1/p\" $D/out | \
                tail -1; }; all=$(sed -n 's/^Ran \\([0-9]*\\) .*/\\1/p' $D/out); f=$(n '[(]failures'); \
                s=$(n skipped); k=$(n 'expected failures'); \
                echo $((all - ${f:-0} - ${s:-0} - ${k:-0})) ${k:-0} ${s:-0} ${f:-0}",
        known: Known::Apart,
        usage: "maskmatch run --tap >result.tap; tappy result.tap",
    },
    Consumer {
        name: "npm tap-parser, strict",
        install: "cd $D && npm install --silent tap-parser",
        version: "sed -n 's/.*\"version\": \"\\(.*\\)\".*/\\1/p' $D/node_modules/tap-parser/package.json",
        reads: "tap",
        count: "cd $D && node -e 'const { Parser } = require(\"tap-parser\"); \
                const p = new Parser({ strict: true }); p.on(\"complete\", r => console.log( \
                r.pass - r.skip, r.todo, r.skip, r.fail - r.todo)); \
                require(\"fs\").createReadStream(process.argv[1]).pipe(p)' $F",
        known: Known::Apart,
        usage: "maskmatch run --tap | npx tap-parser",
    },
    Consumer {
        name: "kunit.py of Linux",
        install: "cd $D && apt-get download -q linux-source-6.1 && dpkg-deb --fsys-tarfile \
                  linux-source-6.1*.deb | tar x ./usr/src/linux-source-6.1.tar.xz && mkdir kunit && tar x \
                  -C kunit --strip-components=1 -f usr/src/linux-source-6.1.tar.xz \
                  --wildcards 'linux-source-6.1/tools/testing/kunit/*'",
        version: "echo 6.1",
        reads: "tap",
        count: "python3 $D/kunit/tools/testing/kunit/kunit.py parse $F | sed -n 's/.*Ran [0-9]* tests: //p' | tr , '\\n' | awk -F: \
                '{ n[$1] = $2 } END { print n[\"passed\"] + 0, 0, n[\" skipped\"] + 0, n[\" failed\"] + 0 }'",
        known: Known::Failed,
        usage: "maskmatch run --tap >result.tap; kunit.py parse $PWD/result.tap",
    },
    Consumer {
        name: "junitparser",
        install: "$D/venv/bin/pip -q install junitparser",
        version: "$D/venv/bin/pip show junitparser | sed -n 's/Version: //p'",
        reads: "junit",
        count: "$D/venv/bin/python -c 'import sys, junitparser; x = junitparser.JUnitXml.fromfile(sys.argv[1]); \
                f = x.failures + x.errors; print(x.tests - f - x.skipped, 0, x.skipped, f)' $F",
        known: Known::Passed,
        usage: "maskmatch run --junit result.xml",
    },
    Consumer {
        name: "avocado's TAP runner",
        install: "$D/venv/bin/pip -q install avocado-framework",
        version: "$D/venv/bin/pip show avocado-framework | sed -n 's/Version: //p'",
        reads: "tap",
        count: "$D/venv/bin/avocado-runner-tap runnable-run -k tap -u /bin/cat -a $F | \
                sed -n \"s/.*'result': '\\([a-z]*\\)'.*/\\1/p\"",
        known: Known::Whole,
        usage: "avocado-runner-tap runnable-run -k tap -u maskmatch -a run -a=--tap",
    },
    Consumer {
        name: "tmt, `result: custom`",
        install: "$D/venv/bin/pip -q install tmt && cd $D && mkdir tmt && cd tmt && PATH=$D/venv/bin:$PATH tmt \
                  init -q && printf 'provision: {how: local}\\nexecute: {how: tmt}\\ndiscover: {how: fmf}\\n' \
                  >plan.fmf",
        version: "$D/venv/bin/pip show tmt | sed -n 's/Version: //p'",
        reads: "json",
        count: "cd $D/tmt && printf '%s' \"$JQ\" >results.jq && printf 'test: jq -f $TMT_TREE/results.jq %s \
                >$TMT_TEST_DATA/results.json\\nresult: custom\\n' $F >test.fmf && PATH=$D/venv/bin:$PATH tmt \
                --feeling-safe run -a --id $D/run --scratch 2>&1 | sed -n 's/^total: //p' | \
                sed 's/ and /, /g' | tr , '\\n' | awk '{ n[substr($2 $3, 1, 4)] += $1; w[$NF] += $1 } END { print \
                w[\"passed\"] + 0, n[\"info\"] + 0, w[\"skipped\"] + 0, w[\"failed\"] + n[\"erro\"] + 0 }'",
        known: Known::Apart,
        usage: "maskmatch run --json $TMT_TEST_DATA/r.json; jq -f results.jq $TMT_TEST_DATA/r.json \
                >$TMT_TEST_DATA/results.json",
    },
];

/// Turns results into those of a tmt test with `result: custom`.
const TMT: &str = r#"{ pass: "pass", known: "info", skip: "skip", fail: "fail", unfinished: "error", crash: "error" } as $words
| [ .results[] as $host
  | { name: "the run", verdict: (if ($host.verdict == "fail") then "pass" else $host.verdict end) }, $host.groups[]
  | { name: ("/" + ($host.name + "/" + .name | gsub(" "; "_"))), result: $words[.verdict] } ]
"#;

/// A run that is read: what it is, and its options of `check`.
const INPUTS: [(&str, &str, &[&str]); 3] =
    [("passes", "whole", &[]), ("fails", "whole", &["--no-known"]), ("crashed", "cut", &[])];

#[test]
#[ignore = "installs other programs; it writes docs/consumers.md"]
fn consumers() {
    let folder = Folder::new();
    let whole = folder.path("whole");
    call(["run", "--l0", "bochs", "--profile", "quick", "--log", &whole]).expect(0);
    let bytes = folder.read("whole");
    folder.write("cut", &bytes[..bytes.len() / 2]);
    let shell = |script: &str, file: &str| {
        let mut command = Command::new("sh");
        finish(command.args(["-c", script]).env("D", folder.path("")).env("F", file).env("JQ", TMT))
    };
    shell("python3 -m venv $D/venv", "").expect(0);
    let mut table = String::new();
    for consumer in &CONSUMERS {
        let installed = shell(consumer.install, "");
        if installed.code != 0 {
            let _ = writeln!(table, "| {} | not installed here | | | | |", consumer.name);
            eprintln!("{}: {installed:#?}", consumer.name);
            continue;
        }
        let mut cells = Vec::new();
        for (what, log, options) in INPUTS {
            let [json, tap, junit] =
                ["json", "tap", "junit"].map(|kind| folder.path(&format!("{what}.{kind}")));
            let log = folder.path(log);
            let arguments = ["check", &log, "--json", &json, "--junit", &junit];
            let _ = call(arguments.iter().chain(options));
            let printed = call(["check", &log, "--tap"].iter().chain(options)).out;
            folder.write(&format!("{what}.tap"), printed);
            let file = match consumer.reads {
                "tap" => tap,
                "junit" => junit,
                _ => json,
            };
            let seen = shell(consumer.count, &file).out.trim().to_string();
            let wanted = wanted(&folder.json(&format!("{what}.json")), consumer.known);
            assert_eq!(seen, wanted, "{} of a run that {what}", consumer.name);
            cells.push(seen.replace(' ', ", "));
        }
        let version = shell(consumer.version, "").out.trim().to_string();
        let _ = writeln!(
            table,
            "| {} {version} | {} | `{}` |",
            consumer.name,
            cells.join(" | "),
            consumer.usage.replace('|', "\\|")
        );
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/consumers.md");
    std::fs::write(path, document(&table)).expect("docs can be written");
}

/// What a consumer must see in results: passed, known, skipped and failed.
fn wanted(json: &Value, known: Known) -> String {
    let host = &json["results"][0];
    let broken = ["crash", "error"].iter().any(|word| host["verdict"] == *word);
    let groups = host["groups"].as_array().expect("groups");
    let of = |words: &[&str]| {
        groups.iter().filter(|group| words.iter().any(|word| group["verdict"] == *word)).count()
    };
    // The run itself is a test point.
    let (passed, failed) =
        (of(&["pass"]) + usize::from(!broken), of(&["fail", "unfinished"]) + usize::from(broken));
    let (todo, skipped) = (of(&["known"]), of(&["skip"]));
    match known {
        Known::Apart => format!("{passed} {todo} {skipped} {failed}"),
        Known::Passed => format!("{} 0 {skipped} {failed}", passed + todo),
        Known::Failed => format!("{passed} 0 {skipped} {}", failed + todo),
        Known::Whole if failed > 0 => "fail".into(),
        Known::Whole => "pass".into(),
    }
}

fn document(table: &str) -> String {
    format!(
        "# What other programs make of the results

`cargo test -p runner --test e2e -- --ignored consumers` installs these programs in a folder of its
own, has them read three results, compares what they count with what the results have, and writes
this file. It needs the Debian packages `python3-venv`, `npm`, `perl`, `jq` and `rsync`. The three
results are a quick run on Bochs, the same without known deviations, and the first half of its log.
Each cell has the test points that passed, are known deviations, were skipped, and failed.

| program | passes | fails | crashed | what to run |
|---|---|---|---|---|
{table}
- kunit.py has no `# TODO`: known deviations are failures to it. It takes an absolute path.
- JUnit has no such kind either: a known deviation is a property of a case that passed.
- avocado gives one result for all of the TAP.
- Exit codes are those of `maskmatch --help`. For a harness that takes each code but 0 as an error, add
  `|| [ $? -eq 1 ]` where failures are counted from the output, or `|| [ $? -eq 3 ]` where a host that
  lacks something is fine.

tmt reads `results.json` of a test with `result: custom`. This is results.jq, which makes it:

```jq
{TMT}```
"
    )
}
