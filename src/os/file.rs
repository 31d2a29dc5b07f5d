//! Opening a file that is there, so that nothing is accepted but a regular file whose writers are to be trusted.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::filesystem;
use crate::error::OpenError;

/// How files are opened and created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileOptions {
    /// The permission bits of a new file, and the most that an existing one may grant for writing. If they let the group or
    /// others write, the file may belong to another user: whoever asks for such a mode trusts those users.
    pub(crate) mode: u32,
    /// Accepts file systems that are not known to work.
    pub(crate) allow_unknown_filesystem: bool,
    /// What a file of this crate begins with.
    pub(crate) magic: [u8; 8],
}

/// An open file that passed all checks. Nothing has been read from it.
#[derive(Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "the tests of this layer look at all that it found"))]
pub(crate) struct OpenedFile {
    /// The file, open for reading and writing.
    pub(crate) file: File,
    /// The device that it lies on; with `inode` this names the file for as long as it is open.
    pub(crate) device: u64,
    /// Its inode.
    pub(crate) inode: u64,
    /// Its length when it was opened, in bytes.
    pub(crate) len: u64,
    /// Its permission bits.
    pub(crate) mode: u32,
    /// What is known of the file system that it lies on.
    pub(crate) kind: filesystem::Kind,
}

impl OpenedFile {
    /// Describes a file that is open, and was checked.
    pub(super) fn new(file: File, path: &Path, kind: filesystem::Kind) -> Result<Self, OpenError> {
        let metadata = file.metadata().map_err(|source| OpenError::io("look at the file", path, source))?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            mode: metadata.mode() & 0o7777,
            kind,
            file,
        })
    }
}

/// Opens a file for reading and writing. It is never created; a symbolic link in its last place is not followed; nothing
/// blocks. All checks are made on the open descriptor, so that nobody can put another file in its place in between.
pub(crate) fn open_existing(path: &Path, options: &FileOptions) -> Result<OpenedFile, OpenError> {
    // To open a device or a FIFO can have effects of its own. This look spares them; the one that counts comes after.
    if let Ok(metadata) = fs::symlink_metadata(path) {
        check_regular(path, metadata.file_type())?;
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|source| refused(path, source))?;
    let metadata = file.metadata().map_err(|source| OpenError::io("look at the file", path, source))?;
    check_regular(path, metadata.file_type())?;
    check_writers(path, metadata.uid(), metadata.mode(), effective_user(), options.mode)?;
    let kind = filesystem::check(file.as_fd(), path, options.allow_unknown_filesystem)?;
    OpenedFile::new(file, path, kind)
}

/// Whether the path still names the file with this device and inode. A path that cannot be looked at does not.
pub(crate) fn is_same_file(path: &Path, device: u64, inode: u64) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| is(&metadata, device, inode))
}

/// Opens the same file once more, so that locks on the two exclude each other. It needs `/proc`, and the right to open the
/// file that this process has now, but no path of the file.
pub(crate) fn reopen(file: &File) -> io::Result<File> {
    let expected = file.metadata()?;
    let open =
        |link: PathBuf| OpenOptions::new().read(true).write(true).custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK).open(link);
    let [of_thread, of_process] = descriptor_links(file);
    let again = open(of_thread).or_else(|_| open(of_process))?;
    if !is(&again.metadata()?, expected.dev(), expected.ino()) {
        return Err(io::Error::other("/proc shows another file for this descriptor"));
    }
    Ok(again)
}

/// Opens the same file once more by a path, if that still names it.
pub(crate) fn open_again(path: &Path, device: u64, inode: u64) -> io::Result<File> {
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let again = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    if !is(&again.metadata()?, device, inode) {
        return Err(io::Error::other("the path names another file by now"));
    }
    Ok(again)
}

/// The names that `/proc` gives to an open descriptor. The second fails once the first thread of the process has ended, the
/// first on a `/proc` that does not know threads.
pub(super) fn descriptor_links(file: &File) -> [PathBuf; 2] {
    ["thread-self", "self"].map(|who| format!("/proc/{who}/fd/{}", file.as_raw_fd()).into())
}

/// The user whose rights this process has.
pub(super) fn effective_user() -> u32 {
    // SAFETY: the call only reads, and cannot fail.
    unsafe { libc::geteuid() }
}

/// Says what a path names, if it is not a regular file.
pub(super) fn check_regular(path: &Path, kind: FileType) -> Result<(), OpenError> {
    let kind = match kind {
        kind if kind.is_file() => return Ok(()),
        kind if kind.is_symlink() => "symbolic link",
        kind if kind.is_dir() => "directory",
        kind if kind.is_fifo() => "FIFO",
        kind if kind.is_socket() => "socket",
        _ => "device",
    };
    Err(OpenError::NotARegularFile { path: path.to_owned(), kind })
}

/// Checks that the file belongs to this user, or to anybody if `allowed_mode` lets others write, and that its mode lets no
/// more users write than that. To let others read is no trust in what they put there.
pub(super) fn check_writers(path: &Path, owner: u32, mode: u32, user: u32, allowed_mode: u32) -> Result<(), OpenError> {
    let trusts_others = allowed_mode & 0o022 != 0;
    if owner != user && !trusts_others {
        return Err(OpenError::WrongOwner { path: path.to_owned(), found: owner, expected: user });
    }
    if mode & !allowed_mode & 0o022 != 0 {
        return Err(OpenError::WrongMode { path: path.to_owned(), found: mode & 0o7777, allowed: allowed_mode & 0o7777 });
    }
    Ok(())
}

fn is(metadata: &Metadata, device: u64, inode: u64) -> bool {
    metadata.dev() == device && metadata.ino() == inode
}

/// What it means that a path cannot be opened.
fn refused(path: &Path, source: io::Error) -> OpenError {
    let named = |kind| OpenError::NotARegularFile { path: path.to_owned(), kind };
    match source.raw_os_error() {
        Some(libc::ENOENT) => OpenError::NotFound { path: path.to_owned() },
        Some(libc::EISDIR) => named("directory"),
        Some(libc::ENXIO) => named("socket"),
        // Otherwise there are too many links among the directories above.
        Some(libc::ELOOP) if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) => named("symbolic link"),
        _ => OpenError::io("open the file", path, source),
    }
}
