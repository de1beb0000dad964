//! Progress while a guest runs, on stderr: a live line on a terminal, else one line per finished group.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use spec::catalogue::group::Group;
use spec::catalogue::plan::Profile;
use spec::manual::paging::Maxphyaddr;

use crate::verdict::findings::{Fate, Findings, News};
use crate::verdict::judge::thousands;

/// The width for which cases are counted ahead of the run; close enough for a bar.
const USUAL_MAXPHYADDR: Maxphyaddr = 40;

/// Shows how far a run is.
pub enum Progress {
    /// Nothing is shown.
    None,
    /// One line per finished group.
    Lines,
    /// A bar that counts cases.
    Bar {
        /// The bar.
        bar: ProgressBar,
        /// How much is tried.
        profile: Profile,
    },
}

impl Progress {
    /// Shows nothing.
    pub const fn none() -> Self {
        Self::None
    }

    /// Shows a run of these groups as stderr permits.
    pub fn of_run(filter: &str, profile: Profile) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines;
        }
        let cases = Group::selected(filter, profile).map(|group| cases(&group, profile)).sum();
        let bar = ProgressBar::new(cases);
        let template = "{spinner} {wide_bar} {percent:>3}% {elapsed} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message("booting");
        // The spinner turns even where the guest is silent: what hangs is the guest, not maskmatch.
        bar.enable_steady_tick(Duration::from_millis(200));
        Self::Bar { bar, profile }
    }

    /// Shows what a line brought.
    pub fn news(&self, news: News, findings: &Findings) {
        match self {
            Self::None => {}
            Self::Lines => {
                if let News::Group(at) = news {
                    // A closed stderr takes nothing from the result.
                    let _ = writeln!(std::io::stderr(), "{}", finished(findings, at));
                }
            }
            Self::Bar { bar, profile } => match news {
                News::Nothing => {}
                News::Begun => bar.set_message("starting"),
                News::Heartbeat => {
                    if let Some(beat) = &findings.heartbeat {
                        bar.set_message(beat.group.clone());
                        let current = known_cases(&beat.group, *profile);
                        let part = current.saturating_mul(beat.done).checked_div(beat.of).unwrap_or(0);
                        bar.set_position(done(findings, *profile) + part);
                    }
                }
                News::Group(at) => {
                    bar.set_position(done(findings, *profile));
                    if findings.groups[at].failed() > 0 {
                        bar.println(finished(findings, at));
                    }
                }
            },
        }
    }

    /// The run is over: the live line goes.
    pub fn finish(&self) {
        if let Self::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

fn cases(group: &Group, profile: Profile) -> u64 {
    group.case_count(profile, USUAL_MAXPHYADDR) as u64
}

fn known_cases(name: &str, profile: Profile) -> u64 {
    Group::from_name(name).map_or(0, |group| cases(&group, profile))
}

fn done(findings: &Findings, profile: Profile) -> u64 {
    let finished = findings.groups.iter().filter(|group| group.fate != Fate::Unfinished);
    finished.map(|group| known_cases(&group.name, profile)).sum()
}

/// One line about a finished group.
fn finished(findings: &Findings, at: usize) -> String {
    let group = &findings.groups[at];
    let done = findings.groups.iter().filter(|group| group.fate != Fate::Unfinished).count();
    let place = format!("[{done}/{}]", findings.planned.unwrap_or_default());
    match &group.fate {
        Fate::Skipped(reason) => format!("{place} {}: skip: {reason}", group.name),
        Fate::Unfinished => format!("{place} {}", group.name),
        Fate::Ran(counts) if counts.failed > 0 => {
            format!("{place} {}: fail: {} of {} cases", group.name, thousands(counts.failed), thousands(counts.cases))
        }
        Fate::Ran(counts) => format!("{place} {}: pass: {} cases", group.name, thousands(counts.cases)),
    }
}
