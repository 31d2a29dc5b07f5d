//! A descriptor of the file that this process opened besides the one that the file is mapped by. Something may have closed it
//! by force, and then its number is another's. So wherever it is used it is known by device and inode, and by the offset of its
//! open file description, which nothing else uses: a number that nobody can guess was put there when it was opened. That tells it
//! from other descriptions of the same file too, be they of another handle or of another copy of this crate.

use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::os::description;
use crate::os::identity::WipedPage;

/// A file, for as long as anybody has it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    pub device: u64,
    pub inode: u64,
}

impl FileId {
    /// Whether a descriptor is open on this file.
    pub fn is_open_as(self, fd: RawFd) -> bool {
        description::same_file(fd, self.device, self.inode)
    }
}

/// A number, and the offset that its description was marked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marked(u64);

impl Marked {
    const NONE: Self = Self(u64::MAX);

    /// The description must be this process's own.
    fn new(fd: RawFd) -> Self {
        Self(u64::from(description::mark(fd)) << 32 | u64::from(fd as u32))
    }

    fn number(self) -> RawFd {
        self.0 as u32 as RawFd
    }

    fn is_open_on(self, file: FileId) -> bool {
        self != Self::NONE && file.is_open_as(self.number()) && description::is_marked(self.number(), (self.0 >> 32) as u32)
    }
}

/// A place for one descriptor. What stands there was put there by this very process; or it is a copy, and stands for the
/// same open file description as its parent's, in a child for which no fork handler ran.
#[derive(Debug)]
pub(super) struct Descriptor {
    place: AtomicU64,
    file: FileId,
    page: Arc<WipedPage>,
    /// The word of the page that is 1 once this process has put something here.
    mark: usize,
}

impl Descriptor {
    pub fn new(file: FileId, page: Arc<WipedPage>, mark: usize) -> Self {
        Self { place: AtomicU64::new(Marked::NONE.0), file, page, mark }
    }

    fn here(&self) -> Marked {
        Marked(self.place.load(Ordering::Acquire))
    }

    fn store(&self, marked: Marked) {
        self.place.store(marked.0, Ordering::Release);
        self.page.word(self.mark).store(1, Ordering::Relaxed);
    }

    /// Puts a descriptor here that was just opened. What stands here is neither used nor closed any more.
    pub fn put(&self, fd: impl IntoRawFd) {
        self.store(Marked::new(fd.into_raw_fd()));
    }

    /// What stands here, if it is still open.
    pub fn get(&self) -> Option<BorrowedFd<'_>> {
        let here = self.here();
        // SAFETY: a descriptor that stands here is open until it is taken from here. Should a stranger close it by force from
        // here on, then calls on it fail or are answered for another file; no memory is at stake.
        here.is_open_on(self.file).then(|| unsafe { BorrowedFd::borrow_raw(here.number()) })
    }

    /// Takes away what stands here, if it is still open. If not, it is forgotten.
    pub fn take(&self) -> Option<OwnedFd> {
        let here = Marked(self.place.swap(Marked::NONE.0, Ordering::AcqRel));
        // SAFETY: the number was taken from its only place by the swap, and is open on the description that was opened for it.
        here.is_open_on(self.file).then(|| unsafe { OwnedFd::from_raw_fd(here.number()) })
    }

    pub fn close(&self) {
        drop(self.take());
    }

    /// Closes what stands here if it is a copy of a parent's, and tells whether it was.
    pub fn close_copy(&self) -> bool {
        let is_copy = self.here() != Marked::NONE && self.page.word(self.mark).load(Ordering::Relaxed) == 0;
        if is_copy {
            self.close();
        }
        is_copy
    }

    /// Moves what stands in another place here. Whoever looks in between finds it in both.
    pub fn put_from(&self, other: &Self) {
        let marked = other.here();
        if marked.is_open_on(other.file) {
            self.store(marked);
        }
        other.place.store(Marked::NONE.0, Ordering::Release);
    }
}

#[cfg(test)]
#[path = "tests/descriptor.rs"]
mod tests;
