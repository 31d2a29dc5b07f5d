//! Replays a trace through shmemo itself.

use std::path::Path;

use anyhow::{Context, Result, bail};
use shmemo::{Cache, Stats};

use crate::replay::{Outcome, PARTS, Traffic};
use crate::trace::Trace;

/// Bytes of a key where entries are counted.
pub const KEY_LEN: usize = 8;
/// Bytes of a key where the capacity is in bytes.
pub const KEY_LEN_BY_SIZE: usize = 16;
/// What index and ghosts take for each entry, rounded (16.3 bytes): a slot of 8 bytes, at most 0.6 of which are in use,
/// and ghosts.
pub const INDEX_BYTES: u32 = 16;
/// What the log holds for each byte of entries, where their number is what bounds the cache.
const ROOM: u64 = 2;

/// What an entry with a value of so many bytes takes in the log.
pub fn entry_bytes(value_len: u32) -> u32 {
    (16 + KEY_LEN as u32 + value_len).next_multiple_of(16)
}

/// What a key of 16 bytes and a value of so many take in the log.
fn log_bytes_by_size(value_len: u32) -> u32 {
    (16 + KEY_LEN_BY_SIZE as u32 + value_len).next_multiple_of(16)
}

/// What an object with a value of so many bytes is charged where the capacity is in bytes, whatever the policy: a key of 16
/// bytes, the value, and what shmemo spends on an entry (its header, padding, its share of the index).
pub fn charge_by_size(value_len: u32) -> u32 {
    log_bytes_by_size(value_len) + INDEX_BYTES
}

/// What bounds the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many entries, with twice the room that they need.
    Entries(u64),
    /// A file of so many bytes.
    FileBytes(u64),
    /// A log with room for so many entries of the one size.
    Room(u64),
}

/// How long values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// All alike.
    Len(u32),
    /// As the trace says.
    OfTrace,
}

/// A cache as it is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What bounds it.
    pub limit: Limit,
    /// How long values are.
    pub values: Values,
    /// The longest.
    pub max_value_len: u32,
    /// How long keys are: 8 bytes at least.
    pub key_len: usize,
    /// What an entry takes on average.
    pub mean_entry: u64,
}

impl Plan {
    /// A cache of so many entries.
    pub fn entries(count: u64) -> Self {
        let values = Values::Len(8);
        let mean_entry = u64::from(entry_bytes(8));
        Self { limit: Limit::Entries(count), values, max_value_len: 64, key_len: KEY_LEN, mean_entry }
    }

    /// A cache with room for about so many entries, all alike, of a length that fills segments well and makes a file of
    /// at least 1.2 MiB.
    ///
    /// # Errors
    /// There must be room for an anonymous cache.
    pub fn room(count: u64) -> Result<Self> {
        let least = ((6 << 20) / 5 / count.max(1)).max(256) as u32 / 16 * 16;
        let plan = |entry: u32| {
            let len = entry - 16 - KEY_LEN as u32;
            let (limit, values) = (Limit::Room(count), Values::Len(len));
            Self { limit, values, max_value_len: len, key_len: KEY_LEN, mean_entry: u64::from(entry) }
        };
        let mut best = (f64::INFINITY, plan(least));
        for step in 0..12 {
            let tried = plan((least + least / 24 * step) / 16 * 16);
            let stats = tried.make(None)?.stats();
            let room = tried.room_of(&stats);
            let wasted = 1.0 - (room * tried.mean_entry) as f64 / stats.log_bytes as f64;
            let missed = (room as f64 / count as f64 - 1.0).abs();
            best = if wasted + missed * 2.0 < best.0 { (wasted + missed * 2.0, tried) } else { best };
        }
        Ok(best.1)
    }

    /// A file of so many bytes, or of the least that there can be, for the values of a trace.
    pub fn bytes(file_bytes: u64, trace: &Trace) -> Self {
        let max_value_len = trace.sizes.iter().flatten().copied().max().unwrap_or(8);
        let objects = (trace.objects() as u64).max(1);
        let mean_entry = (trace.footprint(log_bytes_by_size) / objects).max(32);
        let limit = Limit::FileBytes(file_bytes.max(least_file(max_value_len)) / 4096 * 4096);
        Self { limit, values: Values::OfTrace, max_value_len, key_len: KEY_LEN_BY_SIZE, mean_entry }
    }

    /// What an entry with a value of so many bytes takes in the log.
    pub fn entry_bytes(&self, value_len: u32) -> u32 {
        if self.key_len == KEY_LEN { entry_bytes(value_len) } else { log_bytes_by_size(value_len) }
    }

    /// How many entries of the one size a log has room for.
    pub fn room_of(&self, stats: &Stats) -> u64 {
        stats.segments * (stats.log_bytes / stats.segments.max(1) / self.mean_entry.max(1))
    }

    /// Makes the cache: a file at a path, or an anonymous one. The capacity is found by trying, since the index takes its
    /// part of it.
    ///
    /// # Errors
    /// The file system must have room for it.
    pub fn make(&self, path: Option<&Path>) -> Result<Cache> {
        let wanted = match self.limit {
            Limit::Entries(count) => (count * self.mean_entry * ROOM).max(1 << 19),
            Limit::FileBytes(bytes) => return self.build(bytes, path),
            Limit::Room(count) => count * self.mean_entry,
        };
        let mut capacity = wanted;
        for _ in 0..12 {
            capacity = capacity.max(least_file(self.max_value_len));
            let cache = self.build(capacity, None)?;
            let stats = cache.stats();
            let got = if let Limit::Room(_) = self.limit { self.room_of(&stats) * self.mean_entry } else { stats.log_bytes };
            let next = (capacity + wanted).saturating_sub(got).next_multiple_of(4096);
            if next == capacity {
                break;
            }
            capacity = next;
        }
        self.build(capacity.max(least_file(self.max_value_len)), path)
    }

