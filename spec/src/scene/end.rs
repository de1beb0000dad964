//! How a scene ends, word by word.

use core::{fmt, iter};

crate::listed! {
    /// One thing that is seen at the end of a scene, 64 bits wide.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[repr(u8)]
    #[expect(missing_docs, reason = "the general-purpose registers have the names that they have everywhere")]
    pub enum Word {
        /// RAX, and so on: L2's general-purpose registers but RSP, in the order of their encoding.
        Rax => "rax",
        Rcx => "rcx",
        Rdx => "rdx",
        Rbx => "rbx",
        Rbp => "rbp",
        Rsi => "rsi",
        Rdi => "rdi",
        R8 => "r8",
        R9 => "r9",
        R10 => "r10",
        R11 => "r11",
        R12 => "r12",
        R13 => "r13",
        R14 => "r14",
        R15 => "r15",
        /// CR2.
        Cr2 => "cr2",
        /// DR6.
        Dr6 => "dr6",
        /// VM-exit interruption information.
        Info => "info",
        /// The error code: the VM-exit interruption error code, or that on the handler's stack.
        ErrorCode => "ec",
        /// Exit qualification.
        Qualification => "qual",
        /// IDT-vectoring information.
        IdtInfo => "idt",
        /// IDT-vectoring error code.
        IdtError => "idtec",
        /// VM-exit instruction length.
        Length => "len",
        /// Guest-physical address of an EPT violation or misconfiguration, see
        /// [`super::ept::GuestFrame::guest_physical`].
        GuestPhysical => "gpa",
        /// Guest-linear address of an EPT violation.
        GuestLinear => "gla",
        /// RIP as the VMCS or the handler's stack has it, and so on.
        Rip => "rip",
        /// RSP.
        Rsp => "rsp",
        /// RFLAGS.
        Rflags => "rflags",
        /// CS selector.
        Cs => "cs",
        /// SS selector.
        Ss => "ss",
        /// Guest interruptibility state.
        Interruptibility => "intr",
        /// Guest activity state.
        Activity => "activity",
        /// Guest pending debug exceptions.
        PendingDebug => "pdbg",
        /// The eight bytes at [`super::Scene::watch`].
        Memory => "memory",
        /// The A and D bits of the last entry of the walk to [`super::Scene::watch`].
        Leaf => "leaf",
        /// The D bit of that entry alone.
        Dirty => "dirty",
        /// Guest DR7.
        Dr7 => "dr7",
        /// Guest IA32_DEBUGCTL.
        Debugctl => "debugctl",
        /// Access rights of CS in the VMCS.
        CsAccess => "csar",
        /// Access rights of SS in the VMCS.
        SsAccess => "ssar",
        /// DS selector in the VMCS, and so on.
        Ds => "ds",
        /// Access rights of DS.
        DsAccess => "dsar",
        /// Limit of DS.
        DsLimit => "dslim",
        /// Base of DS.
        DsBase => "dsbase",
        /// Base of FS.
        FsBase => "fsbase",
        /// Base of GS.
        GsBase => "gsbase",
        /// LDTR selector.
        Ldtr => "ldtr",
        /// Base of GDTR.
        GdtrBase => "gdtbase",
        /// Limit of GDTR.
        GdtrLimit => "gdtlim",
        /// Base of IDTR.
        IdtrBase => "idtbase",
        /// Limit of IDTR.
        IdtrLimit => "idtlim",
        /// The bits of CR0 that are not as L1 wrote them.
        Cr0 => "cr0",
        /// How far CR3 is from L2's root table: bits 11:0, if L2 loaded no other root.
        Cr3 => "cr3",
        /// The bits of CR4 that are not as L1 wrote them.
        Cr4 => "cr4",
        /// IA32_SYSENTER_CS in the VMCS, and so on.
        SysenterCs => "sysentercs",
        /// IA32_SYSENTER_ESP.
        SysenterEsp => "sysenteresp",
        /// IA32_SYSENTER_EIP.
        SysenterEip => "sysentereip",
        /// The exception bitmap as VMREAD gives it.
        Bitmap => "bitmap",
        /// The page-fault error-code mask as VMREAD gives it.
        Mask => "mask",
        /// The page-fault error-code match as VMREAD gives it.
        Match => "match",
    }
    /// The word's name, as a log has it.
    pub fn name;
}

