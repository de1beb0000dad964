//! Collects what the lab's init reports, set by set while Bochs runs.
//!
//! A frame that is damaged or missing spoils the set that it belongs to: the set's log is then not
//! sound and is never a pass. A kernel in trouble (an oops, a warning) while a set runs is that
//! host's failure.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::frame::{Decoder, Event};
use super::kmsg;
use super::message::{DRIVER_LOADED, KVM_LOADED, Message};
use crate::output::remark;
use crate::verdict::capture::Read;
use crate::verdict::intake::{self, Intake};
use crate::verdict::progress::Progress;
use crate::vmm::{End, Flow, Sink};

/// A lab that says nothing for this long hangs: the slowest group has a heartbeat every few
/// seconds.
pub const SILENCE: Duration = Duration::from_mins(3);
/// Complaints beyond these are counted.
const COMPLAINTS: usize = 4;
/// Lines of a kernel in trouble beyond these are counted.
const SHOWN: usize = 20;
/// A stream with more damage than this is not of the lab's init.
const MAX_DAMAGE: u64 = 1000;

/// What is kept of the kernel's console: an oops and the panic after it have some KiB.
const MAX_CONSOLE: usize = 1 << 20;

/// How a set ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetEnd {
    /// The guest's run came to its end, or why it could not.
    Ran(Option<String>),
    /// The kernel lacks what the set needs.
    Skipped(String),
    /// The lab itself went away in the middle of the set.
    Lost,
}

impl SetEnd {
    /// How the guest ended; `lost` is how if the lab went away. A skip is an error, with its reason.
    pub fn of_guest(self, lost: impl FnOnce() -> End) -> Result<End, String> {
        match self {
            Self::Ran(None) => Ok(End::PoweredOff),
            Self::Ran(Some(failure)) => Ok(End::Crashed(failure)),
            Self::Lost => Ok(lost()),
            Self::Skipped(reason) => Err(reason),
        }
    }
}

/// A line of L0's kernel that shows it in trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The line.
    pub line: String,
    /// Where the guest was.
    pub place: String,
    /// How often it came there.
    pub times: u64,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} times, first {})", self.line, self.times, self.place)
    }
}

/// Whose words a complaint has.
#[derive(Clone, Copy, Debug)]
enum Whose {
    /// The lab's: the stream is damaged, or init gave up.
    Lab,
    /// L0's own, between sets.
    L0,
}

/// What is wrong with the stream: the first few things, and how many there are.
#[derive(Debug, Default)]
pub struct Complaints {
    first: Vec<(Whose, String)>,
    all: u64,
}

impl Complaints {
    fn add(&mut self, whose: Whose, why: String) {
        self.all += 1;
        if self.first.len() < COMPLAINTS {
            self.first.push((whose, why));
        }
    }

    /// The complaints; in front of L0's own stands `l0`.
    pub fn text(&self, l0: &str) -> String {
        let texts = self.first.iter().map(|(whose, why)| match whose {
            Whose::Lab => why.clone(),
            Whose::L0 => format!("{l0}{why}"),
        });
        let mut text = texts.collect::<Vec<_>>().join("; ");
        let more = self.all - self.first.len() as u64;
        if more > 0 {
            let _ = write!(text, "; and {more} more of such complaints");
        }
        text
    }
}

/// One set that was begun.
pub struct Collected {
    /// The set as it prints.
    pub set: String,
    /// The parameters in force.
    pub effective: BTreeMap<String, String>,
    /// What the log of each boot of the guest says.
    pub boots: Vec<Read>,
    /// The raw serial log.
    pub raw: Vec<u8>,
    /// How it ended.
    pub end: SetEnd,
    /// What L0's kernel said that shows it in trouble.
    pub trouble: Vec<Trouble>,
    /// Instructions from the set's begin to its end.
    pub instructions: u64,
    /// Wall time from the set's begin to its end.
    pub seconds: f64,
}

