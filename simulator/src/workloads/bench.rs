//! shmemo itself under a workload, and what is noted meanwhile.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;
use shmemo::{Cache, Stats};

use super::{Finding, Store};
use crate::real::entry_bytes;

/// Bytes of the file.
const CAPACITY: u64 = 4 << 20;
/// Length of a value; an entry takes 224 bytes, one with a time to live 8 more that fit in its padding.
const VALUE_LEN: u32 = 192;

/// `max_entries`, where that is the bound.
const ENTRIES: u64 = 16_000;

/// What bounds the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The log.
    Log,
    /// The number of entries.
    Entries,
    /// The log, since `max_entries` is far more than there is room for.
    LogAndMany,
}

impl Bound {
    fn name(self) -> &'static str {
        match self {
            Self::Log => "",
            Self::Entries => ", bounded by max_entries",
            Self::LogAndMany => ", max_entries far above",
        }
    }
}

/// A cache under test, with what it had when the workload proper began.
pub struct Bench {
    /// The cache.
    pub cache: Cache,
    bound: Bound,
    begin: Stats,
    seen: u64,
    dead_at_first: f64,
    /// Sum of the dead part over all entries that went.
    dead_in_all: f64,
    expires: bool,
    value: Vec<u8>,
}

fn evicted(stats: &Stats) -> u64 {
    stats.evicted_unused + stats.evicted_used + stats.evicted_by_full_bucket
}

impl Bench {
    /// A cache whose log has about 4 MiB, or of `max_entries` for which twice as much is enough.
    ///
    /// # Errors
    /// There must be room for an anonymous cache.
    pub fn new(bound: Bound) -> Result<Self> {
        let builder = Cache::builder().capacity(CAPACITY).max_value_len(VALUE_LEN as usize).max_processes(16);
        // The index is so large that hardly a bucket fills up: that is not what is looked at here.
        let builder = builder.expected_entry_size(96);
        let cache = match bound {
            Bound::Log => builder.anonymous()?,
            Bound::Entries => builder.capacity(CAPACITY * 2).expected_entry_size(64).max_entries(ENTRIES).anonymous()?,
            Bound::LogAndMany => builder.max_entries(ENTRIES * 50).anonymous()?,
        };
        let (begin, value) = (Stats::default(), vec![7; VALUE_LEN as usize]);
        Ok(Self { cache, bound, begin, seen: 0, dead_at_first: 0.0, dead_in_all: 0.0, expires: false, value })
    }

    /// Segments, and entries that one has room for.
    pub fn segments(&self) -> (usize, usize) {
        let stats = self.cache.stats();
        let bytes = stats.log_bytes / stats.segments;
        (stats.segments as usize, (bytes / u64::from(entry_bytes(VALUE_LEN))) as usize)
    }

    /// What came of it.
    pub fn end(self, name: String) -> Finding {
        let (begin, end) = (self.begin, self.cache.stats());
        let evicted_before = evicted(&begin);
        let evicted = evicted(&end) - evicted_before;
        Finding {
            name: name + self.bound.name(),
            evicted,
            full_bucket: end.evicted_by_full_bucket - begin.evicted_by_full_bucket,
            dead_at_first: self.dead_at_first,
            dead_on_average: self.dead_in_all / ((self.seen - evicted_before) as f64).max(1.0),
            moved: (end.moved_bytes - begin.moved_bytes) as f64 / ((end.appended_bytes - begin.appended_bytes) as f64).max(1.0),
            hits: None,
            least: None,
        }
    }
}

impl Store for Bench {
    fn room(&self) -> u64 {
        let (segments, entries) = self.segments();
        if self.bound == Bound::Entries { ENTRIES } else { (segments * entries) as u64 }
    }

    fn set(&mut self, key: u64, ttl: Option<Duration>) -> Result<()> {
        match ttl {
            Some(ttl) => {
                self.cache.set_with_ttl(key.to_le_bytes(), &self.value, ttl)?;
                self.expires = true;
            }
            None => self.cache.set(key.to_le_bytes(), &self.value)?,
        }
        Ok(())
    }

    fn raise(&mut self, key: u64) -> Result<()> {
        self.cache.increment(key.to_le_bytes(), 1, 0, None)?;
        Ok(())
    }

    fn remove(&mut self, key: u64) {
        self.cache.remove(key.to_le_bytes());
    }

    fn pass(&mut self, time: Duration) {
        sleep(time);
    }

    fn begin(&mut self) {
        self.begin = self.cache.stats();
        self.seen = evicted(&self.begin);
    }

    fn look(&mut self) {
        let stats = self.cache.stats();
        let new = evicted(&stats) - self.seen;
        if new == 0 {
            return;
        }
        // To count what has expired takes a while.
        if self.expires && self.dead_at_first > 0.0 && new < 50 {
            return;
        }
        self.seen += new;
        let live =
            if self.expires { self.cache.keys().count() as u64 * u64::from(entry_bytes(VALUE_LEN)) } else { stats.live_bytes };
        let dead = stats.filled_bytes.saturating_sub(live) as f64 / stats.log_bytes as f64;
        if self.dead_at_first == 0.0 {
            self.dead_at_first = dead.max(f64::MIN_POSITIVE);
        }
        self.dead_in_all += dead * new as f64;
    }
}
