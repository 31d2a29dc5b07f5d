//! Keeps an open file description, and the locks that belong to it, for exactly as long as this process has its memory.
//!
//! A mapping keeps its description open, whatever becomes of descriptors; one that forked children do not inherit
//! (`MADV_DONTFORK`) ends with the memory of this very process, at its death or when it goes on to another program (`exec`).
//! So a lock of that description says that this memory, through which the process could still write, is there: no more and
//! no less. It stays when something closes all descriptors by force, and no child holds it, by whatever call it was made.
//! (The child of `vfork` has its parent's memory, and is its parent in this respect.)
//!
//! Only file systems whose mappings keep the very file that was opened can be relied upon for that, as those do that are on
//! the list; overlayfs puts a file of the layer below in its place.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::identity::WipedPage;
use crate::fault;

/// Rounded up to a page by the kernel.
const BYTES: usize = 1;

/// The place of an anchor in a [`WipedPage`], where a child finds none, as it has none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Anchor<'a> {
    /// The address of the mapping, or zero.
    word: &'a AtomicU64,
}

impl WipedPage {
    /// An anchor in the word with this number, which nothing else may use.
    pub(crate) fn anchor(&self, index: usize) -> Anchor<'_> {
        Anchor { word: self.word(index) }
    }
}

impl Anchor<'_> {
    /// Keeps a description that is open for reading. To be called before anything of it is locked, by one thread at a
    /// time, and while nobody forks ([`between_forks`](super::fork::between_forks)): a child that comes in the middle of this
    /// inherits the mapping. What was kept here before is given up.
    pub(crate) fn hold(self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.release();
        // SAFETY: a new mapping at an address that the kernel chooses touches no memory that is in use, and nobody may look
        // into it, so what becomes of the file does not matter.
        let address = unsafe { libc::mmap(ptr::null_mut(), BYTES, libc::PROT_NONE, libc::MAP_SHARED, fd.as_raw_fd(), 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // Relaxed: read by this thread, and by those that it is handed to under a lock.
        self.word.store(address as u64, Ordering::Relaxed);
        // SAFETY: the range is the mapping just made. The calls change only what a child and a core dump find there.
        let result = unsafe {
            let result = libc::madvise(address, BYTES, libc::MADV_DONTFORK);
            libc::madvise(address, BYTES, libc::MADV_DONTDUMP);
            result
        };
        if result != 0 {
            self.release();
            return Err(io::Error::from_raw_os_error(libc::EINVAL)); // a kernel without it (before Linux 2.6.16)
        }
        Ok(())
    }

    /// Gives the description up. With the last descriptor of it gone, its locks are free when this returns.
    pub(crate) fn release(self) {
        fault::point();
        let address = self.word.swap(0, Ordering::Relaxed) as usize;
        if address != 0 {
            // SAFETY: the word is in a page that a child finds zero, so it was this process that mapped this address, in
            // `hold`; the swap took it from its only place. Nobody has a reference into it.
            unsafe { libc::munmap(ptr::without_provenance_mut(address), BYTES) };
        }
    }
}

#[cfg(test)]
#[path = "tests/anchor.rs"]
mod tests;