impl Collected {
    /// A set of which only the name came.
    pub fn lost(set: String) -> Self {
        Self {
            set,
            effective: BTreeMap::new(),
            boots: vec![<_>::default()],
            raw: Vec::new(),
            end: SetEnd::Lost,
            trouble: Vec::new(),
            instructions: 0,
            seconds: 0.0,
        }
    }
}

/// The set that is running.
struct Current {
    collected: Collected,
    intake: Intake<'static>,
    began: u64,
    started: Instant,
}

/// Makes what shows how far a set is, from its name and the parameters in force.
type ProgressOf = dyn Fn(&str, &BTreeMap<String, String>) -> Progress;

/// Takes what Bochs prints.
pub struct Collector {
    /// The sets that are over, in order.
    pub sets: Vec<Collected>,
    /// Why init gave up, what was damaged, and a kernel's last words between sets.
    pub complaints: Complaints,
    /// Init has spoken.
    is_up: bool,
    decoder: Decoder,
    current: Option<Current>,
    console: Vec<u8>,
    progress: Box<ProgressOf>,
    last_frame: Instant,
    now: u64,
    silence: Duration,
    verbose: bool,
    stopped: Option<String>,
}

impl Collector {
    /// Collects from a boot's start; `progress` is made anew for each set. If `verbose`, the
    /// kernel's lines are shown.
    pub fn new(silence: Duration, progress: Box<ProgressOf>, verbose: bool) -> Self {
        Self {
            sets: Vec::new(),
            complaints: Complaints::default(),
            is_up: false,
            decoder: Decoder::new(),
            current: None,
            console: Vec::new(),
            progress,
            last_frame: Instant::now(),
            now: 0,
            silence,
            verbose,
            stopped: None,
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Frame(frame) => {
                self.last_frame = Instant::now();
                self.now = frame.ticks;
                match Message::decode(&frame) {
                    Ok(message) => self.message(message),
                    Err(why) => self.damaged(why),
                }
            }
            // Bochs' own words at its start and end, and the kernel's console.
            Event::Noise(_) => {}
            Event::Damaged(why) => self.damaged(why),
            Event::Missing { from, until } => {
                self.damaged(format!("frames {from} to {} were lost", until.saturating_sub(1)));
            }
        }
    }

    fn damaged(&mut self, why: String) {
        self.complaints.add(Whose::Lab, why);
        if self.complaints.all > MAX_DAMAGE {
            self.stopped = Some("what came was not from the lab".into());
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Stage(stage) => {
                if !std::mem::replace(&mut self.is_up, true) {
                    remark(&format!(
                        "the lab is up after {} million instructions",
                        self.now / 1_000_000
                    ));
                }
                if [KVM_LOADED, DRIVER_LOADED].contains(&stage.as_str()) {
                    remark(&stage);
                }
            }
            Message::Begin { set, effective } => {
                if !set.is_empty() {
                    remark(&format!("running with {set}"));
                }
                let intake = Intake::new(intake::SILENCE, None, (self.progress)(&set, &effective));
                let collected = Collected { effective, ..Collected::lost(set) };
                self.current =
                    Some(Current { collected, intake, began: self.now, started: Instant::now() });
            }
            Message::Serial(bytes) => {
                if let Some(current) = &mut self.current {
                    // The guest ends by itself. What it writes after its log is not its log.
                    if !current.intake.is_over() {
                        let _ = current.intake.bytes(&bytes);
                        current.collected.raw.extend(bytes);
                    }
                }
            }
            Message::Kmsg(line) => self.kernel_line(&line),
            Message::End { set, failure } => self.end(set, SetEnd::Ran(failure)),
            Message::Skip { set, why } => {
                remark(&format!("{set}: skip: {why}"));
                self.end(set, SetEnd::Skipped(why));
            }
            Message::Done => {}
            Message::Error(why) => {
                self.complaints.add(Whose::Lab, format!("the lab's init: {why}"));
            }
        }
    }

