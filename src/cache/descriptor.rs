//! A descriptor of the file that this process opened besides the one that the file is mapped by, known by device and inode
//! wherever it is used: something may have closed it by force, and then its number is another file's.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::os::fork;
use crate::os::identity::WipedPage;

const NONE: RawFd = -1;

/// A file, for as long as anybody has it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    pub device: u64,
    pub inode: u64,
}

impl FileId {
    /// Whether a descriptor is open on this file.
    pub fn is_open_as(self, fd: RawFd) -> bool {
        fork::same_file(fd, self.device, self.inode)
    }
}

/// A place for one descriptor. What stands there was put there by this very process; or it is a copy, and stands for the
/// same open file description as its parent's, in a child for which no fork handler ran.
#[derive(Debug)]
pub(super) struct Descriptor {
    number: AtomicI32,
    file: FileId,
    page: Arc<WipedPage>,
    /// The word of the page that is 1 once this process has put something here.
    mark: usize,
}

impl Descriptor {
    pub fn new(file: FileId, page: Arc<WipedPage>, mark: usize) -> Self {
        Self { number: AtomicI32::new(NONE), file, page, mark }
    }

    /// Puts a descriptor here. What stands here is neither used nor closed any more.
    pub fn put(&self, fd: impl IntoRawFd) {
        self.number.store(fd.into_raw_fd(), Ordering::Release);
        self.page.word(self.mark).store(1, Ordering::Relaxed);
    }

    /// What stands here, if it is still open on our file.
    pub fn get(&self) -> Option<BorrowedFd<'_>> {
        let fd = self.number.load(Ordering::Acquire);
        // SAFETY: a descriptor that stands here is open until it is taken from here. Should a stranger close it by force from
        // here on, then calls on it fail or are answered for another file; no memory is at stake.
        self.file.is_open_as(fd).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
    }

    /// Takes away what stands here, if it is still open on our file. If not, it is forgotten.
    pub fn take(&self) -> Option<OwnedFd> {
        let fd = self.number.swap(NONE, Ordering::AcqRel);
        // SAFETY: the number was ours to close, was taken from its only place by the swap, and is still open on our file.
        self.file.is_open_as(fd).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
    }

    pub fn close(&self) {
        drop(self.take());
    }

    /// Closes what stands here if it is a copy of a parent's, and tells whether it was.
    pub fn close_copy(&self) -> bool {
        let is_copy = self.number.load(Ordering::Acquire) != NONE && self.page.word(self.mark).load(Ordering::Relaxed) == 0;
        if is_copy {
            self.close();
        }
        is_copy
    }

    /// Moves what stands in another place here. Whoever looks in between finds it in both.
    pub fn put_from(&self, other: &Self) {
        if let Some(fd) = other.get() {
            self.put(fd.as_raw_fd());
        }
        other.number.store(NONE, Ordering::Release);
    }
}
