//! Progress while a guest runs, on stderr: a live line on a terminal, otherwise one line for each
//! finished group.

use std::cell::Cell;
use std::io::{IsTerminal, Write};
use std::sync::LazyLock;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use spec::catalogue::group::Group;
use spec::catalogue::options::Options;
use spec::catalogue::plan::Profile;
use spec::manual::paging::Maxphyaddr;

use crate::escape::for_terminal;
use crate::verdict::account::{Account, Knowledge};
use crate::verdict::findings::{Fate, Findings, News};
use crate::verdict::judge::thousands;
use crate::verdict::names;

/// The address width for which cases are counted before the run. It is close enough for a bar.
const USUAL_MAXPHYADDR: Maxphyaddr = 40;

/// The lines of all runs.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Shows how far a run is.
pub enum Progress {
    /// Nothing is shown.
    None,
    /// One line for each finished group.
    Lines {
        /// What is known of what differs.
        knowledge: Knowledge,
        /// Which run it is of several, with a space after it.
        name: String,
    },
    /// A bar that counts cases.
    Bar {
        /// The bar.
        bar: ProgressBar,
        /// How much is tried.
        profile: Profile,
        /// What is known of what differs.
        knowledge: Knowledge,
        /// Cases of the groups that are over.
        done: Cell<u64>,
    },
}

impl Progress {
    /// Shows nothing.
    pub const fn none() -> Self {
        Self::None
    }

    /// Shows a run of these groups as stderr permits.
    pub fn of_run(options: Options<'_>, knowledge: Knowledge, name: &str) -> Self {
        let name = if name.is_empty() { String::new() } else { format!("{name} ") };
        let profile = options.profile;
        if !takes_escapes() {
            return Self::Lines { knowledge, name };
        }
        let cases = Group::selected(options).map(|group| cases(group, profile)).sum();
        // Several runs at the same time have a line each.
        let bar = BARS.add(ProgressBar::new(cases).with_prefix(name));
        let template = "{spinner} {prefix}{wide_bar} {percent:>3}% {elapsed} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message("booting");
        // The spinner turns even if the guest is silent, which shows that maskmatch itself does not
        // hang.
        bar.enable_steady_tick(Duration::from_millis(200));
        Self::Bar { bar, profile, knowledge, done: Cell::new(0) }
    }

    /// Shows what a line brought.
    pub fn news(&self, news: News, findings: &Findings) {
        match self {
            Self::None => {}
            Self::Lines { knowledge, name } => {
                if let News::Group(at) = news {
                    // A closed stderr does not change the result.
                    let account = knowledge.account(&findings.groups[at]);
                    let _ = writeln!(
                        std::io::stderr(),
                        "{}",
                        for_terminal(&format!("{name}{}", finished(findings, at, &account)))
                    );
                }
            }
            Self::Bar { bar, profile, knowledge, done } => match news {
                News::Nothing => {}
                News::Begun => bar.set_message("starting"),
                News::Heartbeat => {
                    if let Some(beat) = &findings.heartbeat {
                        bar.set_message(for_terminal(&beat.group).into_owned());
                        let current = known_cases(&beat.group, *profile);
                        let part =
                            current.saturating_mul(beat.done).checked_div(beat.of).unwrap_or(0);
                        bar.set_position(done.get() + part);
                    }
                }
                News::Group(at) => {
                    done.set(done.get() + known_cases(&findings.groups[at].name, *profile));
                    bar.set_position(done.get());
                    let account = knowledge.account(&findings.groups[at]);
                    if account.failed > 0 {
                        let finished = finished(findings, at, &account);
                        bar.println(for_terminal(&format!("{}{finished}", bar.prefix())));
                    }
                }
            },
        }
    }

    /// Removes the live line: the run is over.
    pub fn finish(&self) {
        if let Self::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

/// Whether stderr is a terminal on which a line can be drawn anew.
fn takes_escapes() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    std::io::stderr().is_terminal()
        && set("NO_COLOR").is_none()
        && set("TERM").is_none_or(|term| term != "dumb")
}

fn cases(group: Group, profile: Profile) -> u64 {
    group.case_count(profile, USUAL_MAXPHYADDR) as u64
}

fn known_cases(name: &str, profile: Profile) -> u64 {
    names::group(name).map_or(0, |group| cases(group, profile))
}

/// One line about a finished group.
fn finished(findings: &Findings, at: usize, account: &Account) -> String {
    let group = &findings.groups[at];
    let done = findings.groups.iter().filter(|group| group.fate != Fate::Unfinished).count();
    let place = format!("[{done}/{}]", findings.planned.unwrap_or_default());
    match &group.fate {
        Fate::Skipped(reason) => format!("{place} {}: skip: {reason}", group.name),
        Fate::Unfinished => format!("{place} {}", group.name),
        Fate::Ran(counts) => {
            let cases = thousands(counts.cases);
            match *account {
                Account { failed, .. } if failed > 0 => {
                    format!("{place} {}: fail: {} of {cases} cases", group.name, thousands(failed))
                }
                Account { known, below, .. } if known + below > 0 => {
                    format!(
                        "{place} {}: known: {} of {cases} cases",
                        group.name,
                        thousands(known + below)
                    )
                }
                _ => format!("{place} {}: pass: {cases} cases", group.name),
            }
        }
    }
}
