//! Making a new file that appears under its name only when it is complete.
//!
//! One process creates at a time (`creation.rs`). The file has no name until it is whole, or, where the file system cannot do
//! that, a temporary one that the next creator removes. All its space is allocated before it gets its name.

use std::ffi::{CString, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::creation::CreationLock;
use super::file::{self, FileOptions, OpenedFile};
use super::{filesystem, retry, space};
use crate::error::OpenError;
use crate::fault;

/// Creates the file of a path. `init` writes what must be in it from the first moment; it may be called twice, each time for
/// an empty file. On any failure nothing is left behind, and the path names what it named before.
pub(crate) fn create_file(
    _held: &CreationLock,
    path: &Path,
    options: &FileOptions,
    len: u64,
    replace: bool,
    init: &mut dyn FnMut(&File) -> io::Result<()>,
) -> Result<OpenedFile, OpenError> {
    fault::point();
    let temporary = sibling(path, ".shmemo-tmp")?;
    // A creator that was killed may have left one. Nobody else uses it while the lock is held.
    remove_stale(&temporary, options.magic)?;
    fault::point();
    if let Some(file) = open_unnamed(path)? {
        let opened = fill(file, path, options, len, init)?;
        fault::point();
        match publish_unnamed(&opened.file, path, &temporary, replace)? {
            Published::Yes => return Ok(opened),
            Published::NotPossible => drop(opened),
        }
    }
    create_named(path, &temporary, options, len, replace, init)
}

/// The same by a temporary name.
fn create_named(
    path: &Path,
    temporary: &Path,
    options: &FileOptions,
    len: u64,
    replace: bool,
    init: &mut dyn FnMut(&File) -> io::Result<()>,
) -> Result<OpenedFile, OpenError> {
    fault::point();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW)
        .open(temporary)
        .map_err(|source| OpenError::io("create a temporary file", temporary, source))?;
    let opened = fill(file, path, options, len, init).and_then(|opened| {
        fault::point();
        let flags = if replace { 0 } else { libc::RENAME_NOREPLACE };
        rename(temporary, path, flags).map_err(|source| unpublished(path, source)).map(|()| opened)
    });
    opened.inspect_err(|_| {
        let _ = fs::remove_file(temporary);
    })
}

/// Checks the room, allocates all space, sets the mode, and lets `init` write.
fn fill(
    file: File,
    path: &Path,
    options: &FileOptions,
    len: u64,
    init: &mut dyn FnMut(&File) -> io::Result<()>,
) -> Result<OpenedFile, OpenError> {
    let kind = filesystem::check(file.as_fd(), path, options.allow_unknown_filesystem)?;
    fault::point();
    allocate(&file, path, kind.memory, len)?;
    fault::point();
    // Whatever the umask is.
    file.set_permissions(Permissions::from_mode(options.mode & 0o777))
        .map_err(|source| OpenError::io("set the mode of the new file", path, source))?;
    fault::point();
    init(&file).map_err(|source| OpenError::io("write the new file", path, source))?;
    if !kind.memory {
        // So that a loss of power leaves no file that is named and empty.
        file.sync_data().map_err(|source| OpenError::io("write the new file", path, source))?;
    }
    fault::point();
    OpenedFile::new(file, path, kind)
}

/// Allocates all space of an empty file, after a look at whether there is enough.
pub(super) fn allocate(file: &File, path: &Path, memory: bool, len: u64) -> Result<(), OpenError> {
    check_size_limit(path, len)?;
    reserve(file, path, memory, len, len)
}

/// Allocates what is missing in a file that has holes, as a copy may have: to write there when the file system is full would be a
/// SIGBUS.
pub(crate) fn fill_holes(opened: &OpenedFile, path: &Path, len: u64) -> Result<(), OpenError> {
    let metadata = opened.file.metadata().map_err(|source| OpenError::io("look at the file", path, source))?;
    let missing = len.saturating_sub(metadata.blocks().saturating_mul(512));
    if missing > 0 { reserve(&opened.file, path, opened.kind.memory, len, missing) } else { Ok(()) }
}

