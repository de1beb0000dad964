//! Comparing records without branches, 16 bytes at a time.
#![allow(unsafe_code, reason = "SSE2 intrinsics on records")]
#![expect(clippy::inline_always, reason = "the image is built for size, and this is its hot loop")]

use core::arch::x86_64::{
    __m128i, _mm_cmpeq_epi8, _mm_load_si128, _mm_movemask_epi8, _mm_or_si128, _mm_setzero_si128,
    _mm_xor_si128,
};
use core::mem::{align_of, offset_of};
use core::ptr;

use spec::walk::layout::{ExitRecord, Slot};

/// Whether anything that was compared differed.
pub struct Difference {
    /// Bits that differed in single words.
    pub word: u64,
    wide: __m128i,
}

const FAULTS: usize = offset_of!(Slot, faults);
const _: () = assert!(align_of::<Slot>().is_multiple_of(16));
const _: () =
    assert!(size_of::<ExitRecord>() == 4 * 16 && align_of::<ExitRecord>().is_multiple_of(16));

impl Difference {
    /// Nothing was compared yet.
    pub fn none() -> Self {
        // SAFETY: every processor with long mode has SSE2, and `boot` turned it on.
        Self { word: 0, wide: unsafe { _mm_setzero_si128() } }
    }

    /// Compares two exits in full.
    #[inline(always)]
    pub fn exit(&mut self, one: &ExitRecord, other: &ExitRecord) {
        let (one, other) = (ptr::from_ref(one).cast(), ptr::from_ref(other).cast());
        // SAFETY: a record is 64 bytes, aligned, as asserted above.
        unsafe {
            self.add(one, other, 0);
            self.add(one, other, 1);
            self.add(one, other, 2);
            self.add(one, other, 3);
        }
    }

    /// Compares two slots from [`Slot::faults`] on.
    #[inline(always)]
    pub fn delivery(&mut self, one: &Slot, other: &Slot) {
        let (one, other) = (ptr::from_ref(one).cast(), ptr::from_ref(other).cast());
        const { assert!(FAULTS == 16 && size_of::<Slot>() == 64) }
        // SAFETY: a slot is 64 bytes, aligned, as asserted above.
        unsafe {
            self.add(one, other, 1);
            self.add(one, other, 2);
            self.add(one, other, 3);
        }
    }

    /// Whether all that was compared was the same.
    pub fn is_none(&self) -> bool {
        // SAFETY: as in `none`.
        let wide = unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(self.wide, _mm_setzero_si128())) };
        self.word == 0 && wide == 0xffff
    }

    /// Compares the 16 bytes of number `at`.
    ///
    /// # Safety
    /// Both are addresses of records of more than `at` times 16 bytes, aligned to 16.
    #[inline(always)]
    unsafe fn add(&mut self, one: *const __m128i, other: *const __m128i, at: usize) {
        // SAFETY: as the caller says.
        unsafe {
            let bits = _mm_xor_si128(_mm_load_si128(one.add(at)), _mm_load_si128(other.add(at)));
            self.wide = _mm_or_si128(self.wide, bits);
        }
    }
}
