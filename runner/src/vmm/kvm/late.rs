//! Memory that comes late: its pages are taken away, and each comes back when somebody waits for it
//! (userfaultfd). A migration that copies memory after the guest has started does the same.
//!
//! A separate thread serves the faults. When [`Late`] is dropped, all pages are back.

#![allow(unsafe_code, reason = "userfaultfd has no safe interface here")]

use crate::vmm::kvm::state::Failed;
use spec::channel::Step;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

const PAGE: usize = 4096;
/// Linux's `linux/userfaultfd.h`: version, feature, ioctls, mode of registration, event.
const API: u64 = 0xaa;
/// A feature: a fault comes with the id of the thread that waits.
const THREAD_ID: u64 = 1 << 8;
const UFFDIO_API: libc::Ioctl = 0xc018_aa3f;
const UFFDIO_REGISTER: libc::Ioctl = 0xc020_aa00;
const UFFDIO_WAKE: libc::Ioctl = 0x8010_aa02;
const UFFDIO_COPY: libc::Ioctl = 0xc028_aa03;
const MODE_MISSING: u64 = 1;
const EVENT_PAGE_FAULT: u8 = 0x12;
/// How long the thread waits for a fault before it checks whether to end.
const WAIT_MS: i32 = 20;
/// The pause before it asks again whether a page may come, and how often it does at most.
const PAUSE_MS: i32 = 1;
const PATIENCE: u32 = 8;

