//! The guest's RAM: one mapping of a file in memory, in one slot of the VM, or three if a page is
//! read-only.
//!
//! It is a file so that pages can be dropped from the VMM's page tables without losing their
//! content.

#![allow(unsafe_code, reason = "KVM keeps the address of the guest's memory")]

use crate::vmm::Unavailable;
use crate::vmm::kvm::late::Late;
use crate::vmm::kvm::state::Failed;
use kvm_bindings::{
    KVM_CAP_MULTI_ADDRESS_SPACE, KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY,
    kvm_userspace_memory_region,
};
use kvm_ioctls::VmFd;
use spec::channel::{SMI_HANDLED, Step};
use std::fs::File;
use std::io;
use std::ops::Range;
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

const SLOT: u32 = 0;
/// The slots of a read-only page and of what follows it. The first slot then ends before the page.
const PAGE_SLOT: u32 = 1;
const REST_SLOT: u32 = 2;
const PAGE: u64 = 4096;
/// In a slot's number: the same memory for system-management mode, which is address space 1.
const SMM: u32 = 1 << 16;
/// SMBASE at reset, and where in it the handler begins. SDM vol. 3C, "SMRAM".
const SMI_HANDLER: u64 = 0x3_0000 + 0x8000;
/// `mov byte ptr cs:[0x8010], 1; rsm`, in 16-bit code; up to the byte that is written, which is 0.
const SMI_CODE: [u8; 17] =
    [0x2e, 0xc6, 0x06, 0x10, 0x80, 0x01, 0x0f, 0xaa, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const _: () = assert!(SMI_HANDLER + SMI_CODE.len() as u64 - 1 == SMI_HANDLED);

/// The RAM.
pub struct Memory {
    map: GuestMemoryMmap,
    file: File,
    size: usize,
}

impl Memory {
    /// RAM of this many bytes from address 0.
    ///
    /// # Errors
    /// This machine does not have them.
    pub fn new(size: usize) -> Result<Self, Unavailable> {
        let failed = |error: &dyn std::fmt::Display| {
            Unavailable::failed("allocate the guest's memory", error)
        };
        let file = rustix::fs::memfd_create("guest", rustix::fs::MemfdFlags::CLOEXEC)
            .map_err(|error| failed(&error))?;
        let file = File::from(file);
        file.set_len(size as u64).map_err(|error| failed(&error))?;
        let mapped = file.try_clone().map_err(|error| failed(&error))?;
        let range = (GuestAddress(0), size, Some(FileOffset::new(mapped, 0)));
        let map =
            GuestMemoryMmap::from_ranges_with_files(&[range]).map_err(|error| failed(&error))?;
        Ok(Self { map, file, size })
    }

    /// Its contents.
    pub fn contents(&self) -> &GuestMemoryMmap {
        &self.map
    }

    /// Gives it to a VM, whose KVM tracks writes if `tracked`.
    ///
    /// # Errors
    /// KVM does not take it.
    pub fn give(&self, vm: &VmFd, tracked: bool) -> Result<(), Failed> {
        self.slot(vm, self.size as u64, if tracked { KVM_MEM_LOG_DIRTY_PAGES } else { 0 })
    }

    /// Takes it from a VM.
    ///
    /// # Errors
    /// KVM does not give it back.
    pub fn take(&self, vm: &VmFd) -> Result<(), Failed> {
        self.slot(vm, 0, 0)
    }

    /// Makes the page at an address read-only for a VM that has this memory.
    ///
    /// # Errors
    /// The address is not in it, or KVM does not take it.
    pub fn protect(&self, vm: &VmFd, page: u64) -> Result<(), Failed> {
        let behind = page + PAGE;
        if page == 0 || behind >= self.size as u64 {
            return Err(Failed { step: Step::Memory, errno: libc::EINVAL });
        }
        self.take(vm)?;
        self.part(vm, SLOT, 0..page, 0)?;
        self.part(vm, PAGE_SLOT, page..behind, KVM_MEM_READONLY)?;
        self.part(vm, REST_SLOT, behind..self.size as u64, 0)
    }

    /// Makes all of it writable again.
    ///
    /// # Errors
    /// KVM does not take it.
    pub fn unprotect(&self, vm: &VmFd) -> Result<(), Failed> {
        for slot in [SLOT, PAGE_SLOT, REST_SLOT] {
            self.part(vm, slot, 0..0, 0)?;
        }
        self.give(vm, false)
    }

    /// Writes what the guest could not. Returns whether it is memory.
    pub fn write(&self, address: u64, data: &[u8]) -> bool {
        self.map.write_slice(data, GuestAddress(address)).is_ok()
    }

    fn slot(&self, vm: &VmFd, memory_size: u64, flags: u32) -> Result<(), Failed> {
        self.part(vm, SLOT, 0..memory_size, flags)
    }

    /// Sets a slot to a part of it. An empty part removes the slot.
    fn part(&self, vm: &VmFd, slot: u32, part: Range<u64>, flags: u32) -> Result<(), Failed> {
        let address = self.address()? as u64;
        let region = kvm_userspace_memory_region {
            slot,
            flags,
            guest_phys_addr: part.start,
            memory_size: part.end - part.start,
            userspace_addr: address + part.start,
        };
        let smm = vm.check_extension_raw(KVM_CAP_MULTI_ADDRESS_SPACE.into()) > 1;
        for slot in [slot, slot | SMM].into_iter().take(1 + usize::from(smm)) {
            let region = kvm_userspace_memory_region { slot, ..region };
            // SAFETY: the range is nothing, or a part of the one mapping that `self` owns, and
            // `Machine` drops the memory after the vCPU and the VM; it is accessed by raw volatile
            // copies only, never by references.
            unsafe { vm.set_user_memory_region(region) }.map_err(Failed::at(Step::Memory))?;
        }
        Ok(())
    }

    fn address(&self) -> Result<*mut u8, Failed> {
        self.map
            .get_host_address(GuestAddress(0))
            .map_err(|_| Failed { step: Step::Memory, errno: libc::EFAULT })
    }

    /// Fetches the log of writes, which makes KVM forget them: a bit for each page.
    ///
    /// # Errors
    /// KVM has none.
    pub fn take_log(&self, vm: &VmFd) -> Result<Vec<u64>, Failed> {
        vm.get_dirty_log(SLOT, self.size).map_err(Failed::at(Step::DirtyLog))
    }

    /// Drops all pages from this process' page tables; the file keeps their contents.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn drop_pages(&self) -> Result<(), Failed> {
        let address = self.address()?;
        // SAFETY: the range is one shared mapping of a file, whose contents MADV_DONTNEED leaves as
        // they are.
        if unsafe { libc::madvise(address.cast(), self.size, libc::MADV_DONTNEED) } == 0 {
            return Ok(());
        }
        Err(Failed {
            step: Step::DropPages,
            errno: io::Error::last_os_error().raw_os_error().unwrap_or_default(),
        })
    }

    /// The file that holds it.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gets ready to bring its pages late.
    ///
    /// # Errors
    /// The kernel does not do that.
    pub fn late(&self) -> Result<Late, Failed> {
        Late::ready(self.address()? as u64, self.size)
    }

    /// Puts the handler where a system-management interrupt goes.
    ///
    /// # Errors
    /// There is too little memory.
    pub fn write_smi_handler(&self) -> Result<(), Failed> {
        let failed = |_| Failed { step: Step::Smi, errno: libc::EFAULT };
        self.map.write_slice(&SMI_CODE, GuestAddress(SMI_HANDLER)).map_err(failed)
    }
}

/// Whether a log of writes, which has a bit for each page, has the page at an address.
pub fn has_page(log: &[u64], address: u64) -> bool {
    let page = address / PAGE;
    log.get((page / 64) as usize).is_some_and(|bits| bits >> (page % 64) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::has_page;

    #[test]
    fn a_page_is_found_in_the_log_by_its_bit() {
        let log = [0, 1 << 3];
        assert!(has_page(&log, 67 << 12) && has_page(&log, (67 << 12) + 0xfff));
        assert!(![66, 68, 3, 128].into_iter().any(|page| has_page(&log, page << 12)));
    }
}
