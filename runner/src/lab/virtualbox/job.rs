//! What the runner outside asks of the lab's init.

use serde::{Deserialize, Serialize};

use super::options::Options;
use crate::verdict::known::Asks;
use crate::verdict::subject::Product;

/// One boot's work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// VirtualBox's version.
    pub version: String,
    /// The machines, in order.
    pub machines: Vec<Options>,
    /// The image's command line, without what known deviations ask for.
    pub cmdline: String,
    /// What known deviations of any host ask for.
    pub asks: Vec<Asks>,
    /// The machine's RAM.
    pub memory_mib: u32,
    /// The processor that the lab runs on.
    pub processor: Product,
}
