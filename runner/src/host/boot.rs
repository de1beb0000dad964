//! One boot of the image by a VMM, from the command line of the image to the verdict.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use spec::catalogue::options::Options;
use spec::catalogue::plan::Profile;

use super::kind::Host;
use crate::output::remark;
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
    pub vmm: V,
    /// What is under test.
    pub subject: Subject,
    /// Options that choose the host again, each with a space before it.
    pub options: String,
    /// How much slower than hardware it is.
    pub slowness: u32,
}

impl<V: Vmm> Host for OneBoot<V> {
    fn run(&self, request: &Request) -> Vec<RunResult> {
        vec![self.boot(request).unwrap_or_else(|why| RunResult::unavailable(&why, request.strict))]
    }
}

impl<V: Vmm> OneBoot<V> {
    /// Boots the image and reads its log to the end.
    fn boot(&self, request: &Request) -> Result<RunResult, Unavailable> {
        let profile = request.profile.unwrap_or(Profile::Standard);
        let cmdline = cmdline_on(&request.cmdline(profile), &request.tables.asks(), &self.subject)?;
        let boot = Boot {
            elf: payload::L1_ELF,
            cmdline: &cmdline,
            memory_mib: request.memory_mib,
            processors: Options::parse(&cmdline).map_or(1, |options| processors(&options)),
            limit: request.limit(profile, self.slowness),
            verbose: request.verbose,
        };
        let create = |path| File::create(path).inspect_err(|error| incomplete(path, error)).ok();
        let mut log = request.log.as_deref().and_then(create);
        let log = log.as_mut().map(|log| log as &mut dyn Write);
        let mut intake = Intake::new(SILENCE, log, request.progress(profile, self.subject.clone()));
        let start = Instant::now();
        let outcome = self.vmm.run(&boot, &mut intake);
        let seconds = Some(start.elapsed().as_secs_f64());
        if let (Some(error), Some(path)) = (&intake.log_error, &request.log) {
            incomplete(path, error);
        }
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
        let source = Source::Run(outcome.end);
        let judge = |read| RunResult::new(read, source.clone(), request.strict, origin.clone(), measured);
        Ok(RunResult::of_boots(boots, judge))
    }
}

fn incomplete(log: &Path, error: &io::Error) {
    remark(&format!("the log in {} is incomplete: {error}", log.display()));
}
