//! One process creates at a time: creators of a path queue on a lock that the kernel drops when its holder dies, so that
//! twenty of them never need the space of two. One that is stopped meanwhile keeps them waiting, but not for ever.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::{BorrowedFd, IntoRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::create::{check_directory, link, open_unnamed, sibling};
use super::file::{self, FileOptions};
use super::{description, fork, lock};
use crate::error::OpenError;
use crate::fault;

/// The right to create the file of one path. Dropping it removes the lock file.
#[derive(Debug)]
#[must_use]
pub(crate) struct CreationLock {
    path: PathBuf,
    held: Arc<Held>,
}

/// The descriptor that holds the lock, and the file that it is open on. A child that is forked meanwhile closes its copy,
/// which would keep the lock after the parent's death.
#[derive(Debug, Default)]
struct Held {
    /// Plus one; 0 for none.
    descriptor: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
}

impl Held {
    fn descriptor(&self) -> RawFd {
        self.descriptor.load(Ordering::Relaxed) - 1
    }

    /// Takes over a file that was just opened. No fork may come in between.
    fn keep(&self, file: File, metadata: &Metadata) {
        // Relaxed: only this thread reads them, and the handler of a child, which no fork lets see the half of it.
        self.device.store(metadata.dev(), Ordering::Relaxed);
        self.inode.store(metadata.ino(), Ordering::Relaxed);
        self.descriptor.store(file.into_raw_fd() + 1, Ordering::Relaxed);
    }

    fn is_at(&self, path: &Path) -> bool {
        file::is_same_file(path, self.device.load(Ordering::Relaxed), self.inode.load(Ordering::Relaxed))
    }

    /// Runs something with the descriptor if there is one that was not closed by force.
    fn with<T>(&self, run: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let number = self.descriptor();
        let is_ours = description::same_file(number, self.device.load(Ordering::Relaxed), self.inode.load(Ordering::Relaxed));
        // SAFETY: the number is open on the file that was opened here, and only `close` closes it, in this same thread.
        is_ours.then(|| run(unsafe { BorrowedFd::borrow_raw(number) }))
    }