/// `struct uffdio_api`.
#[repr(C)]
struct Version {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_range`.
#[repr(C)]
struct Range {
    start: u64,
    len: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct Register {
    range: Range,
    mode: u64,
    ioctls: u64,
}

/// `struct uffdio_copy`.
#[repr(C)]
struct Copy {
    to: u64,
    from: u64,
    len: u64,
    mode: u64,
    copied: i64,
}

/// A descriptor that reports faults of a range of this process' memory.
pub struct Late {
    fd: Arc<OwnedFd>,
    start: u64,
    size: usize,
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Late {
    /// Gets ready. All pages are still there.
    ///
    /// # Errors
    /// The kernel has no userfaultfd, or does not permit it.
    pub fn ready(start: u64, size: usize) -> Result<Self, Failed> {
        // SAFETY: the system call has no pointers; what it returns is a new descriptor.
        let fd = unsafe {
            let fd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK);
            if fd < 0 {
                return Err(last_error());
            }
            OwnedFd::from_raw_fd(fd as i32)
        };
        let mut version = Version { api: API, features: THREAD_ID, ioctls: 0 };
        // SAFETY: the structure is the one that the call reads and writes.
        check(unsafe { libc::ioctl(fd.as_raw_fd(), UFFDIO_API, &raw mut version) })?;
        Ok(Self { fd: Arc::new(fd), start, size, thread: None, stop: Arc::default() })
    }

    /// Takes all pages away from the file that the range is a mapping of. From now on each comes
    /// when it is needed: once `comes` says so, which is called again and again with the id of the
    /// thread that waits, or another page is needed too, or it took too long.
    ///
    /// # Errors
    /// The file cannot be read, its pages cannot be taken, or no thread can be started.
    pub fn take(
        &mut self,
        file: &File,
        comes: impl FnMut(i32) -> bool + Send + 'static,
    ) -> Result<(), Failed> {
        let mut contents = vec![0; self.size];
        let mut reader = file.try_clone().map_err(failed)?;
        io::Seek::rewind(&mut reader).map_err(failed)?;
        reader.read_exact(&mut contents).map_err(failed)?;
        let (fd, start, stop) = (Arc::clone(&self.fd), self.start, Arc::clone(&self.stop));
        let thread = thread::Builder::new().name("late-pages".into());
        self.thread =
            Some(thread.spawn(move || serve(&fd, start, &contents, comes, &stop)).map_err(failed)?);
        // Not before the thread runs: pages that nobody has accessed yet are already missing.
        let range = Range { start: self.start, len: self.size as u64 };
        let mut register = Register { range, mode: MODE_MISSING, ioctls: 0 };
        // SAFETY: the structure is the one that the call reads and writes; the range is the
        // caller's mapping.
        check(unsafe { libc::ioctl(self.fd.as_raw_fd(), UFFDIO_REGISTER, &raw mut register) })?;
        let mode = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(file, mode, 0, self.size as u64).map_err(|error| failed(error.into()))
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Brings pages until it is asked to stop, then all others that hold anything.
fn serve(
    fd: &OwnedFd,
    start: u64,
    contents: &[u8],
    mut comes: impl FnMut(i32) -> bool,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Acquire) {
        is_awaited(fd, WAIT_MS);
        let mut message = [0u64; 4];
        // SAFETY: the buffer is ours, and as large as said; the descriptor does not block.
        let read = unsafe {
            libc::read(fd.as_raw_fd(), message.as_mut_ptr().cast(), size_of_val(&message))
        };
        if usize::try_from(read) == Ok(size_of_val(&message))
            && message[0] as u8 == EVENT_PAGE_FAULT
        {
            // `struct uffd_msg`: event, flags, address, thread.
            let (address, waiter) = (message[2], message[3] as i32);
            let mut patience = PATIENCE;
            while !comes(waiter) && patience > 0 && !is_awaited(fd, PAUSE_MS) {
                patience -= 1;
            }
            bring(fd, start, contents, (address - start) as usize / PAGE);
        }
    }
    for (page, held) in contents.chunks_exact(PAGE).enumerate() {
        // A page that is missing reads as zeros.
        if held.iter().any(|&byte| byte != 0) {
            bring(fd, start, contents, page);
        }
    }
}

/// Waits for a fault this long at most; whether there is one.
fn is_awaited(fd: &OwnedFd, milliseconds: i32) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: the structure is ours, and the only one.
    unsafe { libc::poll(&raw mut poll, 1, milliseconds) == 1 }
}

/// Brings a page if it is not there, and wakes those who wait for it.
fn bring(fd: &OwnedFd, start: u64, contents: &[u8], page: usize) {
    let Some(from) = contents.get(page * PAGE..(page + 1) * PAGE) else { return };
    let to = start + (page * PAGE) as u64;
    let mut copy = Copy { to, from: from.as_ptr() as u64, len: PAGE as u64, mode: 0, copied: 0 };
    let mut range = Range { start: to, len: PAGE as u64 };
    // SAFETY: the source is a page of ours; the target is in the registered range, and the call
    // fills only pages that are not there. For a page that is there, waking is enough.
    unsafe {
        if libc::ioctl(fd.as_raw_fd(), UFFDIO_COPY, &raw mut copy) != 0 {
            libc::ioctl(fd.as_raw_fd(), UFFDIO_WAKE, &raw mut range);
        }
    }
}

fn check(result: i32) -> Result<(), Failed> {
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

fn last_error() -> Failed {
    failed(io::Error::last_os_error())
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: io::Error) -> Failed {
    Failed { step: Step::LatePages, errno: error.raw_os_error().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::{Late, PAGE};
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

    #[test]
    fn pages_come_back_with_what_they_held() {
        const PAGES: usize = 16;
        let file =
            File::from(rustix::fs::memfd_create("late", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
        for page in 0..PAGES {
            file.write_all_at(&[page as u8 + 1; PAGE], (page * PAGE) as u64).unwrap();
        }
        let size = PAGES * PAGE;
        let range = (GuestAddress(0), size, Some(FileOffset::new(file.try_clone().unwrap(), 0)));
        let map = GuestMemoryMmap::<()>::from_ranges_with_files(&[range]).unwrap();
        // Where the kernel does not permit it, there is nothing to test.
        let Ok(mut late) = Late::ready(map.get_host_address(GuestAddress(0)).unwrap() as u64, size)
        else {
            return;
        };
        late.take(&file, |_| true).unwrap();
        let held = |page: usize| map.read_obj::<u8>(GuestAddress((page * PAGE) as u64)).unwrap();
        assert_eq!([held(3), held(15), held(3)], [4, 16, 4]);
        drop(late);
        assert!((0..PAGES).all(|page| held(page) == page as u8 + 1));
    }
}
