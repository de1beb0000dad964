//! The lab's work as process 1: the built-in KVM VMM runs the test image under each parameter set.

use std::time::Duration;

use super::init::{self, Run};
use crate::payload;
use crate::vmm::kvm::{Kvm, KvmOptions};
use crate::vmm::{Boot, End, Flow, Vmm};

/// The guest's clock runs slower than the user's, whose time limit is what counts.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// What the outside wants of each set's run; passed through the job's arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The image's command line.
    pub cmdline: String,
    /// The guest's RAM.
    pub memory_mib: u32,
}

impl Wanted {
    /// As the job's arguments.
    #[must_use]
    pub fn to_args(&self) -> Vec<String> {
        vec![self.cmdline.clone(), self.memory_mib.to_string()]
    }

    /// From the job's arguments.
    ///
    /// # Errors
    /// A sentence, if [`Wanted::to_args`] did not make them.
    pub fn from_args(args: &[String]) -> Result<Self, String> {
        let [cmdline, memory] = args else { return Err("the job has other arguments than this init knows".into()) };
        let memory_mib = memory.parse().map_err(|_| format!("the job's memory '{memory}' is no number"))?;
        Ok(Self { cmdline: cmdline.clone(), memory_mib })
    }
}

/// Does the job and powers off.
pub fn run() -> ! {
    init::run(|run: &Run<'_>, sink: &mut dyn FnMut(&[u8])| one_set(run, sink))
}

fn one_set(run: &Run<'_>, sink: &mut dyn FnMut(&[u8])) -> Result<(), String> {
    let Wanted { cmdline, memory_mib } = Wanted::from_args(run.args)?;
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
        let wanted = Wanted { cmdline: "profile=quick filter=*".into(), memory_mib: 4 };
        assert_eq!(Wanted::from_args(&wanted.to_args()), Ok(wanted));
        assert!(Wanted::from_args(&[]).is_err());
        assert!(Wanted::from_args(&["a".into(), "b".into()]).is_err());
    }
}
