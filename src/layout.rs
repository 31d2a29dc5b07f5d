//! Where everything lies in the file.
//!
//! All offsets follow from a handful of numbers, the geometry, which stand in the header and are checked once, when a
//! process attaches. From then on no offset is ever read from the file: what is read there is an index, and is checked
//! against the geometry first. `docs/design.md` draws the same layout byte by byte.

use crate::error::OpenError;

#[path = "layout/fields.rs"]
mod fields;

pub use fields::{FINGERPRINT, header, line, segment};

/// The smallest file, in bytes.
pub const MIN_CAPACITY: u64 = 1 << 20;
/// The largest file, in bytes.
pub const MAX_CAPACITY: u64 = 1 << 40;
/// The longest key of any file, in bytes.
pub const MAX_KEY_LEN: usize = 64 << 10;
/// Entries start at, and are padded to, multiples of this many bytes.
pub const UNIT: usize = 16;
/// Slots in a bucket, which is one cache line.
pub const SLOTS: usize = if cfg!(shmemo_model) { 3 } else { 8 };
/// Ghosts in a set, which is one cache line.
pub const GHOSTS: usize = if cfg!(shmemo_model) { 2 } else { 16 };
/// Hazard words in a registry line.
pub const PINS: usize = if cfg!(shmemo_model) { 2 } else { 8 };
/// Words of the outline of when the entries of a segment expire, in each of which there are two pairs.
pub const FORECAST_WORDS: usize = 6;
/// Counters in a registry line.
pub const COUNTERS: usize = 16;
/// Files with at most this many entries have a use stamp beside each slot and evict in exact order of use.
pub const MAX_EXACT_LRU: u64 = 64;
/// The largest bound on the number of entries: the count has so many bits.
pub const MAX_ENTRIES: u64 = 0xffff_ffff;
/// The most processes that one file can have a line for.
pub const MAX_PROCESSES: u32 = 65_535;
/// The size of an entry that the index is laid out for unless the builder says otherwise, in bytes.
pub const DEFAULT_ENTRY_SIZE: usize = 256;

/// The longest value of any file, in bytes: a segment, which has at most 4 GiB, must hold it.
const LONGEST_VALUE: u64 = (4 << 30) - (128 << 10);
/// The longest value unless the builder says otherwise is 1/64 of the capacity, and at most this.
const DEFAULT_LONGEST_VALUE: u64 = 1 << 30;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 4096;
/// Bytes of a registry line.
pub const LINE_BYTES: usize = 256;
/// Bytes of a line of the segment table.
pub const SEGMENT_LINE_BYTES: usize = 128;
/// Bytes of a bucket.
pub const BUCKET_BYTES: usize = SLOTS * 8;
/// Bytes of a set of ghosts.
pub const GHOST_SET_BYTES: usize = GHOSTS * 4;

/// What the creator asked for. `None` means the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    pub capacity: u64,
    pub max_entries: Option<u64>,
    pub max_value_len: Option<usize>,
    pub expected_entry_size: Option<usize>,
    pub max_processes: Option<u32>,
}

/// The numbers from which all offsets follow: what the header holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub capacity: u64,
    pub segments: u64,
    pub segment_bytes: u64,
    pub buckets: u64,
    pub ghost_sets: u64,
    pub lines: u64,
    pub max_value_len: u64,
    pub max_entries: u64,
    pub expected_entry_size: u64,
}

/// All offsets, checked.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub geometry: Geometry,
    pub segments: usize,
    pub segment_bytes: usize,
    pub segment_units: usize,
    pub buckets: usize,
    pub ghost_sets: usize,
    pub lines: usize,
    pub max_key_len: usize,
    pub max_value_len: usize,
    pub registry_at: usize,
    pub segment_table_at: usize,
    pub index_at: usize,
    pub stamps_at: usize,
    pub ghosts_at: usize,
    pub log_at: usize,
    pub total: usize,
    /// Whether the policy counts entries, and not units of 16 bytes: `max_entries` bounds the cache, and not the log, which
    /// has room for more entries of the expected size.
    pub counts_entries: bool,
    /// The highest use count that a hit raises to; above what a slot can say where every use leaves a stamp.
    pub most_uses: u8,
    /// Generations, buckets and units that would fit before the first: what is computed from these is aligned for the
    /// compiler, too.
    words_before: usize,
    buckets_before: usize,
    units_before: usize,
}