    fn close(&self) {
        if self.with(|_| ()).is_some() {
            // SAFETY: the descriptor is this lock's own, and its number is forgotten in the next line.
            unsafe { libc::close(self.descriptor()) };
        }
        self.descriptor.store(0, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.close();
    }
}

impl fork::ForkHandler for Held {
    fn prepare(&self) {}
    fn in_parent(&self) {}
    fn in_child(&self) {
        self.close();
    }
}

impl Drop for CreationLock {
    fn drop(&mut self) {
        self.held.with(|descriptor| {
            // Removed while it is held, so that whoever gets the lock next sees that the path names it no more. A failure
            // leaves an empty file, which the next creator takes.
            fault::point();
            if self.held.is_at(&self.path) {
                let _ = fs::remove_file(&self.path);
            }
            // Given up by name, as a child that ran no fork handler may have a copy of the descriptor.
            let _ = lock::unlock(descriptor, 0, 0);
        });
    }
}

/// How long a creator is waited for. To allocate a tebibyte of memory takes minutes.
const PATIENCE: Duration = Duration::from_secs(600);

/// Waits for the right to create the file of this path. The lock is on `PATH.lock`, which exists only meanwhile. Whoever has
/// it looks first whether the file is there by now. `None`: another has made the file, and `is_made` says so.
pub(crate) fn lock_creation(
    path: &Path,
    options: &FileOptions,
    is_made: impl Fn() -> bool,
) -> Result<Option<CreationLock>, OpenError> {
    lock_creation_within(path, options, PATIENCE, is_made)
}

pub(super) fn lock_creation_within(
    path: &Path,
    options: &FileOptions,
    patience: Duration,
    is_made: impl Fn() -> bool,
) -> Result<Option<CreationLock>, OpenError> {
    check_directory(path, options)?;
    let lock_path = sibling(path, ".lock")?;
    let begun = Instant::now();
    loop {
        let held = Arc::new(Held::default());
        let handler: Arc<dyn fork::ForkHandler> = held.clone();
        let unready = |source| OpenError::io("prepare for forks", path, source);
        fork::register(&handler).map_err(unready)?;
        let opened = fork::between_forks(|| open_lock_file(&lock_path, options).map(|(file, found)| held.keep(file, &found)));
        opened.map_err(unready)??;
        let mut made = false;
        let taken = held.with(|descriptor| {
            lock::lock_unless(descriptor, 0, 0, lock::Kind::Exclusive, || {
                made = is_made();
                made || begun.elapsed() >= patience
            })
        });
        match taken.unwrap_or_else(|| Err(io::Error::from_raw_os_error(libc::EBADF))) {
            Ok(true) if held.is_at(&lock_path) => return Ok(Some(CreationLock { path: lock_path, held })),
            Ok(true) => {} // the creator before this one has removed it
            Ok(false) if made => return Ok(None),
            Ok(false) => return Err(OpenError::io("wait for whoever creates the file", &lock_path, lock::timed_out(patience))),
            Err(source) => return Err(lock::open_error("lock the file", &lock_path, source)),
        }
    }
}

fn open_lock_file(lock_path: &Path, options: &FileOptions) -> Result<(File, Metadata), OpenError> {
    if let Ok(metadata) = fs::symlink_metadata(lock_path) {
        file::check_regular(lock_path, metadata.file_type())?;
    }
    // Other users that the mode trusts may create the file too, and must then be able to take the lock.
    let mode = 0o600 | (options.mode & 0o066);
    let open = |create| {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(create)
            .mode(mode)
            .custom_flags(libc::O_CLOEXEC | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(lock_path)
    };
    fault::point();
    // Two steps, as some systems refuse O_CREAT for a file of another user that is there (`fs.protected_regular`).
    let file = loop {
        let opened = match open(false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => match make_with_mode(lock_path, mode)? {
                Made::Here(file) => Ok(file),
                Made::ByAnother => continue,
                Made::NotPossible => open(true),
            },
            other => other,
        };
        match opened {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => break other.map_err(|source| OpenError::io("open the lock file for creators", lock_path, source))?,
        }
    };
    let metadata = file.metadata().map_err(|source| OpenError::io("look at the file", lock_path, source))?;
    file::check_regular(lock_path, metadata.file_type())?;
    file::check_writers(lock_path, metadata.uid(), metadata.mode(), file::effective_user(), mode)?;
    if metadata.len() != 0 {
        let source = io::Error::new(io::ErrorKind::AlreadyExists, "it is somebody's file, as it is not empty: move it away");
        return Err(OpenError::Io { what: "use the lock file for creators", path: Some(lock_path.to_owned()), source });
    }
    // Made by its name, it may lack rights that the umask took away. A failure means that the file is another user's, who has
    // seen to it.
    if metadata.mode() & 0o777 != mode {
        let _ = file.set_permissions(Permissions::from_mode(mode));
    }
    Ok((file, metadata))
}

enum Made {
    Here(File),
    /// The name was taken first.
    ByAnother,
    /// No file gets a name here after it was made.
    NotPossible,
}

/// Makes a file that has its mode, whatever the umask, before it has its name: another user who comes in between could not
/// open it, and were this process killed, never.
fn make_with_mode(lock_path: &Path, mode: u32) -> Result<Made, OpenError> {
    let Some(file) = open_unnamed(lock_path)? else { return Ok(Made::NotPossible) };
    file.set_permissions(Permissions::from_mode(mode))
        .map_err(|source| OpenError::io("set the mode of the lock file for creators", lock_path, source))?;
    fault::point();
    match link(&file, lock_path) {
        Ok(()) => Ok(Made::Here(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Made::ByAnother),
        Err(_) => Ok(Made::NotPossible),
    }
}
