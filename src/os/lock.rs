//! Byte-range locks that belong to an open file description (`F_OFD_SETLK`).
//!
//! The kernel drops such a lock when the last descriptor (and the last mapping) of its description goes, so at the latest when
//! its holder ends, in whatever way. Two descriptions of one file exclude each other even within one process; two
//! descriptors of *one* description (`dup`, `fork`) do not. A range of length 0 reaches to the end of all files.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use super::retry;
use crate::error::OpenError;
use crate::fault;

/// How a range is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Any number may hold it. The descriptor must be open for reading.
    Shared,
    /// One alone may hold it. The descriptor must be open for writing.
    Exclusive,
}

/// Locks the range if no other description holds a lock that excludes it. False: another does.
#[cfg_attr(shmemo_fault, track_caller)]
pub(crate) fn try_lock(fd: BorrowedFd<'_>, start: u64, len: u64, kind: Kind) -> io::Result<bool> {
    fault::point();
    let mut range = range(lock_type(kind), start, len)?;
    match control(fd, libc::F_OFD_SETLK, &mut range) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Locks the range, and waits for as long as another description holds a lock that excludes it, but not after `is_over`
/// says so, which is asked before each pause. Tells whether it was locked. (Not `F_OFD_SETLKW`, which waits for a holder
/// that is stopped for as long as it is stopped.)
#[cfg_attr(shmemo_fault, track_caller)]
pub(crate) fn lock_unless(
    fd: BorrowedFd<'_>,
    start: u64,
    len: u64,
    kind: Kind,
    mut is_over: impl FnMut() -> bool,
) -> io::Result<bool> {
    const LONGEST_PAUSE: Duration = Duration::from_millis(5);
    let mut pause = Duration::from_micros(50);
    while !try_lock(fd, start, len, kind)? {
        if is_over() {
            return Ok(false);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(true)
}

/// Locks the range within so long, or fails with [`io::ErrorKind::TimedOut`].
#[cfg_attr(shmemo_fault, track_caller)]
pub(crate) fn lock_within(fd: BorrowedFd<'_>, start: u64, len: u64, kind: Kind, patience: Duration) -> io::Result<()> {
    let begun = Instant::now();
    if lock_unless(fd, start, len, kind, || begun.elapsed() >= patience)? { Ok(()) } else { Err(timed_out(patience)) }
}

/// Says that a lock could not be had because its holder stands still.
pub(crate) fn timed_out(patience: Duration) -> io::Error {
    let text = format!(
        "another process has held the lock for more than {} s: it may be stopped (SIGSTOP, a debugger). Continue or end it \
         (`lslocks`, `fuser`), and open again",
        patience.as_secs_f32()
    );
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// Gives up what this description holds of the range. It is no error if that is nothing.
#[cfg_attr(shmemo_fault, track_caller)]
pub(crate) fn unlock(fd: BorrowedFd<'_>, start: u64, len: u64) -> io::Result<()> {
    fault::point();
    control(fd, libc::F_OFD_SETLK, &mut range(libc::F_UNLCK, start, len)?)
}

/// Whether another description holds any lock, shared or exclusive, on any part of the range. What this description holds
/// itself does not count.
pub(crate) fn locked_by_another(fd: BorrowedFd<'_>, start: u64, len: u64) -> io::Result<bool> {
    let mut range = range(libc::F_WRLCK, start, len)?;
    control(fd, libc::F_OFD_GETLK, &mut range)?;
    Ok(i32::from(range.l_type) != libc::F_UNLCK)
}

/// Asks once whether the file can have locks of this kind at all.
pub(crate) fn check(fd: BorrowedFd<'_>, path: &Path) -> Result<(), OpenError> {
    locked_by_another(fd, 0, 1).map(drop).map_err(|source| open_error("lock the file", path, source))
}

/// The error to report when a lock fails while a file is opened: [`OpenError::NoFileLocks`] where there are none.
pub(crate) fn open_error(what: &'static str, path: &Path, source: io::Error) -> OpenError {
    match source.raw_os_error() {
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::ENOLCK) => {
            OpenError::NoFileLocks { path: path.to_owned(), source }
        }
        _ => OpenError::io(what, path, source),
    }
}

fn lock_type(kind: Kind) -> i32 {
    match kind {
        Kind::Shared => libc::F_RDLCK,
        Kind::Exclusive => libc::F_WRLCK,
    }
}

fn range(lock_type: i32, start: u64, len: u64) -> io::Result<libc::flock> {
    let offset = |n: u64| {
        libc::off_t::try_from(n)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the range lies past the end of all files"))
    };
    // SAFETY: `flock` is a plain struct of integers, for which all zero is a value.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = lock_type as libc::c_short;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    range.l_start = offset(start)?;
    range.l_len = offset(len)?;
    Ok(range)
}

fn control(fd: BorrowedFd<'_>, command: libc::c_int, range: &mut libc::flock) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed, so it is open; the pointer is to a `flock` that lives across the call.
    retry(|| unsafe { libc::fcntl(fd.as_raw_fd(), command, &raw mut *range) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::tests::{Scratch, in_child, wait_until};
    use std::fs::{File, OpenOptions};
    use std::os::fd::AsFd;

    fn description(scratch: &Scratch) -> File {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(scratch.path("locks")).unwrap()
    }

    #[test]
    fn descriptions_exclude_each_other_and_duplicates_do_not() {
        let scratch = Scratch::new();
        let (one, two) = (description(&scratch), description(&scratch));
        let duplicate = one.try_clone().unwrap();
        assert!(try_lock(one.as_fd(), 100, 1, Kind::Exclusive).unwrap());
        assert!(try_lock(duplicate.as_fd(), 100, 1, Kind::Exclusive).unwrap());
        assert!(!locked_by_another(duplicate.as_fd(), 100, 1).unwrap());
        assert!(!try_lock(two.as_fd(), 100, 1, Kind::Exclusive).unwrap());
        assert!(!try_lock(two.as_fd(), 100, 1, Kind::Shared).unwrap());
        assert!(try_lock(two.as_fd(), 101, 1, Kind::Exclusive).unwrap());
        assert!(locked_by_another(two.as_fd(), 0, 0).unwrap());
        unlock(duplicate.as_fd(), 100, 1).unwrap();
        assert!(!locked_by_another(two.as_fd(), 100, 1).unwrap());
    }

    #[test]
    fn shared_locks_go_together_and_are_seen() {
        let scratch = Scratch::new();
        let (one, two) = (description(&scratch), description(&scratch));
        assert!(try_lock(one.as_fd(), 5, 5, Kind::Shared).unwrap());
        assert!(try_lock(two.as_fd(), 5, 5, Kind::Shared).unwrap());
        assert!(locked_by_another(two.as_fd(), 9, 1).unwrap());
        assert!(!try_lock(two.as_fd(), 9, 1, Kind::Exclusive).unwrap());
    }

    #[test]
    fn a_lock_dies_with_its_holder_and_whoever_waits_gets_it() {
        let scratch = Scratch::new();
        let file = description(&scratch);
        let path = scratch.path("locks");
        let child = in_child(move || {
            let own = OpenOptions::new().read(true).write(true).open(path).unwrap();
            assert!(try_lock(own.as_fd(), 7, 1, Kind::Exclusive).unwrap());
            loop {
                std::thread::sleep(std::time::Duration::from_secs(1));
            }
        });
        wait_until("the child's lock", || locked_by_another(file.as_fd(), 7, 1).unwrap());
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| lock_within(file.as_fd(), 7, 1, Kind::Exclusive, Duration::from_secs(60)));
            child.kill();
            waiter.join().unwrap().unwrap();
        });
    }

    #[test]
    fn nobody_waits_for_ever() {
        let scratch = Scratch::new();
        let (one, two) = (description(&scratch), description(&scratch));
        assert!(try_lock(one.as_fd(), 3, 1, Kind::Exclusive).unwrap());
        let error = lock_within(two.as_fd(), 3, 1, Kind::Shared, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut asked = 0;
        let locked = lock_unless(two.as_fd(), 3, 1, Kind::Shared, || {
            asked += 1;
            asked == 3
        });
        assert_eq!((locked.unwrap(), asked), (false, 3));
    }

    #[test]
    fn a_system_without_such_locks_is_an_error_of_its_own() {
        let error = |number| open_error("lock the file", Path::new("x"), io::Error::from_raw_os_error(number));
        for number in [libc::EINVAL, libc::ENOSYS, libc::EOPNOTSUPP, libc::ENOLCK] {
            let mapped = error(number);
            assert!(
                matches!(&mapped, OpenError::NoFileLocks { source, .. } if source.raw_os_error() == Some(number)),
                "{mapped}"
            );
        }
        assert!(matches!(error(libc::EACCES), OpenError::PermissionDenied { .. }));
        assert!(matches!(error(libc::EIO), OpenError::Io { what: "lock the file", .. }));
    }

    #[test]
    fn a_range_that_no_file_has_is_an_error() {
        let scratch = Scratch::new();
        let error = try_lock(description(&scratch).as_fd(), u64::MAX, 1, Kind::Shared).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
