//! Vectors. SDM vol. 3A, "Exception and Interrupt Reference".

/// Vectors below this are those of exceptions and of NMI.
pub const EXCEPTIONS: u8 = 32;
/// NMI.
pub const NMI: u8 = 2;
/// #DF.
pub const DOUBLE_FAULT: u8 = 8;
/// #PF.
pub const PAGE_FAULT: u8 = 14;

/// The vectors whose exceptions push an error code, one bit each: #DF, #TS, #NP, #SS, #GP, #PF,
/// #AC,
/// #CP, and two that only AMD's processors have, #VC and #SX.
pub const WITH_ERROR_CODE: u32 = 1 << 8
    | 1 << 10
    | 1 << 11
    | 1 << 12
    | 1 << 13
    | 1 << 14
    | 1 << 17
    | 1 << 21
    | 1 << 29
    | 1 << 30;

/// Whether an exception of this vector pushes an error code.
#[must_use]
pub const fn pushes_error_code(vector: u8) -> bool {
    vector < EXCEPTIONS && WITH_ERROR_CODE >> vector & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::pushes_error_code;

    #[test]
    fn only_the_table_s_vectors_push_an_error_code() {
        let pushing: std::vec::Vec<_> =
            (0..=u8::MAX).filter(|&vector| pushes_error_code(vector)).collect();
        assert_eq!(pushing, [8, 10, 11, 12, 13, 14, 17, 21, 29, 30]);
    }
}