/// How many [`Word`]s there are.
pub const WORDS: usize = Word::ALL.len();

impl Word {
    /// The general-purpose registers.
    pub const REGISTERS: usize = Self::R15 as usize + 1;

    /// The word of a name that a log has.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.name() == name)
    }

    /// The word's bit in a set of words.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << self as u32
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of words, one bit each: see [`Word::bit`].
pub type Words = u64;

/// The words of a set, in the order of their numbers.
pub fn words_of(set: Words) -> impl Iterator<Item = Word> {
    let mut left = set & EVERY_WORD;
    iter::from_fn(move || {
        let word = *Word::ALL.get(left.trailing_zeros() as usize)?;
        left &= left - 1;
        Some(word)
    })
}

/// The set of all words.
pub const EVERY_WORD: Words = (1 << WORDS) - 1;
/// The set of the general-purpose registers.
pub const EVERY_REGISTER: Words = (1 << Word::REGISTERS) - 1;

/// Where a scene ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// A VM exit to L1 with this basic exit reason.
    Exit(u16),
    /// Delivered to L2's handler of this vector.
    Delivered(u8),
    /// The instruction completed, and the next one was reached.
    Done,
    /// The VM entry failed, with this VM-instruction error or this basic exit reason. The numbers
    /// of the two do not meet.
    Failed(u16),
}

/// The basic exit reason of exceptions. SDM vol. 3D, "VMX Basic Exit Reasons".
pub const EXIT_EXCEPTION: u16 = 0;
/// The basic exit reason of a triple fault.
pub const EXIT_TRIPLE_FAULT: u16 = 2;
/// The basic exit reason of an EPT violation.
pub const EXIT_EPT_VIOLATION: u16 = 48;
/// The basic exit reason of an EPT misconfiguration.
pub const EXIT_EPT_MISCONFIGURATION: u16 = 49;

/// The end of a scene: what must be, or what was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Where it ended.
    pub how: How,
    /// What was found there.
    pub words: [u64; WORDS],
    /// The words that are fixed: the others have no meaning, or the manual leaves them open.
    pub fixed: Words,
}

impl End {
    /// An end of which no word is fixed yet.
    #[must_use]
    pub const fn new(how: How) -> Self {
        Self { how, words: [0; WORDS], fixed: 0 }
    }

    /// The end with a word fixed.
    #[must_use]
    pub const fn with(mut self, word: Word, value: u64) -> Self {
        self.set(word, value);
        self
    }

    /// Fixes a word.
    pub const fn set(&mut self, word: Word, value: u64) {
        self.words[word as usize] = value;
        self.fixed |= word.bit();
    }

    /// Leaves a word open.
    pub const fn unset(&mut self, word: Word) {
        self.words[word as usize] = 0;
        self.fixed &= !word.bit();
    }

    /// Fixes words, one after the other.
    pub fn set_all(&mut self, words: impl IntoIterator<Item = (Word, u64)>) {
        words.into_iter().for_each(|(word, value)| self.set(word, value));
    }

    /// The end without a word: it is left open.
    #[must_use]
    pub const fn open(mut self, word: Word) -> Self {
        self.unset(word);
        self
    }

    /// A word's value.
    #[must_use]
    pub const fn word(&self, word: Word) -> u64 {
        self.words[word as usize]
    }

    /// Whether what was seen is what must be: the same how, and the same value in each fixed word.
    #[must_use]
    pub fn admits(&self, seen: &Self) -> bool {
        self.how == seen.how && self.differing(seen) == 0
    }