/// Bytes that one entry takes in the log: header, optional words, key padded to 8, value, padded to [`UNIT`].
pub const fn entry_bytes(key_len: usize, value_len: usize, optional_words: usize) -> usize {
    (16 + optional_words * 8 + key_len.next_multiple_of(8) + value_len).next_multiple_of(UNIT)
}

const fn longest_entry(max_value_len: usize) -> usize {
    entry_bytes(longest_key(max_value_len), max_value_len, 2)
}

const fn longest_key(max_value_len: usize) -> usize {
    if max_value_len < MAX_KEY_LEN { max_value_len } else { MAX_KEY_LEN }
}

impl Geometry {
    /// The geometry of a new file.
    pub fn plan(request: &Request) -> Result<Self, OpenError> {
        let capacity = request.capacity;
        if capacity < MIN_CAPACITY {
            return Err(OpenError::CapacityTooSmall { given: capacity, min: MIN_CAPACITY });
        }
        if capacity > MAX_CAPACITY {
            return Err(OpenError::CapacityTooLarge { given: capacity, max: MAX_CAPACITY });
        }
        let capacity = capacity / 4096 * 4096;
        let max_value_len = plan_value_len(capacity, request.max_value_len)?;
        let entry_size = plan_entry_size(capacity, request.expected_entry_size)?;
        let max_entries = plan_max_entries(request.max_entries)?;
        let lines = plan_lines(capacity, request.max_processes)?;
        let (buckets, ghosts) = plan_index(capacity, entry_size, request.expected_entry_size.is_some(), max_entries);
        let mut geometry = Self {
            capacity,
            segments: 1,
            segment_bytes: 64,
            buckets,
            ghost_sets: ghosts.div_ceil(GHOSTS as u64).max(1),
            lines,
            max_value_len,
            max_entries,
            expected_entry_size: entry_size,
        };
        // The tables have room for 256 segments, whatever their number turns out to be: it changes a few hundred bytes.
        geometry.segments = 256;
        let log_bytes = capacity - geometry.offsets().log_at as u64;
        let least = (capacity / 256).max(longest_entry(max_value_len as usize) as u64).next_multiple_of(64);
        geometry.segments = (log_bytes / least).min(256);
        if geometry.segments < 4 {
            return Err(OpenError::CapacityTooSmall { given: request.capacity, min: least * 4 + (capacity - log_bytes) });
        }
        let log_bytes = capacity - geometry.offsets().log_at as u64;
        geometry.segment_bytes = (log_bytes / geometry.segments / 64 * 64).min((crate::protocol::MAX_UNITS * UNIT) as u64);
        Ok(geometry)
    }

    fn offsets(&self) -> Layout {
        let align = |at: u64| at.next_multiple_of(128);
        let registry_at = HEADER_BYTES as u64;
        let generations_at = align(registry_at + self.lines * LINE_BYTES as u64);
        let segment_table_at = align(generations_at + self.segments * 8);
        let index_at = align(segment_table_at + self.segments * SEGMENT_LINE_BYTES as u64);
        let stamps_at = align(index_at + self.buckets * BUCKET_BYTES as u64);
        let stamps = if self.is_exact_lru() { self.buckets * BUCKET_BYTES as u64 } else { 0 };
        let ghosts_at = align(stamps_at + stamps);
        let log_at = align(ghosts_at + self.ghost_sets * GHOST_SET_BYTES as u64);
        let total = log_at + self.segments * self.segment_bytes;
        Layout {
            geometry: *self,
            segments: self.segments as usize,
            segment_bytes: self.segment_bytes as usize,
            segment_units: self.segment_bytes as usize / UNIT,
            buckets: self.buckets as usize,
            ghost_sets: self.ghost_sets as usize,
            lines: self.lines as usize,
            max_key_len: longest_key(self.max_value_len as usize),
            max_value_len: self.max_value_len as usize,
            registry_at: registry_at as usize,
            segment_table_at: segment_table_at as usize,
            index_at: index_at as usize,
            stamps_at: stamps_at as usize,
            ghosts_at: ghosts_at as usize,
            log_at: log_at as usize,
            total: total as usize,
            counts_entries: self.is_exact_lru()
                || self.max_entries > 0
                    && self.max_entries.saturating_mul(self.expected_entry_size) <= self.segments * self.segment_bytes,
            most_uses: if self.is_exact_lru() { u8::MAX } else { crate::protocol::FREQ_MAX },
            words_before: generations_at as usize / 8,
            buckets_before: index_at as usize / BUCKET_BYTES,
            units_before: log_at as usize / UNIT,
        }
    }

