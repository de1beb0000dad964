//! Where the manual says what: every section of the *Intel 64 and IA-32 Architectures Software
//! Developer's Manual* ("SDM") that maskmatch cites, by title.
//!
//! Chapters move between editions; titles and the numbers below the chapter hardly do. So a row
//! holds the number below its chapter, and each chapter its number in two editions: 325462-072
//! (May 2020), whose chapters of VMX have the numbers that most texts cite, and the newest,
//! 325462-092 (June 2026). Nothing else types a number of the manual: a text that cites names a
//! row, a comment names the title, and a test looks for both.
//!
//! [`Section::is_derived`] says that the number in the newest edition follows from that of its
//! chapter and was not compared with the manual. The numbers of the chapters were compared, but for
//! those of "Debug, Branch Profile, TSC, ..." and "8086 Emulation", which follow from their
//! neighbours. Where an edition has no such section, or its number is not known, the row has none.

use core::fmt;

/// The order number of the older edition.
pub const OLDER: &str = "325462-072";
/// The order number of the newest edition.
pub const NEWEST: &str = "325462-092";

/// A chapter or an appendix.
#[derive(Debug, PartialEq, Eq)]
pub struct Chapter {
    /// Its volume in both editions.
    pub volume: &'static str,
    /// Its title.
    pub title: &'static str,
    /// Its number in [`OLDER`], if it is known.
    pub older: Option<&'static str>,
    /// Its number in [`NEWEST`]. Entries of the instruction reference are found by name.
    pub newest: Option<&'static str>,
}

/// A section, a chapter or an appendix, or an entry of the instruction reference: one row of
/// [`Section::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    name: &'static str,
    chapter: &'static Chapter,
    title: &'static str,
    place: Place,
}

/// Numbers below the chapter's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    older: Option<&'static str>,
    newest: Option<&'static str>,
    is_derived: bool,
}

/// The same number in both editions.
const fn at(number: &'static str) -> Place {
    moved(number, number)
}

/// As [`at`], but derived for the newest edition.
const fn derived(number: &'static str) -> Place {
    Place { is_derived: true, ..at(number) }
}

/// Another number in the newest edition.
const fn moved(older: &'static str, newest: &'static str) -> Place {
    Place { older: Some(older), newest: Some(newest), is_derived: false }
}

/// As [`moved`], but derived for the newest edition.
const fn moved_derived(older: &'static str, newest: &'static str) -> Place {
    Place { is_derived: true, ..moved(older, newest) }
}

/// A section that the older edition does not have.
const fn new(newest: &'static str) -> Place {
    Place { older: None, newest: Some(newest), is_derived: false }
}

/// The whole chapter.
const WHOLE: Place = at("");

impl Section {
    /// Its key in the tables of known deviations: its name, as in `saving-rip`.
    #[must_use]
    pub fn key(&self) -> impl fmt::Display {
        struct Key(&'static str);
        impl fmt::Display for Key {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.bytes().try_for_each(|byte| fmt::Write::write_char(f, kebab(byte)))
            }
        }
        Key(self.name)
    }

    /// The section with a key.
    #[must_use]
    pub fn with_key(key: &str) -> Option<Self> {
        let is_key = |section: &Self| key.chars().eq(section.name.bytes().map(kebab));
        Self::ALL.into_iter().find(is_key)
    }

    /// Its name in the code.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Its title.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        self.title
    }

    /// Its chapter.
    #[must_use]
    pub const fn chapter(&self) -> &'static Chapter {
        self.chapter
    }

    /// Its number in [`OLDER`].
    #[must_use]
    pub fn older(&self) -> Option<Number> {
        Number::of(self.chapter.older, self.place.older)
    }

    /// Its number in [`NEWEST`].
    #[must_use]
    pub fn newest(&self) -> Option<Number> {
        Number::of(self.chapter.newest, self.place.newest)
    }

    /// Whether its number in the newest edition follows from the chapter's and was not compared
    /// with the manual.
    #[must_use]
    pub const fn is_derived(&self) -> bool {
        self.place.is_derived && self.chapter.newest.is_some()
    }

    /// The section for what it says, in a few words of ours.
    #[must_use]
    pub const fn says(self, says: &'static str) -> Citation {
        Citation { section: self, says }
    }
}

const fn kebab(byte: u8) -> char {
    if byte == b'_' { '-' } else { byte.to_ascii_lowercase() as char }
}

