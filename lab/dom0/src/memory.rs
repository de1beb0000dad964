//! Pages of others in this domain's address space: Xen's shared information, the guest's ioreqs, and
//! whichever page of the guest's memory was accessed last.
//!
//! Their contents change at any time, so they are accessed by raw copies only.
#![allow(unsafe_code, reason = "memory that others write")]

use core::cell::UnsafeCell;
use core::ptr;

use dom0::abi::{DomainId, Errno};

use crate::hypercall::{map, map_foreign};

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// A page-table entry's flags: present, writable, for CPL 3 (at which PV kernels run), accessed,
/// dirty.
const FLAGS: u64 = 0x67;
/// No page.
const NONE: u64 = 0;

/// An address of this domain at which pages are exchanged.
#[repr(C, align(4096))]
pub struct Place(UnsafeCell<[u8; PAGE as usize]>);

// SAFETY: the contents are accessed by raw pointers only.
unsafe impl Sync for Place {}

/// Where Xen's shared information is.
pub static SHARED: Place = Place::new();
/// Where the guest's ioreqs are.
pub static IOREQS: Place = Place::new();
static GUEST: Place = Place::new();

impl Place {
    const fn new() -> Self {
        Self(UnsafeCell::new([0; PAGE as usize]))
    }

    /// Its address.
    pub fn at<T>(&self) -> *mut T {
        self.0.get().cast()
    }

    /// Puts a page of the machine there.
    pub fn show(&self, machine_address: u64) -> Result<(), Errno> {
        // SAFETY: nobody refers to what is there, see above.
        unsafe { map(self.0.get() as u64, machine_address | FLAGS) }
    }

    /// Puts a page of another domain there.
    pub fn show_foreign(&self, of: DomainId, page: u64) -> Result<(), Errno> {
        // SAFETY: as in `show`.
        unsafe { map_foreign(self.0.get() as u64, (page * PAGE) | FLAGS, of) }
    }

    /// Takes away what is there. Until another page is shown, it must not be accessed.
    pub fn hide(&self) -> Result<(), Errno> {
        // SAFETY: as in `show`.
        unsafe { map(self.0.get() as u64, NONE) }
    }
}

/// A guest's memory.
pub struct Memory {
    domain: DomainId,
    bytes: u64,
    /// The page that is at [`GUEST`].
    shown: Option<u64>,
}

impl Memory {
    /// The memory of a domain from address 0 on.
    pub fn of(domain: DomainId, bytes: u64) -> Self {
        Self { domain, bytes, shown: None }
    }

    /// How many pages it has.
    pub fn pages(&self) -> u32 {
        self.bytes.div_ceil(PAGE) as u32
    }

    /// Writes a value.
    pub fn put<T: Copy>(&mut self, address: u64, value: T) -> Result<(), Errno> {
        self.store(address, (&raw const value).cast(), size_of::<T>())
    }

    /// Writes bytes.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.store(address, bytes.as_ptr(), bytes.len())
    }

    /// Writes `length` bytes from `source` on, which the two above own.
    fn store(&mut self, address: u64, source: *const u8, length: usize) -> Result<(), Errno> {
        self.each_page(address, length, |at, from, count| {
            // SAFETY: `each_page` gives `count` bytes of the page that is shown, and as many from
            // `from` on of the range, which is as long as the source.
            unsafe { ptr::copy_nonoverlapping(source.add(from), at, count) }
        })
    }

    /// Reads bytes.
    pub fn read(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Errno> {
        let to = bytes.as_mut_ptr();
        self.each_page(address, bytes.len(), |at, from, count| {
            // SAFETY: as in `store`.
            unsafe { ptr::copy_nonoverlapping(at, to.add(from), count) }
        })
    }

    /// Shows page after page of a range. `act` gets where it is, which byte of the range that is,
    /// and how many bytes of the page belong to the range.
    fn each_page(
        &mut self,
        address: u64,
        length: usize,
        mut act: impl FnMut(*mut u8, usize, usize),
    ) -> Result<(), Errno> {
        let is_inside = address.checked_add(length as u64).is_some_and(|end| end <= self.bytes);
        if !is_inside {
            return Err(Errno::EFAULT);
        }
        let mut done = 0;
        while done < length {
            let (page, offset) = ((address + done as u64) / PAGE, (address + done as u64) % PAGE);
            if self.shown != Some(page) {
                self.shown = None;
                GUEST.show_foreign(self.domain, page)?;
                self.shown = Some(page);
            }
            let count = (length - done).min((PAGE - offset) as usize);
            act(GUEST.at::<u8>().wrapping_add(offset as usize), done, count);
            done += count;
        }
        Ok(())
    }

    /// Lets go of the page that is shown, which would keep the domain's memory in use.
    pub fn release(&mut self) -> Result<(), Errno> {
        if self.shown.take().is_some() { GUEST.hide() } else { Ok(()) }
    }
}
