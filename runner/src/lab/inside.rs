//! The lab's work as process 1: the built-in KVM VMM, or QEMU, runs the test image under each parameter set.

use std::path::PathBuf;
use std::time::Duration;

use spec::catalogue::options::Options;

use super::init::{self, Run};
use super::known;
use crate::command::run::processors;
use crate::payload;
use crate::vmm::kvm::host::kernel_release;
use crate::vmm::kvm::{Kvm, KvmOptions};
use crate::vmm::qemu::Qemu;
use crate::vmm::{Boot, End, Flow, Unavailable, Vmm};

/// The guest's clock runs slower than the user's, whose time limit is what counts.
const LIMIT: Duration = Duration::from_hours(24);

/// What the outside wants of each set's run; passed through the job's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The image's command line.
    pub cmdline: String,
    /// The guest's RAM.
    pub memory_mib: u32,
    /// Major and minor version of the Bochs outside.
    pub bochs: (u32, u32),
    /// The path of the QEMU that is to run the image; without one, the built-in VMM does.
    pub qemu: Option<String>,
}

impl Wanted {
    /// As the job's arguments.
    #[must_use]
    pub fn to_args(&self) -> Vec<String> {
        let (major, minor) = self.bochs;
        let numbers = [self.memory_mib, major, minor].map(|number| number.to_string());
        let texts = [self.cmdline.clone()].into_iter().chain(numbers);
        texts.chain([self.qemu.clone().unwrap_or_default()]).collect()
    }

    /// From the job's arguments.
    ///
    /// # Errors
    /// A sentence, if [`Wanted::to_args`] did not make them.
    pub fn from_args(args: &[String]) -> Result<Self, String> {
        let [cmdline, memory, major, minor, qemu] = args else {
            return Err("the job has other arguments than this init knows".into());
        };
        let number = |text: &String| text.parse().map_err(|_| format!("the job's '{text}' is no number"));
        let (memory_mib, bochs) = (number(memory)?, (number(major)?, number(minor)?));
        let qemu = (!qemu.is_empty()).then(|| qemu.clone());
        Ok(Self { cmdline: cmdline.clone(), memory_mib, bochs, qemu })
    }
}

/// Does the job and powers off.
pub fn run() -> ! {
    init::run(|run: &Run<'_>, sink: &mut dyn FnMut(&[u8])| one_set(run, sink))
}

fn one_set(run: &Run<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let Wanted { cmdline, memory_mib, bochs, qemu } = Wanted::from_args(run.args)?;
    let known = known::deviations(bochs, &kernel_release(), run.effective);
    // Of a key that is there twice the last counts.
    let cmdline = format!("{cmdline} known={known}");
    let processors = Options::parse(&cmdline).map_or(1, |options| processors(&options));
    let vmm = vmm(qemu, run.set.guest_maxphyaddr()).map_err(|unavailable| unavailable.to_string())?;
    let boot = Boot { elf: payload::L1_ELF, cmdline: &cmdline, memory_mib, processors, limit: LIMIT, verbose: false };
    let mut pass_on = |bytes: &[u8]| {
        sink(bytes);
        Flow::Continue
    };
    match vmm.run(&boot, &mut pass_on).map_err(|unavailable| unavailable.to_string())?.end {
        End::PoweredOff | End::Stopped => Ok(()),
        End::Crashed(how) => Err(how),
        End::TimedOut(limit) => Err(format!("the time limit of {} s was reached", limit.as_secs())),
    }
}

/// What runs the image: the QEMU at this path, or the built-in VMM.
fn vmm(qemu: Option<String>, guest_maxphyaddr: Option<u8>) -> Result<Box<dyn Vmm>, Unavailable> {
    match qemu {
        Some(program) => Ok(Box::new(Qemu::at(PathBuf::from(program), guest_maxphyaddr)?)),
        None => Ok(Box::new(Kvm::open(KvmOptions { guest_maxphyaddr, ..KvmOptions::default() })?)),
    }
}

#[cfg(test)]
mod tests {
    use super::Wanted;

    #[test]
    fn arguments_survive() {
        for qemu in [None, Some("/usr/bin/qemu-system-x86_64".to_string())] {
            let wanted = Wanted { cmdline: "profile=quick filter=*".into(), memory_mib: 4, bochs: (2, 7), qemu };
            assert_eq!(Wanted::from_args(&wanted.to_args()), Ok(wanted));
        }
        assert!(Wanted::from_args(&[]).is_err());
        assert!(Wanted::from_args(&["a".into(), "b".into()]).is_err());
    }
}
