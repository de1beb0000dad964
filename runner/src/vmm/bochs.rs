//! Bochs: a whole PC in software, with VMX, on any machine.
//!
//! There is no BIOS, boot loader or disk. The project's own ROM (crate `rom`) enters the image some
//! three hundred instructions after reset, and Bochs itself puts the image into the guest's RAM.
//! [`machine::Machine`] says what to boot, for maskmatch's image and for the lab's Linux alike.

use crate::interrupt;
use crate::payload;
use crate::verdict::subject::{Family, Product};
use crate::vmm::bochs::machine::Machine;
use crate::vmm::bochs::program::Program;
use crate::vmm::process::{self, Ended, Said};
use crate::vmm::{Boot, Outcome, Sink, Unavailable, Vmm};
use std::time::Duration;

mod config;
pub mod display;
mod execute;
pub mod machine;
mod pages;
pub mod program;
pub mod rom;

/// A model with protection keys and shadow stacks.
const TIGERLAKE: &str = "tigerlake";

/// Which model to take if none is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultModel {
    /// One on which Linux' KVM works. It has VMX, EPT and VPID, and from Bochs 3.0 on protection
    /// keys and shadow stacks.
    Plain,
    /// One for a test of Bochs itself. It also has protection keys, shadow stacks and, where Bochs
    /// can enter a guest with it, 5-level paging.
    Richest,
}

impl DefaultModel {
    fn of(self, version: (u32, u32)) -> &'static str {
        match self {
            Self::Plain if version.0 >= 3 => TIGERLAKE,
            Self::Plain => "corei7_skylake_x",
            // Before, a VM entry cannot change CR4.LA57.
            Self::Richest if version >= (3, 1) => "sapphire_rapids",
            Self::Richest => TIGERLAKE,
        }
    }
}

/// Whether this Bochs loads memory only by its debugger, a page at a time.
fn loads_by_page(version: (u32, u32)) -> bool {
    version >= (3, 1)
}

/// A Bochs with one of its CPU models.
#[derive(Clone, Debug)]
pub struct Bochs {
    program: Program,
    version: (u32, u32),
    cpu_model: String,
    rom: Vec<u8>,
}

impl Bochs {
    /// Asks a Bochs for its version and whether it has the CPU model.
    ///
    /// # Errors
    /// It is not there, does not run, lacks the model, or lacks the debugger's `-rc` (which
    /// Debian's has).
    pub fn find(
        program: Program,
        cpu_model: Option<&str>,
        or: DefaultModel,
    ) -> Result<Self, Unavailable> {
        let mend = "apt-get install --no-install-recommends bochs bochs-term, or --bochs sid";
        let unasked = |why| Unavailable::new(why, if interrupt::pending() { "" } else { mend });
        let models = ask(&program, &["--help", "cpu"]).map_err(unasked)?;
        let usage = ask(&program, &["--help"]).map_err(unasked)?;
        let version =
            parse_version(&models).or_else(|| parse_version(&usage)).ok_or_else(|| {
                let said = usage
                    .lines()
                    .map(str::trim)
                    .rfind(|line| !line.is_empty())
                    .unwrap_or("nothing");
                Unavailable::new(
                    format!("bochs does not say which version it is, but '{said}'"),
                    mend,
                )
            })?;
        if !usage.lines().any(|line| line.trim_start().starts_with("-rc ")) {
            return Err(Unavailable::new(
                "this Bochs was built without its debugger, which maskmatch needs to start it",
                mend,
            ));
        }
        let cpu_model = cpu_model.unwrap_or(or.of(version));
        if !models.lines().any(|line| line.trim() == cpu_model) {
            let why = format!("Bochs {}.{} has no CPU model {cpu_model}", version.0, version.1);
            return Err(Unavailable::usage(
                why,
                "give --cpu one of those that `bochs --help cpu` lists",
            ));
        }
        Ok(Self {
            program,
            version,
            cpu_model: cpu_model.into(),
            rom: rom::rom_image(payload::ROM_ELF)?,
        })
    }

    /// Major and minor version.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The product, on which known deviations depend.
    pub fn product(&self) -> Product {
        let parameters = [("cpu".into(), self.cpu_model.clone())].into();
        Product { family: Family::Bochs, version: Some(self.version), parameters }
    }

    /// Whether Linux accepts the CPU's XSAVES, as tried with 5.10 to 7.2.
    pub fn has_sound_xsaves(&self) -> bool {
        self.version.0 >= 3 && self.cpu_model == TIGERLAKE
    }

    /// Why Linux dies on this Bochs, if it is known to.
    pub fn kills_linux(&self) -> Option<&'static str> {
        // 1,000,000,000 / 1,000 is 2 in Debian's 3.1+dfsg-1: Bochs issue 668.
        (self.version == (3, 1)).then_some("its IDIV of 64 bits is wrong")
    }

    /// Runs a machine until it is off, dead, late, or the sink has enough.
    ///
    /// # Errors
    /// Bochs could not be started, or the machine contradicts itself.
    pub fn execute(
        &self,
        machine: &Machine,
        limit: Duration,
        verbose: bool,
        sink: &mut dyn Sink,
    ) -> Result<Outcome, Unavailable> {
        execute::execute(self, machine, limit, verbose, sink)
    }
}

impl Vmm for Bochs {
    fn describe(&self) -> String {
        format!("Bochs {}.{}, CPU model {}", self.version.0, self.version.1, self.cpu_model)
    }

    fn run(&self, boot: &Boot, sink: &mut dyn Sink) -> Result<Outcome, Unavailable> {
        let machine = Machine::of_image(boot)?;
        self.execute(&machine, boot.limit, boot.verbose, sink)
    }
}

/// What Bochs says when it is started with these arguments, which make it exit at once.
fn ask(program: &Program, arguments: &[&str]) -> Result<String, String> {
    match process::ask(&mut program.command(arguments), Duration::from_secs(20)) {
        Ok(Said { ended: Ended::Exited(_), out, err }) => Ok(out + &err.text()),
        Ok(Said { ended: Ended::Stopped, .. }) => Err("interrupted before Bochs ran".into()),
        Ok(_) => Err("bochs does not answer".into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(program.missing()),
        Err(error) => Err(format!("cannot start bochs: {error}")),
    }
}

/// The version in Bochs' banner, "Bochs x86 Emulator 2.7" or "3.0.devel".
fn parse_version(banner: &str) -> Option<(u32, u32)> {
    let (_, rest) = banner.split_once("Bochs x86 Emulator ")?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse_version;

    #[test]
    fn versions_are_read_from_the_banner() {
        assert_eq!(
            parse_version("=====\n      Bochs x86 Emulator 2.7\n  Built from"),
            Some((2, 7))
        );
        assert_eq!(parse_version("Bochs x86 Emulator 3.0.devel\n"), Some((3, 0)));
        assert_eq!(parse_version("Bochs x86 Emulator 2.6.11\n"), Some((2, 6)));
        assert_eq!(parse_version("Bochs x86 Emulator devel"), None);
        assert_eq!(parse_version("bash: bochs: command not found"), None);
    }
}