impl fmt::Display for Section {
    /// `SDM vol. 3C, VM Exits, "Saving RIP, RSP, RFLAGS, and SSP" (27.3.3 in ..., 30.3.3 in ...)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SDM vol. {}, ", self.chapter.volume)?;
        if self.chapter.newest.is_some() && self.title != self.chapter.title {
            write!(f, "{}, ", self.chapter.title)?;
        }
        write!(f, "\"{}\"", self.title)?;
        let short = &NEWEST[NEWEST.len() - 4..];
        match (self.older(), self.newest()) {
            (Some(older), Some(newest)) if older == newest => {
                write!(f, " ({older} in {OLDER} and {short})")
            }
            (Some(older), Some(newest)) => write!(f, " ({older} in {OLDER}, {newest} in {short})"),
            (Some(older), None) => write!(f, " ({older} in {OLDER})"),
            (None, Some(newest)) => write!(f, " ({newest} in {NEWEST})"),
            (None, None) => Ok(()),
        }
    }
}

/// A section's number in an edition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    chapter: &'static str,
    below: &'static str,
}

impl Number {
    fn of(chapter: Option<&'static str>, below: Option<&'static str>) -> Option<Self> {
        Some(Self { chapter: chapter?, below: below? })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chapter, below } = self;
        let what = if !below.is_empty() {
            ""
        } else if chapter.as_bytes()[0].is_ascii_digit() {
            "chapter "
        } else {
            "appendix "
        };
        write!(f, "{what}{chapter}{}{below}", if below.is_empty() { "" } else { "." })
    }
}

/// A section, and what it says there in a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Citation {
    /// The section.
    pub section: Section,
    /// What it says, or nothing.
    pub says: &'static str,
}

impl fmt::Display for Citation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.section, if self.says.is_empty() { "" } else { ": " }, self.says)
    }
}

/// Chapters with their rows. After a chapter's title stand its numbers in the two editions.
macro_rules! sections {
    ($($volume:literal $chapter:literal $older:expr, $newest:expr => { $($name:ident $place:expr, $title:literal;)* })*) => {
        impl Section {
            $($(
                #[doc = concat!("\"", $title, "\" of volume ", $volume, ".")]
                pub const $name: Self = Self {
                    name: stringify!($name),
                    chapter: &Chapter { volume: $volume, title: $chapter, older: $older, newest: $newest },
                    title: $title,
                    place: $place,
                };
            )*)*

            /// All of them, in the manual's order.
            pub const ALL: [Self; sections!(@count $($($name)*)*)] = [$($(Self::$name,)*)*];
        }
    };
    (@count $($name:ident)*) => { [$(stringify!($name)),*].len() };
}

