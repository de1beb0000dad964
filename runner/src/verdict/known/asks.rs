//! What known deviations ask of the image. Only the lab's init knows the parameters in force, so it
//! gets this in place of the tables.

use serde::{Deserialize, Serialize};

use super::hosts::{Fit, Hosts};
use super::row::{Party, Row};
use crate::verdict::subject::Subject;

/// What a row asks of the image on some hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asks {
    of: Party,
    hosts: Vec<String>,
    options: Vec<String>,
}

impl Asks {
    /// What a row asks for, if anything.
    pub fn of(row: &Row) -> Option<Self> {
        let options: Vec<String> = row.options().collect();
        let hosts = row.hosts.iter().map(ToString::to_string).collect();
        (!options.is_empty()).then_some(Self { of: row.of, hosts, options })
    }

    /// Options for the image on a subject, each once.
    pub fn options(asks: &[Self], subject: &Subject) -> Vec<String> {
        let fits = |asks: &&Self| {
            let hosts: Vec<Hosts> =
                asks.hosts.iter().filter_map(|text| text.parse().ok()).collect();
            asks.of.fit(&hosts, subject) > Fit::No
        };
        let mut options: Vec<String> = Vec::new();
        for option in asks.iter().filter(fits).flat_map(|asks| &asks.options) {
            if !options.contains(option) {
                options.push(option.clone());
            }
        }
        options
    }
}
