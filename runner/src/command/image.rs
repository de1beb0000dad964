//! `image`: the test image as a file, for any VMM and for bare metal.

use spec::catalogue::options::Options;

use crate::cli::ImageArgs;
use crate::interrupt;
use crate::output::remark;
use crate::payload;
use crate::request::check_exclusions;
use crate::verdict::exit_code::{Exit, Stop};
use crate::vmm::{Unavailable, iso};

/// Writes the image.
///
/// # Errors
/// The image does not take the command line, the file cannot be written, or a tool is missing.
pub fn image(arguments: &ImageArgs) -> Result<Exit, Stop> {
    let options = Options::parse(&arguments.cmdline).map_err(|bad| Stop::usage(bad.to_string()))?;
    check_exclusions(options.exclude)?;
    let path = if let Some(path) = &arguments.form.elf {
        std::fs::write(path, payload::L1_ELF).map_err(|error| Stop::file("write", path, &error))?;
        path
    } else if let Some(path) = &arguments.form.iso {
        // Reports an error of the file itself before it looks for tools.
        std::fs::File::create(path).map_err(|error| Stop::file("write", path, &error))?;
        interrupt::watch()
            .map_err(|error| Stop::from(Unavailable::failed("watch for signals", error)))?;
        iso::write_iso(payload::L1_ELF, &arguments.cmdline, path)?;
        path
    } else {
        return Err(Stop::usage("say what to write: --elf FILE or --iso FILE"));
    };
    remark(&format!("wrote {}; its log comes out of the first serial port (COM1)", path.display()));
    Ok(Exit::Pass)
}
