//! Which file systems are known to work, and how much room one has.
//!
//! A cache needs locks that every process on the machine sees, mappings that are coherent between them, and space that stays
//! reserved. So there is a list of those taken, rather than of those refused: overlayfs, for one, shows one file under two
//! paths whose locks do not see each other.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use super::retry;
use crate::error::OpenError;

/// What is known of the file system that a file lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Its files are memory: they count against memory limits, and are gone after a reboot.
    pub(crate) memory: bool,
    /// It is on the list of those known to work.
    pub(crate) known: bool,
}

const TAKEN: &[(u64, &str, bool)] = &[
    (0x0102_1994, "tmpfs", true),
    (0x8584_58f6, "ramfs", true),
    (0xef53, "ext4", false),
    (0x5846_5342, "xfs", false),
    (0x9123_683e, "btrfs", false),
    (0xf2f5_2010, "f2fs", false),
];

/// The names of the usual ones that are refused, so that the error can say them.
const REFUSED: &[(u64, &str)] = &[
    (0x794c_7630, "overlayfs"),
    (0x6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x517b, "smb"),
    (0x6573_5546, "fuse or virtiofs"),
    (0x0102_1997, "9p"),
    (0x786f_4256, "vboxsf"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x6b41_4653, "afs"),
    (0x7375_7245, "coda"),
    (0x7461_636f, "ocfs2"),
    (0x0116_1970, "gfs2"),
    (0x0bd0_0bd0, "lustre"),
    (0x4750_4653, "gpfs"),
    (0x2fc1_2fc1, "zfs"),
    (0xca45_1a4e, "bcachefs"),
    (0x9584_58f6, "hugetlbfs"),
    (0xf15f, "ecryptfs"),
    (0x4d44, "vfat"),
    (0x2011_bab0, "exfat"),
    (0x5346_544e, "ntfs"),
    (0x7366_746e, "ntfs3"),
    (0x5265_4973, "reiserfs"),
    (0x3153_464a, "jfs"),
    (0x3434, "nilfs2"),
    (0x7371_7368, "squashfs"),
    (0xe0f5_e1e2, "erofs"),
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x0027_e0eb, "cgroup"),
    (0x6367_7270, "cgroup2"),
];

/// Looks at the file system of an open file or directory. One that is not on the list is an error, unless the caller takes
/// its chances by `allow_unknown`.
pub(crate) fn check(fd: BorrowedFd<'_>, path: &Path, allow_unknown: bool) -> Result<Kind, OpenError> {
    let magic = magic(fd).map_err(|source| OpenError::io("ask for the file system of the file", path, source))?;
    match TAKEN.iter().find(|taken| taken.0 == magic) {
        Some(&(_, _, memory)) => Ok(Kind { memory, known: true }),
        None if allow_unknown => Ok(Kind { memory: false, known: false }),
        None => Err(OpenError::UnsupportedFilesystem { path: path.to_owned(), magic, name: name(magic) }),
    }
}

/// The number of the file system that an open file or directory lies on.
pub(crate) fn magic(fd: BorrowedFd<'_>) -> io::Result<u64> {
    // Numbers over 2^31 come sign extended from some kernels and libraries.
    statfs(fd).map(|status| status.f_type as u64 & 0xffff_ffff)
}

/// The usual name of a file system.
pub(crate) fn name(magic: u64) -> &'static str {
    let taken = TAKEN.iter().find(|taken| taken.0 == magic).map(|taken| taken.1);
    let refused = || REFUSED.iter().find(|refused| refused.0 == magic).map(|refused| refused.1);
    taken.or_else(refused).unwrap_or("unknown")
}

/// How many bytes an unprivileged process may still use. `u64::MAX`: the file system itself sets no limit.
pub(crate) fn available_bytes(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let status = statfs(fd)?;
    if status.f_blocks == 0 {
        return Ok(u64::MAX);
    }
    let block = if status.f_frsize > 0 { status.f_frsize } else { status.f_bsize };
    Ok((status.f_bavail as u64).saturating_mul(block as u64))
}

fn statfs(fd: BorrowedFd<'_>) -> io::Result<libc::statfs> {
    // SAFETY: `statfs` is a plain struct of integers, for which all zero is a value.
    let mut status: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is borrowed, so it is open; the pointer is to a `statfs` that lives across the call.
    retry(|| unsafe { libc::fstatfs(fd.as_raw_fd(), &raw mut status) })?;
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn shared_memory_is_taken_and_has_room() {
        let directory = File::open("/dev/shm").unwrap();
        assert_eq!(check(directory.as_fd(), Path::new("/dev/shm"), false).unwrap(), Kind { memory: true, known: true });
        assert!(available_bytes(directory.as_fd()).unwrap() > 0);
    }

    #[test]
    fn proc_is_refused_by_name_unless_allowed() {
        let file = File::open("/proc/self/stat").unwrap();
        let path = Path::new("/proc/self/stat");
        let error = check(file.as_fd(), path, false).unwrap_err();
        assert!(matches!(error, OpenError::UnsupportedFilesystem { magic: 0x9fa0, name: "proc", .. }), "{error}");
        assert_eq!(check(file.as_fd(), path, true).unwrap(), Kind { memory: false, known: false });
    }

    #[test]
    fn no_number_is_listed_twice() {
        let mut numbers: Vec<u64> = TAKEN.iter().map(|t| t.0).chain(REFUSED.iter().map(|r| r.0)).collect();
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!((name(0x794c_7630), name(0xef53), name(1)), ("overlayfs", "ext4", "unknown"));
    }
}