    fn build(&self, capacity: u64, path: Option<&Path>) -> Result<Cache> {
        let mut builder = Cache::builder().capacity(capacity).max_processes(16).max_value_len(self.max_value_len as usize);
        builder = builder.expected_entry_size((self.mean_entry as usize).clamp(32, capacity as usize / 16));
        if let Limit::Entries(count) = self.limit {
            builder = builder.max_entries(count);
        }
        let made = match path {
            Some(path) => builder.create_new(path),
            None => builder.anonymous(),
        };
        made.with_context(|| format!("a cache of {capacity} bytes"))
    }
}

/// The smallest file for values of so many bytes.
fn least_file(max_value_len: u32) -> u64 {
    (u64::from(max_value_len) * 16).next_multiple_of(4096).max(1 << 20)
}

/// Asks a cache for objects, and stores what it does not have.
pub struct Player {
    cache: Cache,
    key: Vec<u8>,
    found: Vec<u8>,
    value: Vec<u8>,
}

impl Player {
    /// A player whose keys are so long and whose values are at most so long.
    pub fn new(cache: Cache, key_len: usize, max_value_len: u32) -> Self {
        Self { cache, key: vec![0; key_len.max(8)], found: Vec::new(), value: vec![0; max_value_len as usize] }
    }

    /// Asks for an object. Tells whether it was there, or what was wrong with it.
    ///
    /// # Errors
    /// The value must be one that was stored for this key, and storing must be possible.
    pub fn request(&mut self, id: u32, value_len: u32) -> Result<bool> {
        let key = &mut self.key[..];
        key[..8].copy_from_slice(&u64::from(id).to_le_bytes());
        if self.cache.get_into(&*key, &mut self.found) {
            let shared = self.found.len().min(4);
            if self.found[..shared] != key[..shared] {
                bail!("object {id} has the value of another");
            }
            return Ok(true);
        }
        let value = &mut self.value[..value_len as usize];
        let marked = value.len().min(4);
        value[..marked].copy_from_slice(&key[..marked]);
        self.cache.set(&*key, value)?;
        Ok(false)
    }
}

/// Notes traffic and residents while a trace is replayed.
#[derive(Debug)]
pub struct Watch {
    traffic: Traffic,
    stored: u64,
    next: u64,
    part: u64,
    /// Sums of entries and of their bytes, and how often they were added up.
    resident: [u64; 3],
}

impl Watch {
    /// Looks at the cache whenever an eighth of so many bytes was stored.
    pub fn new(capacity: u64) -> Self {
        Self { traffic: Traffic::default(), stored: 0, next: 0, part: (capacity / PARTS as u64).max(1), resident: [0; 3] }
    }

    /// After so many more bytes were stored.
    pub fn after(&mut self, cache: &Cache, stored: u64) {
        self.stored += stored;
        if self.stored >= self.next {
            self.look(&cache.stats());
            self.next = self.stored + self.part;
        }
    }

    fn look(&mut self, stats: &Stats) {
        self.traffic.note(stats.appended_bytes, stats.moved_bytes);
        if stats.evicted_unused + stats.evicted_used > 0 {
            let [entries, bytes, times] = self.resident;
            self.resident = [entries + stats.entries, bytes + stats.live_bytes, times + 1];
        }
    }

    /// Adds what was seen to an outcome.
    pub fn finish(mut self, cache: &Cache, outcome: &mut Outcome) {
        let stats = cache.stats();
        self.look(&stats);
        outcome.evictions = stats.evicted_unused + stats.evicted_used + stats.evicted_by_full_bucket;
        outcome.full_bucket = stats.evicted_by_full_bucket;
        outcome.dropped = stats.dropped;
        let [entries, bytes, times] = self.resident.map(|sum| sum as f64);
        (outcome.resident, outcome.resident_bytes) = (entries / times.max(1.0), bytes / times.max(1.0));
        outcome.moved = self.traffic.mean();
        outcome.moved_at_worst = self.traffic.worst();
    }
}

/// The length of the value of a request.
pub fn value_len(trace: &Trace, plan: &Plan, at: usize) -> u32 {
    match plan.values {
        Values::Len(len) => len,
        Values::OfTrace => trace.sizes.as_ref().map_or(8, |sizes| sizes[at]),
    }
}

/// What storing the capacity once comes to.
pub fn capacity_bytes(plan: &Plan, stats: &Stats) -> u64 {
    match plan.limit {
        Limit::Entries(count) => count * plan.mean_entry,
        Limit::FileBytes(_) | Limit::Room(_) => stats.log_bytes,
    }
}

/// Replays a trace through a cache, by this thread.
///
/// # Errors
/// As making the cache, and as [`Player::request`].
pub fn replay(trace: &Trace, plan: &Plan) -> Result<(Outcome, Stats)> {
    let cache = plan.make(None)?;
    let mut player = Player::new(cache.clone(), plan.key_len, plan.max_value_len);
    let mut outcome = Outcome { requests: trace.ids.len() as u64, ..Outcome::default() };
    let mut watch = Watch::new(capacity_bytes(plan, &cache.stats()));
    for (at, &id) in trace.ids.iter().enumerate() {
        let len = value_len(trace, plan, at);
        outcome.bytes += u64::from(len);
        if player.request(id, len)? {
            outcome.hits += 1;
            outcome.hit_bytes += u64::from(len);
        } else {
            watch.after(&cache, u64::from(plan.entry_bytes(len)));
        }
    }
    watch.finish(&cache, &mut outcome);
    Ok((outcome, cache.stats()))
}