    /// Whether each slot has a use stamp beside it.
    pub fn is_exact_lru(&self) -> bool {
        (1..=MAX_EXACT_LRU).contains(&self.max_entries)
    }

    /// All offsets, or what is wrong with these numbers: they may come from a rotten header.
    pub fn layout(&self) -> Result<Layout, &'static str> {
        let within = |value: u64, least: u64, most: u64| (least..=most).contains(&value);
        if !within(self.capacity, 1, MAX_CAPACITY) || !self.capacity.is_multiple_of(4096) {
            return Err("the capacity is out of range, or not of whole pages");
        }
        if !within(self.segments, 1, 256) || !within(self.lines, 1, u64::from(MAX_PROCESSES)) {
            return Err("the number of segments or of registry lines is out of range");
        }
        if !within(self.segment_bytes, 64, (crate::protocol::MAX_UNITS * UNIT) as u64) || !self.segment_bytes.is_multiple_of(64) {
            return Err("the size of a segment is out of range");
        }
        if !within(self.buckets, 1, self.capacity / 8) || !within(self.ghost_sets, 1, self.capacity / 8) {
            return Err("the size of the index is out of range");
        }
        if !within(self.max_entries, 0, MAX_ENTRIES) {
            return Err("the bound on the entries is out of range");
        }
        if !within(self.max_value_len, 1, MAX_CAPACITY) || longest_entry(self.max_value_len as usize) as u64 > self.segment_bytes
        {
            return Err("the longest entry does not fit a segment");
        }
        let layout = self.offsets();
        if layout.total as u64 > self.capacity {
            return Err("the parts do not fit the file");
        }
        Ok(layout)
    }
}

fn invalid(option: &'static str, given: impl ToString, allowed: String) -> OpenError {
    OpenError::InvalidOption { option, given: given.to_string(), allowed }
}

/// The greatest capacity stands for one that is not known yet.
fn named(capacity: u64) -> String {
    if capacity == MAX_CAPACITY {
        format!("the greatest capacity ({capacity} bytes), less at others")
    } else {
        format!("a capacity of {capacity} bytes")
    }
}

fn plan_value_len(capacity: u64, asked: Option<usize>) -> Result<u64, OpenError> {
    let most = (capacity / 16).min(LONGEST_VALUE);
    match asked {
        None => Ok((capacity / 64).min(DEFAULT_LONGEST_VALUE)),
        Some(len) if len >= 1 && len as u64 <= most => Ok(len as u64),
        Some(len) => Err(invalid("max_value_len", len, format!("1 to {most} bytes at {}", named(capacity)))),
    }
}

fn plan_entry_size(capacity: u64, asked: Option<usize>) -> Result<u64, OpenError> {
    let most = capacity / 16;
    match asked {
        None => Ok(DEFAULT_ENTRY_SIZE as u64),
        Some(size) if size >= 32 && size as u64 <= most => Ok(size as u64),
        Some(size) => {
            Err(invalid("expected_entry_size", size, format!("32 to {most} bytes, header included, at {}", named(capacity))))
        }
    }
}

fn plan_max_entries(asked: Option<u64>) -> Result<u64, OpenError> {
    match asked {
        None => Ok(0),
        Some(count @ 1..=MAX_ENTRIES) => Ok(count),
        Some(count) => Err(invalid("max_entries", count, "1 to 4294967295; leave it out for no bound".into())),
    }
}

