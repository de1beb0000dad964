//! `check`: the verdict on a serial log that was made anywhere.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use spec::catalogue::options::Options;

use crate::cli::CheckArgs;
use crate::output::remark;
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::findings::Findings;
use crate::verdict::intake::{Intake, Limits};
use crate::verdict::judge::Source;
use crate::verdict::progress::Progress;
use crate::verdict::publish::publish;
use crate::verdict::report;
use crate::verdict::result::{Measured, Origin, RunResult};
use crate::verdict::subject::{Product, Subject};
use crate::vmm::{Flow, Sink};

/// Reads and reports.
///
/// # Errors
/// The file cannot be read, or an option is wrong.
pub fn check(arguments: &CheckArgs) -> Result<Exit, Stop> {
    let path = arguments.log.as_path();
    let mut input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| Stop::file("read", path, &error))?)
    };
    let mut intake = Intake::new(Limits::FILE, None, Progress::none());
    let mut buffer = [0; 1 << 14];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                if intake.bytes(&buffer[..count]) == Flow::Stop {
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(Stop::file("read", path, &error)),
        }
    }
    let read = intake.finish();
    let findings = &read.0;
    let line = findings.image_options();
    let options = Options::parse(&line).unwrap_or_default();
    let given = if arguments.host.is_empty() { None } else { Some(Subject::of(&arguments.host).map_err(Stop::usage)?) };
    let told = given.or_else(|| Subject::from_word(options.on));
    let subject = told.unwrap_or_else(|| recognised(findings));
    let leaf = findings.fact("hypervisor").filter(|name| *name != "none").map(str::to_string);
    let l0 = leaf.or_else(|| subject.tested().map(Product::title)).unwrap_or_default();
    let tables = arguments.known.tables()?;
    let origin = Origin { l0, subject, tables, ..Origin::default() };
    let results = [RunResult::new(read, Source::File, arguments.strict, origin, Measured::default())];
    publish(&report::text(&results), &results, None, arguments.json.as_deref())
}

/// What the header lets one recognise, with a remark on what it does not say.
fn recognised(findings: &Findings) -> Subject {
    let subject = Subject::recognised(|key| findings.fact(key));
    if let Some(Product { family, .. }) = subject.tested() {
        let (title, example) = (family.title(), family.example());
        remark(&format!(
            "the log is from {title}, but does not say which: what any {title} is known to do wrong counts as known; \
             an option such as --host '{example}' is exact"
        ));
    }
    subject
}