    /// What L0's kernel logged. Trouble is reported once for each group in which it came, with the
    /// last heartbeat.
    fn kernel_line(&mut self, line: &str) {
        if self.verbose {
            remark(&format!("L0's kernel: {line}"));
        }
        if !kmsg::is_grave(line) {
            return;
        }
        let Some(current) = &mut self.current else {
            self.complaints.add(Whose::L0, line.into());
            return;
        };
        let place =
            current.intake.findings().last_seen().unwrap_or_else(|| "before the log".into());
        let line = line.trim();
        let trouble = &mut current.collected.trouble;
        let known = trouble.iter().position(|known| known.line == line && known.place == place);
        match known {
            Some(at) => trouble[at].times += 1,
            None if trouble.len() > SHOWN => trouble[SHOWN].times += 1,
            None if trouble.len() == SHOWN => {
                trouble.push(Trouble { line: "other lines".into(), place, times: 1 });
            }
            None => trouble.push(Trouble { line: line.into(), place, times: 1 }),
        }
    }

    fn end(&mut self, set: String, end: SetEnd) {
        let current = self.current.take().filter(|current| current.collected.set == set);
        self.sets.push(match current {
            Some(Current { collected, intake, began, started }) => Collected {
                boots: intake.finish(),
                end,
                instructions: self.now.saturating_sub(began),
                seconds: started.elapsed().as_secs_f64(),
                ..collected
            },
            None => Collected { end, ..Collected::lost(set) },
        });
    }

    /// Ends the boot: a set that is still running is lost.
    pub fn finish(&mut self) {
        let rest = self.decoder.finish();
        for event in rest {
            self.event(event);
        }
        self.last_words();
        if let Some(set) = self.current.as_ref().map(|current| current.collected.set.clone()) {
            self.end(set, SetEnd::Lost);
        }
    }

    /// What a dying kernel could say only by its console.
    fn last_words(&mut self) {
        let console = std::mem::take(&mut self.console);
        for line in String::from_utf8_lossy(&console).lines().map(without_time) {
            let trouble = self.current.iter().flat_map(|current| &current.collected.trouble);
            if kmsg::is_grave(line)
                && !trouble.map(|trouble| &trouble.line).any(|known| known == line)
            {
                self.kernel_line(line);
            }
        }
    }

    /// Why the boot was stopped from outside, if it was.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }
}

/// A line of the kernel's console without the time in front, which /dev/kmsg keeps apart.
fn without_time(line: &str) -> &str {
    let rest = line.strip_prefix('[').and_then(|rest| rest.split_once("] "));
    rest.map_or(line, |(_, rest)| rest).trim()
}

impl Sink for Collector {
    fn console(&mut self, text: &[u8]) {
        let room = MAX_CONSOLE.saturating_sub(self.console.len());
        self.console.extend(&text[..text.len().min(room)]);
    }

    fn bytes(&mut self, bytes: &[u8]) -> Flow {
        for event in self.decoder.push(bytes) {
            self.event(event);
        }
        if self.stopped.is_none() && self.last_frame.elapsed() > self.silence {
            self.stopped =
                Some(format!("L0's kernel said nothing for {} s", self.silence.as_secs()));
        }
        if let Some(current) = &mut self.current
            && current.intake.flooded()
        {
            self.stopped = Some("the guest flooded its serial line".into());
        }
        if self.stopped.is_some() { Flow::Stop } else { Flow::Continue }
    }
}

#[cfg(test)]
mod tests {
    use super::{Collector, SetEnd};
    use crate::lab::frame::Frame;
    use crate::lab::message::Message;
    use crate::verdict::progress::Progress;
    use crate::vmm::{Flow, Sink};
    use std::time::Duration;

    fn collector() -> Collector {
        Collector::new(Duration::from_mins(1), Box::new(|_, _| Progress::none()), false)
    }

