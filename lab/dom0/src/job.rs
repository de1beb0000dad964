//! What the runner asks for. It comes as the module that Xen passes to its first domain: lines of
//! KEY=VALUE and a zero, then the image's bytes.

use core::str;

use dom0::plan::Plan;

/// One boot's work.
pub struct Job<'a> {
    /// What runs, and in how many domains.
    pub plan: Plan<'a>,
    /// The guest's memory.
    pub memory_mib: u32,
    /// The image's bytes.
    pub image: &'a [u8],
    /// Where in the guest's memory they belong.
    pub address: u64,
    /// Where PVH enters the image.
    pub entry: u32,
}

impl<'a> Job<'a> {
    /// Reads a module.
    pub fn read(module: &'a [u8]) -> Option<Self> {
        let end = module.iter().position(|byte| *byte == 0)?;
        let (text, image) = (str::from_utf8(&module[..end]).ok()?, &module[end + 1..]);
        let mut lines = text.lines();
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix('=');
        let plan = Plan { line: value("image")?, isolate: value("isolate")?.parse().ok()? };
        let memory_mib = value("memory_mib")?.parse().ok()?;
        let (address, entry) = (value("address")?.parse().ok()?, value("entry")?.parse().ok()?);
        Some(Self { plan, memory_mib, image, address, entry })
    }
}
