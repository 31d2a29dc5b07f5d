//! The public handle: composes the protocol, the mapping and the operating system.

mod batch;
mod boot;
mod builder;
mod descriptor;
mod iter;
mod local;
mod open;
mod report;
mod seat;
mod single;
mod stats;
mod time;
mod update;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use builder::{Builder, OnMismatch};
pub use iter::{Iter, Keys};
pub use report::{Corruption, Problem, Report};
pub use single::{TimeToLive, UpTo};
pub use stats::Stats;
pub use update::{Action, Updated, Version};

use self::local::{Lane, Lanes};
use self::seat::Seat;
use crate::error::{NotAttached, OpenError, SetError};
use crate::hash::KeyHasher;
use crate::header::Header;
use crate::memory::MappedMemory;
use crate::protocol::{Core, Event, Key, Op, Owner, World};

/// Times to live of at least this many milliseconds (34 years) are for ever.
const LONGEST_TTL_MS: u64 = 1 << 40;

/// A cache that every process that opens the same file shares.
///
/// Cheap to clone (all clones of a process are one attachment), and usable from any number of threads. Reads take no
/// lock and make no system call. Every operation on one key is linearizable across threads and processes, evictions
/// aside: the cache may let go of any entry at any moment, but a value that was replaced, removed, cleared or has
/// expired never comes back. A process that is killed at any instruction loses at most the write that it was in the
/// middle of.
///
/// Keys have 0 bytes to 64 KiB (and at most [`Builder::max_value_len`]), values 0 to [`Builder::max_value_len`] bytes.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache = shmemo::Cache::builder().capacity(16 << 20).anonymous()?;
/// cache.set("answer", b"42")?;
/// assert_eq!(cache.get("answer").as_deref(), Some(&b"42"[..]));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

/// What all clones of a handle share in this process. The mapping goes with the last of them.
struct Inner {
    core: Core<MappedMemory>,
    hasher: KeyHasher,
    header: Header,
    /// Time to live of entries that are given none, in milliseconds; 0 for ever.
    default_ttl_ms: u64,
    path: Option<PathBuf>,
    lanes: Arc<Lanes>,
    seat: Arc<Seat>,
}

/// The world as the protocol sees it from this thread.
struct Here<'a> {
    inner: &'a Inner,
    lane: &'a Lane,
}

impl World for Here<'_> {
    fn now_ms(&self) -> u64 {
        self.inner.seat.clock.now_ms(&self.inner.core)
    }

    fn reclaim(&self, suspect: Owner) -> bool {
        self.inner.seat.reclaim(&self.inner.core, suspect)
    }

    fn still(&self, _: Owner) -> Option<Owner> {
        let seat = &self.inner.seat;
        seat.owner().or_else(|| seat.attach(&self.inner.core).ok())
    }

    fn entropy(&self) -> u32 {
        // The address of a local differs from thread to thread, the stack pointer's low bits from call to call.
        let marker = 0u8;
        ((&raw const marker as usize >> 4) as u32).wrapping_mul(0x9e37_79b9) >> 16
    }

    #[inline]
    fn count(&self, event: Event, times: u64) {
        if self.lane.count(event, times) {
            self.inner.add_up(self.lane);
        }
    }

    fn count_stored(&self, units: u64) {
        self.lane.count(Event::AppendedUnits, units);
        self.count(Event::Stored, 1);
    }
}

impl Inner {
    /// Adds what a lane counted to this process's registry line, if it has one.
    #[cold]
    fn add_up(&self, lane: &Lane) {
        if let Some(owner) = self.seat.owner() {
            lane.take(|counter, amount| self.core.add_to_counter(usize::from(owner.line), counter, amount));
        } else {
            self.seat.drop_copies_if_child();
        }
    }

    #[inline]
    fn here(&self) -> Here<'_> {
        Here { inner: self, lane: self.lanes.mine() }
    }

    #[inline]
    fn key<'k>(&self, bytes: &'k [u8]) -> Key<'k> {
        Key::new(bytes, self.hasher.hash(bytes))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(owner) = self.seat.owner() {
            self.lanes.take_all(|counter, amount| self.core.add_to_counter(usize::from(owner.line), counter, amount));
        }
        self.seat.leave(&self.core);
    }
}