    fn stream(messages: &[Message]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (seq, message) in (0..).zip(messages) {
            let (kind, payload) = message.encode();
            bytes.extend(Frame { kind, seq, ticks: u64::from(seq) * 10, payload }.encode());
        }
        bytes
    }

    fn begin(set: &str) -> Message {
        Message::Begin { set: set.into(), effective: [("ept".into(), "Y".into())].into() }
    }

    fn end(set: &str) -> Message {
        Message::End { set: set.into(), failure: None }
    }

    #[test]
    fn sets_come_out_in_order_with_what_they_wrote() {
        let mut collector = collector();
        let bytes = stream(&[
            Message::Stage("init".into()),
            begin("ept=1"),
            Message::Serial(b"KTAP version 1\n".to_vec()),
            Message::Kmsg("WARNING: CPU: 0 PID: 1".into()),
            end("ept=1"),
            Message::Skip { set: "x=1".into(), why: "unknown".into() },
            Message::Done,
        ]);
        assert_eq!(collector.bytes(&bytes), Flow::Continue);
        collector.finish();
        let [first, second] = &collector.sets[..] else { panic!("two sets") };
        assert_eq!((first.set.as_str(), &first.end), ("ept=1", &SetEnd::Ran(None)));
        assert_eq!(first.boots[0].0.last_line, "KTAP version 1");
        assert_eq!(first.trouble.len(), 1);
        assert_eq!(first.instructions, 30);
        assert_eq!(second.end, SetEnd::Skipped("unknown".into()));
    }

    #[test]
    fn a_set_in_whose_midst_the_lab_ends_is_lost_and_kept() {
        let mut collector = collector();
        let _ = collector
            .bytes(&stream(&[begin("ept=1"), Message::Serial(b"KTAP version 1\n".to_vec())]));
        collector.finish();
        assert_eq!(collector.sets[0].end, SetEnd::Lost);
        assert_eq!(collector.sets[0].boots[0].0.last_line, "KTAP version 1");
    }

    #[test]
    fn last_words_on_the_console_are_told_once() {
        let mut collector = collector();
        let _ = collector.bytes(&stream(&[begin("ept=1"), Message::Kmsg("BUG: known".into())]));
        collector.console(
            b"\r\n[    4.637548] BUG: known\r\n[    4.7] RIP: 0010:f+0x1/0x2 [kvm_intel]\r\n[    4.8] idle\r\n",
        );
        collector.finish();
        let told: Vec<(&str, u64)> = collector.sets[0]
            .trouble
            .iter()
            .map(|trouble| (trouble.line.as_str(), trouble.times))
            .collect();
        assert_eq!(told, [("BUG: known", 1), ("RIP: 0010:f+0x1/0x2 [kvm_intel]", 1)]);
    }

    #[test]
    fn a_lost_frame_is_told() {
        let mut collector = collector();
        let one = stream(&[begin("ept=1")]);
        let all = stream(&[begin("ept=1"), Message::Serial(b"lost\n".to_vec()), end("ept=1")]);
        let last = stream(&[begin("ept=1"), Message::Serial(b"lost\n".to_vec())]).len();
        let _ = collector.bytes(&one);
        let _ = collector.bytes(&all[last..]);
        collector.finish();
        assert_eq!(collector.complaints.text(""), "frames 1 to 1 were lost");
    }

    #[test]
    fn damage_is_counted_and_ends_the_boot() {
        let mut collector = collector();
        let markers = b"\xf5MM\xfa".repeat(4000);
        assert!((0..10).any(|_| collector.bytes(&markers) == Flow::Stop));
        collector.finish();
        let complaints = collector.complaints.text("");
        assert!(
            complaints.len() < 4000 && complaints.ends_with(" more of such complaints"),
            "{complaints}"
        );
    }

    #[test]
    fn silence_stops_the_boot() {
        let mut collector =
            Collector::new(Duration::ZERO, Box::new(|_, _| Progress::none()), false);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(collector.bytes(b""), Flow::Stop);
        assert!(collector.stopped().is_some());
    }
}
