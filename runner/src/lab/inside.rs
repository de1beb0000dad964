//! The lab's work as process 1: the built-in KVM VMM runs the test image under each parameter set.

use std::time::Duration;

use super::init::{self, Run};
use super::known;
use crate::payload;
use crate::vmm::kvm::host::kernel_release;
use crate::vmm::kvm::{Kvm, KvmOptions};
use crate::vmm::{Boot, End, Flow, Vmm};

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
}

impl Wanted {
    /// As the job's arguments.
    #[must_use]
    pub fn to_args(&self) -> Vec<String> {
        let (major, minor) = self.bochs;
        vec![self.cmdline.clone(), self.memory_mib.to_string(), major.to_string(), minor.to_string()]
    }

    /// From the job's arguments.
    ///
    /// # Errors
    /// A sentence, if [`Wanted::to_args`] did not make them.
    pub fn from_args(args: &[String]) -> Result<Self, String> {
        let [cmdline, memory, major, minor] = args else {
            return Err("the job has other arguments than this init knows".into());
        };
        let number = |text: &String| text.parse().map_err(|_| format!("the job's '{text}' is no number"));
        let (memory_mib, bochs) = (number(memory)?, (number(major)?, number(minor)?));
        Ok(Self { cmdline: cmdline.clone(), memory_mib, bochs })
    }
}

/// Does the job and powers off.
pub fn run() -> ! {
    init::run(|run: &Run<'_>, sink: &mut dyn FnMut(&[u8])| one_set(run, sink))
}

fn one_set(run: &Run<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let Wanted { cmdline, memory_mib, bochs } = Wanted::from_args(run.args)?;
    let known = known::deviations(bochs, &kernel_release(), run.effective);
    // Of a key that is there twice the last counts.
    let cmdline = format!("{cmdline} known={known}");
    let options = KvmOptions { guest_maxphyaddr: run.set.guest_maxphyaddr(), ..KvmOptions::default() };
    let vmm = Kvm::open(options).map_err(|unavailable| unavailable.to_string())?;
    let boot = Boot { elf: payload::L1_ELF, cmdline: &cmdline, memory_mib, limit: LIMIT, verbose: false };
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

#[cfg(test)]
mod tests {
    use super::Wanted;

    #[test]
    fn arguments_survive() {
        let wanted = Wanted { cmdline: "profile=quick filter=*".into(), memory_mib: 4, bochs: (2, 7) };
        assert_eq!(Wanted::from_args(&wanted.to_args()), Ok(wanted));
        assert!(Wanted::from_args(&[]).is_err());
        assert!(Wanted::from_args(&["a".into(), "b".into()]).is_err());
    }
}
