//! L1's filter in the current VMCS: exception bitmap, MASK and MATCH, written where they change.

use spec::manual::filter::{EXCEPTION_BITMAP_PF, Filter};

use crate::vmx::field::Field;
use crate::vmx::vmcs::vmwrite;

/// What a VMCS holds of the filter, and of the exceptions that L1 intercepts besides #PF.
#[derive(Default)]
pub struct FilterFields {
    written: Option<(Filter, u32)>,
}

impl FilterFields {
    /// The filter that is written, if one is.
    pub fn filter(&self) -> Option<Filter> {
        self.written.map(|(filter, _)| filter)
    }

    /// Writes what changes, and nothing else. `intercepts` are bits of the exception bitmap beside
    /// that of #PF. The VMCS must be current.
    pub fn set(&mut self, filter: Filter, intercepts: u32) {
        let old = self.written.replace((filter, intercepts));
        if old.is_none_or(|(old, others)| (old.eb_pf, others) != (filter.eb_pf, intercepts)) {
            vmwrite(Field::ExceptionBitmap, bitmap(filter, intercepts));
        }
        if old.is_none_or(|(old, _)| old.mask != filter.mask) {
            vmwrite(Field::PfecMask, filter.mask.into());
        }
        if old.is_none_or(|(old, _)| old.matching != filter.matching) {
            vmwrite(Field::PfecMatch, filter.matching.into());
        }
    }
}

/// The exception bitmap of a filter and of other exceptions.
pub fn bitmap(filter: Filter, intercepts: u32) -> u64 {
    (intercepts | if filter.eb_pf { EXCEPTION_BITMAP_PF } else { 0 }).into()
}