sections! {
    "1" "Basic Execution Environment" Some("3"), Some("3") => {
        ADDRESSES_64 derived("3.7"), "Address Calculations in 64-Bit Mode";
        CANONICAL derived("3.7.1"), "Canonical Addressing";
        REGISTERS_64 derived("4.1.1"), "General-Purpose Registers in 64-Bit Mode";
    }
    "1" "Procedure Calls, Interrupts, and Exceptions" Some("6"), Some("6") => {
        STACKS derived("2"), "Stacks";
    }
    "1" "Managing State Using the XSAVE Feature Set" Some("13"), Some("13") => {
        XSAVE_EXTENDED derived("4.3"), "Extended Region of an XSAVE Area";
    }
    "1" "Input/Output" None, Some("20") => {
        IO_BITMAP at("5.2"), "I/O Permission Bit Map";
    }
    "2A" "Instruction Set Reference" None, None => {
        CLFLUSH WHOLE, "CLFLUSH";
        CMOVCC WHOLE, "CMOVcc";
        CMPXCHG WHOLE, "CMPXCHG";
        CMPXCHG8B WHOLE, "CMPXCHG8B/CMPXCHG16B";
        ENTER WHOLE, "ENTER";
        INVLPG WHOLE, "INVLPG";
        LEAVE WHOLE, "LEAVE";
        LTR WHOLE, "LTR";
    }
    "2B" "Instruction Set Reference" None, None => {
        POP WHOLE, "POP";
        REP WHOLE, "REP/REPE/REPZ/REPNE/REPNZ";
    }
    "3A" "System Architecture Overview" Some("2"), Some("2") => {
        CONTROL_REGISTERS derived("5"), "Control Registers";
    }
    "3A" "Protected-Mode Memory Management" Some("3"), Some("3") => {
        SEGMENT_DESCRIPTORS at("4.5"), "Segment Descriptors";
        SEGMENT_TYPES at("4.5.1"), "Code- and Data-Segment Descriptor Types";
        SYSTEM_TYPES derived("5"), "System Descriptor Types";
    }
    "3A" "Paging" Some("4"), Some("5") => {
        PAGING_32 derived("3"), "32-Bit Paging";
        PAGING_PAE at("4"), "PAE Paging";
        PDPTE_REGISTERS at("4.1"), "PDPTE Registers";
        PAGING_64 at("5"), "4-Level Paging and 5-Level Paging";
        ACCESS_RIGHTS at("6"), "Access Rights";
        DETERMINING_RIGHTS derived("6.1"), "Determination of Access Rights";
        PROTECTION_KEYS derived("6.2"), "Protection Keys";
        PAGE_FAULTS at("7"), "Page-Fault Exceptions";
        INVALIDATION derived("10.4"), "Invalidation of TLBs and Paging-Structure Caches";
        INVALIDATING derived("10.4.1"), "Operations that Invalidate TLBs and Paging-Structure Caches";
        OPTIONAL_INVALIDATION derived("10.4.3"), "Optional Invalidation";
        PROPAGATION at("10.5"), "Propagation of Paging-Structure Changes to Multiple Processors";
    }
    "3A" "Protection" Some("5"), Some("6") => {
        CALL_GATES_64 derived("8.3.1"), "IA-32e Mode Call Gates";
    }
    "3A" "Interrupt and Exception Handling" Some("6"), Some("7") => {
        EXCEPTION_CLASSES derived("5"), "Exception Classifications";
        MULTIPLE_NMIS moved("7.1", "7.2"), "Handling Multiple NMIs";
        IDT_DESCRIPTORS derived("11"), "IDT Descriptors";
        HANDLER_PROCEDURES at("12.1"), "Exception- or Interrupt-Handler Procedures";
        ERROR_CODE derived("13"), "Error Code";
        EVENTS_64 at("14"), "Exception and Interrupt Handling in 64-bit Mode";
        IDT_64 at("14.1"), "64-Bit Mode IDT";
        STACK_FRAME_64 derived("14.2"), "64-Bit Mode Stack Frame";
        EXCEPTION_REFERENCE derived("15"), "Exception and Interrupt Reference";
    }
    "3A" "Task Management" Some("7"), Some("10") => {
        TSS derived("2.1"), "Task-State Segment (TSS)";
        TSS_DESCRIPTOR_64 derived("2.3"), "TSS Descriptor in 64-bit mode";
        TASKS_64 derived("7"), "Task Management in 64-bit Mode";
    }
    "3A" "Multiple-Processor Management" Some("8"), Some("11") => {
        MP_INITIALIZATION at("4"), "Multiple-Processor (MP) Initialization";
    }
    "3A" "Advanced Programmable Interrupt Controller (APIC)" Some("10"), Some("13") => {
        APIC WHOLE, "Advanced Programmable Interrupt Controller (APIC)";
        LOCAL_APIC derived("4.1"), "The Local APIC Block Diagram";
        APIC_ENABLING derived("4.3"), "Enabling or Disabling the Local APIC";
        X2APIC_TRANSITIONS derived("12.5"), "x2APIC State Transitions";
    }
    "3B" "Debug, Branch Profile, TSC, and Intel Resource Director Technology (Intel RDT) Features"
    Some("17"), Some("20") => {
        DEBUG_REGISTERS derived("2"), "Debug Registers";
        INSTRUCTION_BREAKPOINTS derived("3.1.1"), "Instruction-Breakpoint Exception Condition";
    }
    "3B" "8086 Emulation" Some("20"), Some("23") => {
        REAL_MODE derived("1"), "Real-Address Mode";
        REAL_MODE_EVENTS derived("1.4"), "Interrupt and Exception Handling";
    }
    "3C" "Introduction to Virtual Machine Extensions" Some("23"), Some("26") => {
        ENTERING_VMX at("7"), "Enabling and Entering VMX Operation";
    }
    "3C" "Virtual Machine Control Structures" Some("24"), Some("27") => {
        VMCS at("1"), "Overview";
        GUEST_REGISTERS at("4.1"), "Guest Register State";
        GUEST_NON_REGISTERS at("4.2"), "Guest Non-Register State";
        PIN_CONTROLS at("6.1"), "Pin-Based VM-Execution Controls";
        PROCESSOR_CONTROLS at("6.2"), "Processor-Based VM-Execution Controls";
        EXCEPTION_BITMAP derived("6.3"), "Exception Bitmap";
        IO_BITMAPS derived("6.4"), "I/O-Bitmap Addresses";
        EPTP at("6.11"), "Extended-Page-Table Pointer (EPTP)";
        EXIT_CONTROLS derived("7.1"), "VM-Exit Controls";
        ENTRY_CONTROLS derived("8.1"), "VM-Entry Controls";
        ENTRY_EVENTS at("8.3"), "VM-Entry Controls for Event Injection";
        FIELD_ENCODINGS derived("11.2"), "VMREAD, VMWRITE, and Encodings of VMCS Fields";
    }
    "3C" "VMX Non-Root Operation" Some("25"), Some("28") => {
        FAULT_PRIORITY derived("1.1"), "Relative Priority of Faults and VM Exits";
        UNCONDITIONAL_EXITS derived("1.2"), "Instructions That Cause VM Exits Unconditionally";
        CONDITIONAL_EXITS derived("1.3"), "Instructions That Cause VM Exits Conditionally";
        OTHER_CAUSES at("2"), "Other Causes of VM Exits";
        CHANGED_INSTRUCTIONS at("3"), "Changes to Instruction Behavior in VMX Non-Root Operation";
        PREEMPTION_TIMER at("5.1"), "VMX-Preemption Timer";
        MONITOR_TRAP derived("5.2"), "Monitor Trap Flag";
    }
    "3C" "VM Entries" Some("26"), Some("29") => {
        ENTRY_CONTROL_CHECKS derived("2.1.3"), "VM-Entry Control Fields";
        CONTROL_REGISTER_CHECKS at("3.1.1"), "Checks on Guest Control Registers, Debug Registers, and MSRs";
        SEGMENT_CHECKS derived("3.1.2"), "Checks on Guest Segment Registers";
        RFLAGS_CHECKS at("3.1.4"), "Checks on Guest RIP, RFLAGS, and SSP";
        NON_REGISTER_CHECKS derived("3.1.5"), "Checks on Guest Non-Register State";
        LOADING_PDPTES at("3.2.4"), "Loading Page-Directory-Pointer-Table Entries";
        EVENT_INJECTION at("6.1"), "Vectored-Event Injection";
        INTERRUPTIBILITY at("7.1"), "Interruptibility State";
        PENDING_DEBUG derived("7.3"), "Delivery of Pending Debug Exceptions after VM Entry";
        INTERRUPT_WINDOW at("7.5"), "Interrupt-Window Exiting and Virtual-Interrupt Delivery";
        NMI_WINDOW derived("7.6"), "NMI-Window Exiting";
        FAILED_ENTRIES derived("8"), "VM-Entry Failures During or After Loading Guest State";
    }
    "3C" "VM Exits" Some("27"), Some("30") => {
        VM_EXITS WHOLE, "VM Exits";
        BEFORE_EXIT at("1"), "Architectural State Before a VM Exit";
        BASIC_EXIT_INFORMATION at("2.1"), "Basic VM-Exit Information";
        VECTORED_EVENTS at("2.2"), "Information for VM Exits Due to Vectored Events";
        NMI_UNBLOCKING derived("2.3"), "Information About NMI Unblocking Due to IRET";
        EVENT_DELIVERY at("2.4"), "Information for VM Exits During Event Delivery";
        INSTRUCTION_EXITS derived("2.5"), "Information for VM Exits Due to Instruction Execution";
        SAVING_CONTROL_REGISTERS at("3.1"), "Saving Control Registers, Debug Registers, and MSRs";
        SAVING_RIP at("3.3"), "Saving RIP, RSP, RFLAGS, and SSP";
        SAVING_NON_REGISTERS at("3.4"), "Saving Non-Register State";
    }
    "3C" "VMX Support for Address Translation" Some("28"), Some("31") => {
        HLAT new("2"), "Hypervisor-Managed Linear-Address Translation (HLAT)";
        EPT moved("2", "3"), "The Extended Page Table Mechanism (EPT)";
        EPT_TRANSLATION moved("2.2", "3.2"), "EPT Translation Mechanism";
        EPT_MISCONFIGURATIONS moved("2.3.1", "3.3.1"), "EPT Misconfigurations";
        EPT_VIOLATIONS moved("2.3.2", "3.3.2"), "EPT Violations";
        EPT_PRIORITIES moved_derived("2.3.3", "3.3.3"), "Prioritization of EPT Misconfigurations and EPT Violations";
        PAGE_LOGGING moved("2.6", "3.6"), "Page-Modification Logging";
        CACHED_TRANSLATIONS moved("3.3", "4.3"), "Invalidating Cached Translation Information";
        INVALIDATING_MAPPINGS moved("3.3.1", "4.3.1"), "Operations that Invalidate Cached Mappings";
        INVVPID_GUIDELINES moved("3.3.3", "4.3.3"), "Guidelines for Use of the INVVPID Instruction";
    }
    "3C" "VMX Instruction Reference" Some("30"), Some("33") => {
        VMX_CONVENTIONS derived("2"), "Conventions";
        VMX_INSTRUCTIONS derived("3"), "VMX Instructions";
        VMX_ERRORS derived("4"), "VM Instruction Error Numbers";
    }
    "3C" "System Management Mode" Some("34"), Some("34") => {
        SMRAM derived("4"), "SMRAM";
        SMI_TREATMENT at("14"), "Default Treatment of SMIs and SMM with VMX Operation and SMX Operation";
    }
    "3D" "VMX Capability Reporting Facility" Some("A"), Some("A") => {
        VMX_CAPABILITIES WHOLE, "VMX Capability Reporting Facility";
        VMX_BASIC derived("1"), "Basic VMX Information";
        DEFAULT_SETTINGS derived("2"), "Reserved Controls and Default Settings";
        VMX_MISC at("6"), "Miscellaneous Data";
        EPT_CAPABILITIES at("10"), "VPID and EPT Capabilities";
    }
    "3D" "Field Encoding in VMCS" Some("B"), Some("B") => {
        VMCS_FIELDS WHOLE, "Field Encoding in VMCS";
    }
    "3D" "VMX Basic Exit Reasons" Some("C"), Some("C") => {
        EXIT_REASONS WHOLE, "VMX Basic Exit Reasons";
    }
}

