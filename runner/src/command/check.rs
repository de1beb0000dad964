//! `check`: the verdict on a serial log that was made anywhere.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::cli::CheckArgs;
use crate::verdict::conclusion::{Conclusion, Origin};
use crate::verdict::exit_code::{Exit, Stop};
use crate::verdict::intake::{Intake, Limits};
use crate::verdict::json::Measured;
use crate::verdict::judge::Source;
use crate::verdict::progress::Progress;
use crate::vmm::{Flow, Sink};

/// Reads and reports.
///
/// # Errors
/// The file cannot be read.
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
    let l0 = read.0.fact("hypervisor").filter(|name| *name != "none").unwrap_or_default().to_string();
    let origin = Origin { l0, ..Origin::default() };
    Conclusion::new(read, Source::File, arguments.strict, origin, Measured::default())
        .publish(arguments.json.as_deref())
}