impl<'a> Here<'a> {
    /// Begins a read: it needs no line in the registry. If there is one, what it finds expired is counted out.
    #[inline]
    fn read(&'a self) -> Op<'a, MappedMemory> {
        self.inner.core.begin(self.inner.seat.owner(), self, &self.lane.hints)
    }

    /// Begins a write. A process that has no line yet (a forked child) takes one here.
    #[inline]
    fn write(&'a self) -> Result<Op<'a, MappedMemory>, NotAttached> {
        let owner = match self.inner.seat.owner() {
            Some(owner) => owner,
            None => self.inner.seat.attach(&self.inner.core)?,
        };
        Ok(self.inner.core.begin(Some(owner), self, &self.lane.hints))
    }
}

impl Cache {
    /// A builder with the defaults.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Attaches to the cache at `path`, or makes it with the defaults: 64 MiB, or half of what is free there if that is
    /// less.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(path)
    }

    /// Attaches to an anonymous cache by its descriptor, which [`Cache::as_fd`] of another process (or of a parent)
    /// gave.
    ///
    /// # Errors
    /// [`OpenError::NotSealed`] unless the memory is sealed against shrinking and growing; else as when opening a path.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, OpenError> {
        open::from_fd(&Builder::default(), fd)
    }

    /// The descriptor of the file, lent: for an anonymous cache, a duplicate of it is what [`Cache::from_fd`] takes in
    /// another process.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.seat.file().as_fd()
    }

    /// The path that the cache was opened by, made absolute at that moment; none if it is anonymous.
    pub fn path(&self) -> Option<&Path> {
        self.inner.path.as_deref()
    }

    /// The size of the file in bytes, everything included.
    pub fn capacity(&self) -> u64 {
        self.inner.header.geometry.capacity
    }

    /// The time to live of what is stored without one through this handle: that of its builder, or else that of the file.
    /// `None`: such entries never expire.
    pub fn default_ttl(&self) -> Option<Duration> {
        let ms = self.inner.default_ttl_ms;
        (ms != 0 && ms < LONGEST_TTL_MS).then(|| Duration::from_millis(ms))
    }

    /// The most bytes that a value can have.
    pub fn max_value_len(&self) -> usize {
        self.inner.core.layout.max_value_len
    }

    /// The most bytes that a key can have.
    pub fn max_key_len(&self) -> usize {
        self.inner.core.layout.max_key_len
    }

    /// The bound on the number of entries, if there is one.
    pub fn max_entries(&self) -> Option<u64> {
        Some(self.inner.header.geometry.max_entries).filter(|&most| most > 0)
    }

    /// Whether the path still names the file that this handle is attached to. `false` after somebody deleted it or put
    /// another in its place: this handle goes on with what it has, but new openers do not meet it there. Always `true`
    /// for an anonymous cache.
    pub fn is_current(&self) -> bool {
        self.inner.path.as_deref().is_none_or(|path| self.inner.seat.is_file_at(path))
    }

    /// Makes every entry of this moment dead, in one atomic step, whatever the number of entries. Their memory is given
    /// back as new entries come.
    pub fn clear(&self) {
        self.inner.core.clear();
    }

    /// The number of entries: those of which it is not yet known that they have expired. Adds up a few hundred counts.
    /// A process that died in the middle of a write can leave it off by one until that part of the log is recycled; it
    /// is never more than [`Builder::max_entries`].
    pub fn len(&self) -> usize {
        self.at_most_all(self.inner.core.count_entries())
    }

    /// A number of entries that counts say, where a death may have left them too high.
    fn at_most_all(&self, entries: usize) -> usize {
        self.max_entries().map_or(entries, |most| entries.min(most as usize))
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that key and value can be stored at all.
    fn check_sizes(&self, key: &[u8], value: &[u8]) -> Result<(), SetError> {
        let layout = &self.inner.core.layout;
        if key.len() > layout.max_key_len {
            return Err(SetError::KeyTooLarge { len: key.len(), max: layout.max_key_len });
        }
        if value.len() > layout.max_value_len {
            return Err(SetError::ValueTooLarge { len: value.len(), max: layout.max_value_len });
        }
        Ok(())
    }

    /// When an entry expires that is stored now. `None` stands for the default time to live.
    fn expiry(&self, ttl: Option<Duration>) -> Result<Option<u64>, SetError> {
        let ttl_ms = match ttl {
            None => self.inner.default_ttl_ms,
            Some(ttl) => ttl_to_ms(ttl).ok_or(SetError::ZeroTtl)?,
        };
        Ok(self.expiry_in(ttl_ms))
    }

    fn expiry_in(&self, ttl_ms: u64) -> Option<u64> {
        let is_for_ever = ttl_ms == 0 || ttl_ms >= LONGEST_TTL_MS;
        (!is_for_ever).then(|| self.inner.seat.clock.expiry_after(&self.inner.core, ttl_ms))
    }
}

/// Whole milliseconds, rounded up; none for zero.
fn ttl_to_ms(ttl: Duration) -> Option<u64> {
    let ms = ttl.as_nanos().div_ceil(1_000_000);
    (ms > 0).then(|| u64::try_from(ms).unwrap_or(u64::MAX))
}

impl AsFd for Cache {
    /// The same as [`Cache::as_fd`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        Cache::as_fd(self)
    }
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("path", &self.path()).field("capacity", &self.capacity()).field("len", &self.len()).finish()
    }
}
