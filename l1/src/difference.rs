//! Comparing records without branches, 16 bytes at a time.
#![allow(unsafe_code, reason = "SSE2 intrinsics on records")]

use core::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_load_si128, _mm_movemask_epi8, _mm_or_si128, _mm_setzero_si128, _mm_xor_si128,
};
use core::mem::{align_of, offset_of};
use core::ptr;

use spec::layout::{ExitRecord, Slot};

/// Whether anything that was compared differed.
pub struct Difference {
    /// Bits that differed in single words.
    pub word: u64,
    wide: __m128i,
}

const FAULTS: usize = offset_of!(Slot, faults);
const _: () = assert!(FAULTS.is_multiple_of(16) && align_of::<Slot>().is_multiple_of(16));
const _: () = assert!(size_of::<ExitRecord>() == 4 * 16 && align_of::<ExitRecord>().is_multiple_of(16));

impl Difference {
    /// Nothing was compared yet.
    pub fn none() -> Self {
        // SAFETY: every processor with long mode has SSE2, and `boot` turned it on.
        Self { word: 0, wide: unsafe { _mm_setzero_si128() } }
    }

    /// Compares two exits in full.
    #[inline]
    pub fn exit(&mut self, one: &ExitRecord, other: &ExitRecord) {
        // SAFETY: a record is 64 bytes, aligned, as asserted above.
        unsafe { self.add::<4>(ptr::from_ref(one).cast(), ptr::from_ref(other).cast()) }
    }

    /// Compares two slots from [`Slot::faults`] on.
    #[inline]
    pub fn delivery(&mut self, one: &Slot, other: &Slot) {
        // SAFETY: 48 bytes of a slot are behind that field, which is aligned, as asserted above.
        unsafe { self.add::<3>((&raw const one.faults).cast(), (&raw const other.faults).cast()) }
    }

    /// Whether all that was compared was the same.
    pub fn is_none(&self) -> bool {
        // SAFETY: as in `none`.
        let wide = unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(self.wide, _mm_setzero_si128())) };
        self.word == 0 && wide == 0xffff
    }

    /// Compares `N` times 16 bytes.
    ///
    /// # Safety
    /// Both are addresses of that many bytes, aligned to 16.
    #[inline]
    unsafe fn add<const N: usize>(&mut self, one: *const __m128i, other: *const __m128i) {
        for at in 0..N {
            // SAFETY: as the caller says.
            unsafe {
                let bits = _mm_xor_si128(_mm_load_si128(one.add(at)), _mm_load_si128(other.add(at)));
                self.wide = _mm_or_si128(self.wide, bits);
            }
        }
    }
}