    /// The fixed words in which the two differ.
    #[must_use]
    pub fn differing(&self, seen: &Self) -> Words {
        let (mut left, mut differing) = (self.fixed, 0);
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            if self.words[at] != seen.words[at] {
                differing |= 1 << at;
            }
            left &= left - 1;
        }
        differing
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.how {
            How::Exit(reason) => write!(f, "exit,reason={reason:x}")?,
            How::Delivered(vector) => write!(f, "delivered,vector={vector:x}")?,
            How::Done => f.write_str("done")?,
            How::Failed(number) => write!(f, "failed,number={number:x}")?,
        }
        words_of(self.fixed)
            .try_for_each(|word| write!(f, ",{}={:x}", word.name(), self.word(word)))
    }
}

/// Up to two ends: of the scene itself, and of what L1 does about an exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Where the instruction led.
    pub first: End,
    /// Where L1's answer led, see [`super::Answer`].
    pub second: Option<End>,
}

impl Ends {
    /// Leaves no other words than these fixed. What a handler's stack has of CS and SS stays: it is
    /// at hand.
    pub fn restrict(&mut self, words: Words) {
        let on_stack = Word::Cs.bit() | Word::Ss.bit();
        for end in iter::once(&mut self.first).chain(&mut self.second) {
            end.fixed &= if matches!(end.how, How::Exit(_)) { words } else { words | on_stack };
        }
    }

    /// Whether what was seen is what must be.
    #[must_use]
    pub fn admits(&self, seen: &Self) -> bool {
        self.first.admits(&seen.first)
            && match (&self.second, &seen.second) {
                (Some(must), Some(seen)) => must.admits(seen),
                (must, seen) => must.is_none() && seen.is_none(),
            }
    }
}

impl fmt::Display for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        match &self.second {
            Some(second) => write!(f, "+then,{second}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{EVERY_WORD, End, Ends, How, WORDS, Word, words_of};
    use std::string::ToString;
    use std::vec::Vec;

    fn end() -> End {
        (0..WORDS).fold(End::new(How::Exit(0)), |mut end, at| {
            end.words[at] = at as u64 + 1;
            end.fixed |= 1 << at;
            end
        })
    }

    #[test]
    fn every_word_has_its_number() {
        let all: Vec<usize> = words_of(EVERY_WORD).map(|word| word as usize).collect();
        assert_eq!(all, (0..WORDS).collect::<Vec<_>>());
        assert!(words_of(0).next().is_none() && words_of(!EVERY_WORD).next().is_none());
    }

    #[test]
    fn each_fixed_word_counts_and_each_open_one_does_not() {
        for at in 0..WORDS {
            let mut seen = end();
            seen.words[at] ^= 1 << 40;
            assert!(!end().admits(&seen), "{at}");
            assert_eq!(end().differing(&seen), 1 << at);
            let mut open = end();
            open.fixed &= !(1 << at);
            assert!(open.admits(&seen), "{at}");
        }
        assert!(end().admits(&end()));
        assert!(!end().admits(&End { how: How::Delivered(14), ..end() }));
    }

    #[test]
    fn a_second_end_must_be_there_and_right() {
        let one = Ends { first: end(), second: None };
        let two = Ends { second: Some(end().with(Word::Rip, 0)), ..one };
        assert!(one.admits(&one) && two.admits(&two));
        assert!(!one.admits(&two) && !two.admits(&one));
        assert!(!two.admits(&Ends { second: Some(end()), ..one }));
    }

    #[test]
    fn what_is_open_is_not_shown() {
        let end = End::new(How::Delivered(14))
            .with(Word::Rcx, 7)
            .with(Word::Leaf, 0x60)
            .with(Word::Cr2, 1)
            .open(Word::Cr2);
        assert_eq!(end.to_string(), "delivered,vector=e,rcx=7,leaf=60");
        let ends = Ends { first: end, second: Some(End::new(How::Done)) };
        assert_eq!(ends.to_string(), "delivered,vector=e,rcx=7,leaf=60+then,done");
    }
}