/// Allocates the first `len` bytes of a file, of which so many are missing.
fn reserve(file: &File, path: &Path, memory: bool, len: u64, missing: u64) -> Result<(), OpenError> {
    space::check_room(file.as_fd(), path, memory, missing)?;
    let reserve = |offset: u64, count: u64| {
        // SAFETY: the descriptor is open; no memory is passed. Both numbers are below 2^63: `len` is under the limit, or the length
        // of a file.
        let result = unsafe { libc::fallocate(file.as_raw_fd(), 0, offset as libc::off_t, count as libc::off_t) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    let Err((done, source)) = in_pieces(len, reserve) else { return Ok(()) };
    match source.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT | libc::ENOMEM) => {
            let available = filesystem::available_bytes(file.as_fd()).unwrap_or(0).saturating_add(done).min(missing - 1);
            Err(OpenError::NoSpace { path: path.to_owned(), needed: missing, available })
        }
        Some(libc::EOPNOTSUPP | libc::ENOSYS) => {
            let magic = filesystem::magic(file.as_fd()).unwrap_or(0);
            Err(OpenError::UnsupportedFilesystem { path: path.to_owned(), magic, name: filesystem::name(magic) })
        }
        _ => Err(OpenError::io("allocate the space of the file", path, source)),
    }
}

/// Reserves a length in pieces, smaller ones after each interruption: some kernels give up all that an interrupted call had
/// allocated, and a profiler may send signals faster than a large file is allocated. An error says how much was done.
fn in_pieces(len: u64, mut reserve: impl FnMut(u64, u64) -> io::Result<()>) -> Result<(), (u64, io::Error)> {
    const LEAST: u64 = 1 << 20;
    let mut piece = 64 << 20;
    let mut done = 0;
    while done < len {
        let count = piece.min(len - done);
        match reserve(done, count) {
            Ok(()) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => piece = (piece / 2).max(LEAST),
            Err(error) => return Err((done, error)),
        }
    }
    Ok(())
}

/// Past the limit on file sizes (`ulimit -f`) the kernel sends SIGXFSZ, which kills; so it is asked first.
fn check_size_limit(path: &Path, len: u64) -> Result<(), OpenError> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to an `rlimit` that lives across the call.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) } == 0;
    let most = if known && limit.rlim_cur != libc::RLIM_INFINITY { limit.rlim_cur } else { i64::MAX as u64 };
    if len <= most {
        return Ok(());
    }
    let text = format!("{len} bytes are needed, and this process may make files of {most} (ulimit -f)");
    let source = io::Error::new(io::ErrorKind::FileTooLarge, text);
    Err(OpenError::Io { what: "allocate the space of the file", path: Some(path.to_owned()), source })
}

/// A file without a name in the directory of `path`. `None`: this kernel or file system has none.
pub(super) fn open_unnamed(path: &Path) -> Result<Option<File>, OpenError> {
    let directory = parent(path);
    let opened =
        OpenOptions::new().read(true).write(true).mode(0o600).custom_flags(libc::O_CLOEXEC | libc::O_TMPFILE).open(directory);
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR | libc::ENOENT | libc::EINVAL)) => {
            Ok(None)
        }
        Err(source) => Err(OpenError::io("create a file in the directory", directory, source)),
    }
}

enum Published {
    Yes,
    /// A file without a name cannot be given one here.
    NotPossible,
}

fn publish_unnamed(file: &File, path: &Path, temporary: &Path, replace: bool) -> Result<Published, OpenError> {
    let name = if replace { temporary } else { path };
    match link(file, name) {
        Ok(()) if replace => rename(temporary, path, 0).map(|()| Published::Yes).map_err(|source| {
            let _ = fs::remove_file(temporary);
            unpublished(path, source)
        }),
        Ok(()) => Ok(Published::Yes),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(unpublished(path, error)),
        Err(_) => Ok(Published::NotPossible),
    }
}

