//! One boot of the image by a VMM, from the command line of the image to the verdict.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use spec::catalogue::options::Options;
use spec::catalogue::plan::Profile;

use super::cost::Price;
use super::kind::{Host, Set};
use crate::files::is_standard_output;
use crate::payload;
use crate::request::{Request, cmdline_on, processors};
use crate::verdict::intake::{Intake, SILENCE};
use crate::verdict::judge::Source;
use crate::verdict::result::{Measured, Origin, RunResult};
use crate::verdict::subject::Subject;
use crate::vmm::{Boot, Unavailable, Vmm};

/// A host that boots the image once.
pub struct OneBoot<V> {
    /// What boots it.
    vmm: V,
    /// What is under test.
    subject: Subject,
    /// Options that choose the host again, each with a space before it.
    options: String,
    /// How much slower than hardware it is.
    slowness: u32,
    /// What a case costs.
    price: Price,
}

impl<V: Vmm + Sync> Host for OneBoot<V> {
    fn sets(&self) -> Vec<Set> {
        vec![Set { name: self.vmm.describe(), boot: 0, price: self.price }]
    }

    fn run(&self, request: &Request, _: &[usize]) -> Vec<RunResult> {
        vec![self.boot(request).unwrap_or_else(|why| RunResult::unavailable(&why, request.strict))]
    }
}

impl<V: Vmm> OneBoot<V> {
    /// Takes what is to boot the image, and how it is chosen again.
    ///
    /// # Errors
    /// The image's command line would be too long.
    pub fn new(
        vmm: V,
        subject: Subject,
        options: String,
        slowness: u32,
        price: Price,
        request: &Request,
    ) -> Result<Self, Unavailable> {
        let host = Self { vmm, subject, options, slowness, price };
        host.cmdline(request).map(|_| host)
    }

    /// The image's command line.
    fn cmdline(&self, request: &Request) -> Result<String, Unavailable> {
        cmdline_on(&request.cmdline(profile(request)), &request.tables.asks(), &self.subject)
    }

    /// Boots the image and reads its log to the end.
    fn boot(&self, request: &Request) -> Result<RunResult, Unavailable> {
        let (profile, cmdline) = (profile(request), &self.cmdline(request)?);
        let boot = Boot {
            elf: payload::L1_ELF,
            cmdline,
            memory_mib: request.memory_mib,
            processors: Options::parse(cmdline).map_or(1, |options| processors(&options)),
            limit: request.limit(profile, self.slowness),
            verbose: request.verbose,
        };
        let (mut log, mut log_error) = (None, None);
        // What is kept of it is written at the end.
        let path = request.outputs.log.as_deref().filter(|_| request.keep.is_none());
        match path.map(create).transpose() {
            Ok(file) => log = file,
            Err(error) => log_error = Some(error),
        }
        let mut raw = Vec::new();
        let log: Option<&mut dyn Write> = match &mut log {
            Some(log) => Some(&mut **log as &mut dyn Write),
            None => request.keep.is_some().then_some(&mut raw as &mut dyn Write),
        };
        let mut intake =
            Intake::new(SILENCE, log, request.progress(profile, self.subject.clone(), ""));
        let start = Instant::now();
        let outcome = self.vmm.run(&boot, &mut intake);
        let seconds = Some(start.elapsed().as_secs_f64());
        log_error = log_error.or(intake.log_error.take());
        let boots = intake.finish();
        let outcome = outcome?;
        let origin = Origin {
            l0: self.vmm.describe(),
            subject: self.subject.clone(),
            options: format!("{}{}", self.options, request.memory_option()),
            tables: Arc::clone(&request.tables),
            asked: Some(request.cmdline(profile)),
            column: None,
        };
        let measured = Measured { instructions: outcome.instructions, seconds };
        let path = request.outputs.log.as_deref().unwrap_or(Path::new("--log"));
        let log_error =
            log_error.map(|error| format!("the log in {} is incomplete: {error}", path.display()));
        let source = Source::Run(outcome.end);
        let judge =
            |read| RunResult::new(read, source.clone(), request.strict, origin.clone(), measured);
        let raw = request.keep.is_some().then_some(raw);
        Ok(RunResult { raw, log_error, ..RunResult::of_boots(boots, judge) })
    }
}

fn profile(request: &Request) -> Profile {
    request.profile.unwrap_or(Profile::Standard)
}

/// Opens the file of the raw log, or standard output. A pipe without a reader is an error, and does not wait for one.
fn create(path: &Path) -> io::Result<Box<dyn Write>> {
    if is_standard_output(path) {
        return Ok(Box::new(io::stdout()));
    }
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(nonblocking)
        .open(path)?;
    // A reader that is slow is waited for.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(Box::new(file))
}
