//! Known deviations in scenes.

use super::{Deviation, Deviations};
use crate::scene::Scene;
use crate::scene::end::{Ends, Word};

/// RFLAGS.CF, PF, AF, ZF, SF and OF: what a comparison sets. SDM vol. 1, section 3.4.3.1, "Status Flags".
const STATUS_FLAGS: u64 = 1 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 11;
/// Opcodes of CMPS and SCAS.
const COMPARISONS: [u8; 4] = [0xa6, 0xa7, 0xae, 0xaf];
/// Opcodes of INS with elements of more than a byte.
const INS: u8 = 0x6d;

impl Deviations {
    /// The member that makes the difference between how a scene must end and how it did, if one does. On a host with
    /// [`Deviation::Rf0`] the others may come together with it.
    #[must_use]
    pub fn explaining_scene(self, scene: &Scene, want: &Ends, got: &Ends) -> Option<Deviation> {
        let rf_clear = Ends { first: want.first.with_rf_clear(), ..*want };
        if self.contains(Deviation::Rf0) && rf_clear.admits(got) {
            return Some(Deviation::Rf0);
        }
        self.iter().find(|deviation| {
            deviation.ends_of(scene, want, got).is_some_and(|ends| {
                let rf_clear = Ends { first: ends.first.with_rf_clear(), ..ends };
                ends.admits(got) || self.contains(Deviation::Rf0) && rf_clear.admits(got)
            })
        })
    }
}

impl Deviation {
    /// What is seen on a host with the deviation where `want` must be, if it shows in the scene. Of `got` only what
    /// the deviation leaves open is taken.
    fn ends_of(self, scene: &Scene, want: &Ends, got: &Ends) -> Option<Ends> {
        let opcode = *scene.code.last()?;
        let repeats = scene.code.len() > 1 && scene.fault.is_some();
        let first = match self {
            Self::RepFlags if repeats && COMPARISONS.contains(&opcode) => {
                let flags = got.first.word(Word::Rflags) & STATUS_FLAGS;
                want.first.with(Word::Rflags, want.first.word(Word::Rflags) & !STATUS_FLAGS | flags)
            }
            Self::InsBatch if repeats && opcode == INS => [Word::Rcx, Word::Rdi]
                .into_iter()
                .fold(want.first, |end, word| end.with(word, scene.register_at(word as usize))),
            _ => return None,
        };
        Some(Ends { first, ..*want })
    }
}