/// Gives a name to a file that has none. It fails if the name is taken.
pub(super) fn link(file: &File, name: &Path) -> io::Result<()> {
    let name = c_path(name)?;
    let link_from = |from: &Path, flags| {
        let from = c_path(from)?;
        // SAFETY: both pointers are to strings that end with a zero and live across the call.
        retry(|| unsafe { libc::linkat(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, name.as_ptr(), flags) }).map(drop)
    };
    let mut result = Err(io::Error::from_raw_os_error(libc::ENOENT));
    for from in file::descriptor_links(file) {
        result = link_from(&from, libc::AT_SYMLINK_FOLLOW);
        if !result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return result;
        }
    }
    // Without /proc: allowed to a privileged process, and from 6.10 to whoever opened the file.
    // SAFETY: the descriptor is open; both pointers are to strings that end with a zero and live across the call.
    let by_descriptor =
        retry(|| unsafe { libc::linkat(file.as_raw_fd(), c"".as_ptr(), libc::AT_FDCWD, name.as_ptr(), libc::AT_EMPTY_PATH) });
    by_descriptor.map(drop).or(result)
}

fn rename(from: &Path, to: &Path, flags: libc::c_uint) -> io::Result<()> {
    let (old, new) = (c_path(from)?, c_path(to)?);
    fault::point();
    // SAFETY: both pointers are to strings that end with a zero and live across the call. (By number, since not every C
    // library has a function for it.)
    let renamed = retry(|| unsafe {
        libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, old.as_ptr(), libc::AT_FDCWD, new.as_ptr(), flags)
    });
    match renamed {
        Err(error) if flags != 0 && matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        other => other.map(drop),
    }
}

fn unpublished(path: &Path, source: io::Error) -> OpenError {
    match source.kind() {
        io::ErrorKind::AlreadyExists => OpenError::AlreadyExists { path: path.to_owned() },
        _ => OpenError::io("give the new file its name", path, source),
    }
}

fn remove_stale(temporary: &Path, magic: [u8; 8]) -> Result<(), OpenError> {
    if !is_a_creators(temporary, magic) {
        let source = io::Error::new(io::ErrorKind::AlreadyExists, "it is no cache, nor the beginning of one: move it away");
        return Err(OpenError::io("use the temporary name", temporary, source));
    }
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(OpenError::io("remove what a killed creator left", temporary, error))
        }
        _ => Ok(()),
    }
}

/// Whether what has the temporary name, if anything, is what a creator makes: a file that is empty, begins with zeros, since its
/// header is written last, or begins as a cache does. Of one that this user may not read, as it is another creator's, the name
/// has to be enough.
fn is_a_creators(temporary: &Path, magic: [u8; 8]) -> bool {
    let Ok(metadata) = fs::symlink_metadata(temporary) else { return true };
    let mut begin = [0; 8];
    let options =
        OpenOptions::new().read(true).custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK).open(temporary);
    let is_known = match options.and_then(|mut file| file.read_exact(&mut begin)) {
        Ok(()) => begin == [0; 8] || begin == magic,
        Err(error) => error.kind() == io::ErrorKind::PermissionDenied,
    };
    metadata.is_file() && (metadata.len() == 0 || is_known)
}

/// Says early, before a lock file is made, that a directory is missing or on a file system that is refused.
pub(super) fn check_directory(path: &Path, options: &FileOptions) -> Result<(), OpenError> {
    let directory = parent(path);
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_CLOEXEC | libc::O_DIRECTORY | libc::O_PATH)
        .open(directory)
        .map_err(|source| OpenError::io("open the directory for the new file: it must exist", directory, source))?;
    filesystem::check(opened.as_fd(), directory, options.allow_unknown_filesystem).map(drop)
}

/// The directory that a path lies in.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The path with something added to its last name.
pub(super) fn sibling(path: &Path, suffix: &str) -> Result<PathBuf, OpenError> {
    let name = path.file_name().filter(|_| !path.as_os_str().as_bytes().ends_with(b"/"));
    let mut name = name.map(OsString::from).ok_or_else(|| {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it does not end with the name of a file");
        OpenError::Io { what: "use the path", path: Some(path.to_owned()), source }
    })?;
    name.push(suffix);
    Ok(path.with_file_name(name))
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

#[cfg(test)]
#[path = "tests/create.rs"]
mod tests;
