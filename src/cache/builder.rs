//! How a cache is made, or attached to.

use std::path::Path;
use std::time::Duration;

use super::{Cache, open, ttl_to_ms};
use crate::error::OpenError;

/// What to do when a file is there already and is not what was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMismatch {
    /// Refuse, with an error that names what was found and what was asked for.
    #[default]
    Error,
    /// Use the file with its own geometry. A file of another format version is still an error.
    UseExisting,
    /// Put a new file in place of it. Those who are attached to the old one keep it until they leave; their
    /// [`Cache::is_current`] is then `false`. Only a file of this crate is ever replaced.
    Recreate,
}

/// Options for a cache: sizes in bytes, times as [`Duration`].
///
/// What is not said has a default when a file is made, and accepts whatever is there when one is attached to.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir_in("/dev/shm")?;
/// # let path = dir.path().join("app.shmemo");
/// use shmemo::{Cache, OnMismatch};
/// use std::time::Duration;
///
/// let cache = Cache::builder()
///     .capacity(64 << 20)
///     .default_ttl(Duration::from_secs(3600))
///     .on_mismatch(OnMismatch::UseExisting)
///     .open(&path)?;
/// # assert!(cache.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    pub(super) capacity: Option<u64>,
    pub(super) max_entries: Option<u64>,
    pub(super) max_value_len: Option<usize>,
    pub(super) expected_entry_size: Option<usize>,
    pub(super) default_ttl: Option<Duration>,
    pub(super) max_processes: Option<u32>,
    pub(super) mode: u32,
    pub(super) prefault: bool,
    pub(super) allow_unknown_filesystem: bool,
    pub(super) on_mismatch: OnMismatch,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            capacity: None,
            max_entries: None,
            max_value_len: None,
            expected_entry_size: None,
            default_ttl: None,
            max_processes: None,
            mode: 0o600,
            prefault: false,
            allow_unknown_filesystem: false,
            on_mismatch: OnMismatch::Error,
        }
    }
}

impl Builder {
    /// The size of the file in bytes, everything included: 1 MiB to 1 TiB, rounded down to whole pages. All of it is
    /// allocated when the file is made. Default: 64 MiB, or half of what is free if that is less.
    #[must_use]
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = Some(bytes);
        self
    }

    /// The most entries that the cache holds, whenever no call is under way; 1 to 2^32 - 1. With up to 64, the one
    /// evicted is exactly the least recently used. Default: no bound but the capacity.
    #[must_use]
    pub fn max_entries(mut self, count: u64) -> Self {
        self.max_entries = Some(count);
        self
    }

    /// The most bytes that a value can have: 1 to 1/16 of the capacity, and 4 GiB less 128 KiB. No key is longer than that
    /// either. Default: 1/64 of the
    /// capacity, at most 1 GiB. A smaller bound makes smaller segments, of which fewer bytes lie idle.
    #[must_use]
    pub fn max_value_len(mut self, bytes: usize) -> Self {
        self.max_value_len = Some(bytes);
        self
    }

    /// How many bytes of the log an entry takes, for the size of the index: 16 + key, rounded up to 8, + value, and 8
    /// more if it expires, all rounded up to 16. Default: 256; at least 32, at most 1/16 of the capacity. Smaller entries than this are limited by the
    /// index, larger ones leave a part of it unused.
    #[must_use]
    pub fn expected_entry_size(mut self, bytes: usize) -> Self {
        self.expected_entry_size = Some(bytes);
        self
    }

    /// The time to live of what this handle stores without one. Default: that of the file, which is the one given when
    /// it was made, else for ever.
    #[must_use]
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.default_ttl = Some(ttl);
        self
    }

    /// How many processes can be attached at once; one that opens a path twice counts twice. Each takes 256 bytes, all together
    /// at most 2 % of the capacity; at most 65,535. Default: one for each 64 KiB of capacity, at least 64, at most 4096. A process
    /// that finds no place may read: its writes are [`SetError::NotAttached`](crate::SetError::NotAttached).
    #[must_use]
    pub fn max_processes(mut self, count: u32) -> Self {
        self.max_processes = Some(count);
        self
    }

    /// The permission bits of a file that is made, whatever the umask, and the most that one attached to may grant to
    /// write. Default 0600: this user alone. A mode that lets others write (0660, 0666) trusts them with everything, and
    /// lets files of other users be attached to. One that only lets them read (0644) does not; but by locks of their own on
    /// the file, which reading is enough for, they can keep processes from attaching, and what the dead held from coming back.
    #[must_use]
    pub fn mode(mut self, bits: u32) -> Self {
        self.mode = bits;
        self
    }

    /// Whether to touch all pages at opening, so that no first use of a page costs some microseconds later, and to have them
    /// collected into huge pages (Linux 6.1, `/dev/shm` or an anonymous cache), so that a random access misses fewer
    /// translation buffers; all processes gain by it. Takes 0.3 to 1.5 s for each GiB, with huge pages up to 3 s. Default: no.
    #[must_use]
    pub fn prefault(mut self, prefault: bool) -> Self {
        self.prefault = prefault;
        self
    }

    /// Whether to take a file system that is not on the list of those known to work (tmpfs, ext4, xfs, btrfs, f2fs).
    /// Network file systems do not: their locks and mappings are not shared between machines. On one that does work a process
    /// must not close descriptors that it did not open (`closerange`), or others take it for dead. Default: no.
    #[must_use]
    pub fn allow_unknown_filesystem(mut self, allow: bool) -> Self {
        self.allow_unknown_filesystem = allow;
        self
    }

    /// What to do when a file is there already and is not what was asked for. Default: [`OnMismatch::Error`].
    #[must_use]
    pub fn on_mismatch(mut self, action: OnMismatch) -> Self {
        self.on_mismatch = action;
        self
    }

    /// Attaches to the cache at `path`, or makes it if nothing is there. Of any number of processes that do so at once,
    /// one makes it, and all end up in it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<Cache, OpenError> {
        open::open(&self, path.as_ref())
    }

    /// Makes a new cache at `path`.
    ///
    /// # Errors
    /// [`OpenError::AlreadyExists`] if something is there; see [`OpenError`].
    pub fn create_new(self, path: impl AsRef<Path>) -> Result<Cache, OpenError> {
        open::create_new(&self, path.as_ref())
    }

    /// Attaches to the cache at `path`, which must be there.
    ///
    /// # Errors
    /// [`OpenError::NotFound`] if nothing is there; see [`OpenError`].
    pub fn attach(self, path: impl AsRef<Path>) -> Result<Cache, OpenError> {
        open::attach(&self, path.as_ref())
    }

    /// Makes a cache without a name: a sealed memory file, shared with the children that this process forks and with
    /// any process that is handed its descriptor (see [`Cache::from_fd`]). It leaves nothing behind when the last
    /// process ends, however it ends.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn anonymous(self) -> Result<Cache, OpenError> {
        open::anonymous(&self)
    }

    /// The default time to live in milliseconds, if one was given.
    pub(super) fn default_ttl_ms(&self) -> Result<Option<u64>, OpenError> {
        let invalid = || OpenError::InvalidOption {
            option: "default_ttl",
            given: "0".into(),
            allowed: "more than zero; leave it out for entries that do not expire".into(),
        };
        self.default_ttl.map(|ttl| ttl_to_ms(ttl).ok_or_else(invalid)).transpose()
    }
}