#[cfg(test)]
mod tests {
    use super::Section;
    use std::collections::HashSet;
    use std::string::ToString;

    #[test]
    fn a_section_is_found_in_both_editions() {
        assert_eq!(
            Section::SAVING_RIP.to_string(),
            "SDM vol. 3C, VM Exits, \"Saving RIP, RSP, RFLAGS, and SSP\" (27.3.3 in 325462-072, 30.3.3 in -092)"
        );
        let texts = [
            (Section::HLAT, "(31.2 in 325462-092)"),
            (Section::EPT_VIOLATIONS, "(28.2.3.2 in 325462-072, 31.3.3.2 in -092)"),
            (Section::REGISTERS_64, "(3.4.1.1 in 325462-072 and -092)"),
            (
                Section::VM_EXITS,
                "SDM vol. 3C, \"VM Exits\" (chapter 27 in 325462-072, chapter 30 in -092)",
            ),
            (Section::EPT_CAPABILITIES, "(A.10 in 325462-072 and -092)"),
            (Section::EXIT_REASONS, "(appendix C in 325462-072 and -092)"),
            (Section::ENTER, "SDM vol. 2A, \"ENTER\""),
        ];
        for (section, end) in texts {
            assert!(section.to_string().ends_with(end), "{section}");
        }
        let said = Section::STACKS.says("they grow down").to_string();
        assert!(said.ends_with("-092): they grow down"), "{said}");
    }

    #[test]
    fn keys_and_titles_are_unique() {
        let titles: HashSet<&str> = Section::ALL.iter().map(Section::title).collect();
        assert_eq!(titles.len(), Section::ALL.len());
        for section in Section::ALL {
            assert_eq!(Section::with_key(&section.key().to_string()), Some(section));
        }
        assert_eq!(Section::with_key("SAVING_RIP"), None);
        assert_eq!(Section::SAVING_RIP.key().to_string(), "saving-rip");
    }
}
