//! What a descriptor stands for: which file, and which open file description of it. A number alone says neither, once something
//! has closed descriptors by force and others have been opened in their place.

use std::os::fd::RawFd;

use super::random::random_u64;
use super::retry;

/// Marks are numbers below this, which every file system takes for an offset.
const MARKS: u64 = (1 << 31) - 1;
/// The mark of a description whose offset cannot be set.
const UNMARKED: u32 = MARKS as u32;

/// Whether a descriptor is open and belongs to this file.
pub(crate) fn same_file(fd: RawFd, device: u64, inode: u64) -> bool {
    // SAFETY: `stat` is a plain struct of integers, for which all zero is a value.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: any number may be asked for; the pointer is to a `stat` that lives across the call.
    let known = retry(|| unsafe { libc::fstat(fd, &raw mut status) }).is_ok();
    known && status.st_dev == device && status.st_ino == inode
}

/// Marks a description that nothing reads or writes by its offset: the offset is set to a random number, which is returned.
pub(crate) fn mark(fd: RawFd) -> u32 {
    let Ok(random) = random_u64() else { return UNMARKED };
    let mark = random % MARKS;
    // SAFETY: any number may be asked for, and no memory is involved.
    let offset = unsafe { libc::lseek(fd, mark as libc::off_t, libc::SEEK_SET) };
    if offset == mark as libc::off_t { mark as u32 } else { UNMARKED }
}

/// Whether a descriptor stands for the description that was marked so, or for any if that could not be marked.
pub(crate) fn is_marked(fd: RawFd, mark: u32) -> bool {
    // SAFETY: as in `mark`.
    mark == UNMARKED || unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) } == libc::off_t::from(mark)
}

#[cfg(test)]
#[path = "tests/description.rs"]
mod tests;