/// The registry never takes more than 2 % of the file.
fn plan_lines(capacity: u64, asked: Option<u32>) -> Result<u64, OpenError> {
    let most = (capacity / 50 / LINE_BYTES as u64).min(u64::from(MAX_PROCESSES));
    match asked {
        None => Ok((capacity >> 16).clamp(64, 4096).min(most)),
        Some(count) if count >= 1 && u64::from(count) <= most => Ok(u64::from(count)),
        Some(count) => Err(invalid("max_processes", count, format!("1 to {most} at {}", named(capacity)))),
    }
}

/// Buckets and ghosts: a load of 0.6 with entries of the expected size, and down to 0.2, where no bucket is ever full,
/// with entries so long that 2 % of the file are enough for that. With `max_entries` a load of 0.4 (0.2 if they are few),
/// since there a full bucket would evict before the bound is reached. Ghosts are three for four entries: they say little
/// after three quarters of the capacity were evicted (`protocol::ghost`). They are one for each entry where half a per cent of the
/// file is enough for that (from 800 bytes on). More would do harm: those that are not overwritten in time seem young again.
fn plan_index(capacity: u64, entry_size: u64, size_is_known: bool, max_entries: u64) -> (u64, u64) {
    let slots = SLOTS as u64;
    let for_load = |fifths: u64| (capacity * 5).div_ceil(entry_size * fifths);
    let by_size = for_load(3).max(for_load(1).min(capacity / 50 / 8)).div_ceil(slots);
    let ghosts = (capacity / 4 * 3).max(capacity.min(capacity / 800 * entry_size)).div_ceil(entry_size);
    if max_entries == 0 {
        return (by_size, ghosts);
    }
    if max_entries <= MAX_EXACT_LRU {
        return ((max_entries * 4).next_power_of_two().max(16), max_entries);
    }
    let most = if size_is_known { by_size * 2 } else { (capacity / 8 / 64).max(by_size) };
    (
        (max_entries * 5).div_ceil(slots * if max_entries < 4096 { 1 } else { 2 }).min(most),
        max_entries.min(ghosts.max(capacity / 256)),
    )
}

impl Layout {
    /// The word of generation of a segment.
    #[inline]
    pub fn generation_at(&self, segment: usize) -> usize {
        (self.words_before + segment) * 8
    }

    /// A word (see [`segment`]) of the line of a segment.
    #[inline]
    pub fn segment_at(&self, segment: usize, field: usize) -> usize {
        self.segment_table_at + segment * SEGMENT_LINE_BYTES + field
    }

    /// A word (see [`line`]) of a registry line.
    #[inline]
    pub fn line_at(&self, line: usize, field: usize) -> usize {
        self.registry_at + line * LINE_BYTES + field
    }

    /// A slot of a bucket.
    #[inline]
    pub fn slot_at(&self, bucket: usize, slot: usize) -> usize {
        (self.buckets_before + bucket) * BUCKET_BYTES + slot * 8
    }

    /// The use stamp beside the slot at `slot_at`.
    #[inline]
    pub fn stamp_at(&self, slot_at: usize) -> usize {
        slot_at - self.index_at + self.stamps_at
    }

    /// A ghost of a set.
    #[inline]
    pub fn ghost_at(&self, set: usize, ghost: usize) -> usize {
        self.ghosts_at + set * GHOST_SET_BYTES + ghost * 4
    }

    /// A unit of a segment.
    #[inline]
    pub fn unit_at(&self, segment: usize, unit: usize) -> usize {
        (self.units_before + segment * self.segment_units + unit) * UNIT
    }

    /// The bucket of a key, by the upper half of its hash (Lemire's multiply and shift).
    #[inline]
    pub fn bucket_of(&self, hash32: u32) -> usize {
        ((u64::from(hash32) * self.buckets as u64) >> 32) as usize
    }

    /// The set of ghosts of a key.
    #[inline]
    pub fn ghost_set_of(&self, hash32: u32) -> usize {
        ((u64::from(hash32) * self.ghost_sets as u64) >> 32) as usize
    }
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
