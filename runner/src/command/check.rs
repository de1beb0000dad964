//! `check`: the verdict on a serial log that was made anywhere.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use spec::catalogue::options::Options;

use crate::cli::CheckArgs;
use crate::output::remark;
use crate::verdict::capture::{self, Capture, Limits, unpack};
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::findings::Findings;
use crate::verdict::judge::Source;
use crate::verdict::report;
use crate::verdict::result::{Measured, Origin, RunResult};
use crate::verdict::subject::{Product, Subject};

/// Reads and reports.
///
/// # Errors
/// The file cannot be read, or an option is wrong.
pub fn check(arguments: &CheckArgs) -> Result<Exit, Stop> {
    let outputs = arguments.results.clone().outputs(None);
    outputs.check()?;
    let boots = read(&arguments.log)?;
    let given = if arguments.host.is_empty() {
        None
    } else {
        Some(Subject::of(&arguments.host).map_err(Stop::usage)?)
    };
    let tables = arguments.known.tables()?;
    let mut some = None;
    let result = RunResult::of_boots(boots, |read| {
        let findings = &read.0;
        let line = findings.image_options();
        let options = Options::parse_loaded(&line).unwrap_or_default();
        let told = given.clone().or_else(|| Subject::from_word(options.on));
        let subject = told.unwrap_or_else(|| {
            let subject = Subject::recognised(|key| findings.fact(key));
            some = some.or(subject.tested().map(|product| product.family));
            subject
        });
        let leaf = findings.fact("hypervisor").filter(|name| *name != "none").map(str::to_string);
        let l0 = leaf.or_else(|| subject.tested().map(Product::title)).unwrap_or_default();
        let origin = Origin { l0, subject, tables: tables.clone(), ..Origin::default() };
        RunResult::new(read, Source::File, arguments.known.strict, origin, Measured::default())
    });
    if let Some(family) = some {
        let (title, example) = (family.title(), family.example());
        remark(&format!(
            "the log is from {title}, but does not say which: what any {title} is known to do wrong counts as known; \
             an option such as --host '{example}' is exact"
        ));
    }
    let results = [result];
    outputs.publish(&report::text(&results), &results)
}

/// Reads the logs of a capture. What was read before a packed one is damaged is kept.
fn read(path: &Path) -> Result<Vec<capture::Read>, Stop> {
    let failed = |error| Stop::file("read", path, &error);
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let mut input = unpack::unpacked(input).map_err(failed)?;
    let mut capture = Capture::new(Limits::FILE);
    let mut buffer = [0; 1 << 14];
    while !capture.is_stopped() {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                capture.bytes(&buffer[..count], &mut |_, _: &Findings| {});
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => capture.stop(unpack::damage(&error).ok_or_else(|| failed(error))?),
        }
    }
    Ok(capture.finish())
}
