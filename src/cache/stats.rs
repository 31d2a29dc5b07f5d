//! What the cache counts.

use std::time::Duration;

use super::Cache;
use crate::layout::UNIT;
use crate::protocol::Event;

/// Counts since the file was made, over all processes, and what the file holds now.
///
/// Of every entry that was stored, one figure says why it went: `replaced`, `removed`, `evicted_unused`, `evicted_used`,
/// `evicted_by_full_bucket`, `expired` or `cleared`. The rest are `entries`, and those from before a `clear` that nobody came
/// across yet.
///
/// Each thread counts for itself and adds up now and then (every 64 operations), so counts of other processes lag by
/// that much, and a kill loses as much. The figures are read one after the other while others go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Gets that found a value.
    pub hits: u64,
    /// Gets that found none.
    pub misses: u64,
    /// Entries stored, for new keys and in place of older entries.
    pub stored: u64,
    /// ... of which in place of older ones that counted.
    pub replaced: u64,
    /// Keys removed by callers.
    pub removed: u64,
    /// Entries evicted by the policy that had not been used since they came or were last passed over.
    pub evicted_unused: u64,
    /// Entries evicted by the policy that had been used.
    pub evicted_used: u64,
    /// Entries evicted because their bucket of the index was full: many of these say that entries are smaller than
    /// `expected_entry_size`.
    pub evicted_by_full_bucket: u64,
    /// Expired entries that were taken out, by whoever found them or by a sweep.
    pub expired: u64,
    /// Entries from before a `clear` that were taken out, in the same ways.
    pub cleared: u64,
    /// Writes for which there was no room at that moment.
    pub dropped: u64,
    /// Bytes moved within the file to save entries worth keeping.
    pub moved_bytes: u64,
    /// Bytes appended for new entries.
    pub appended_bytes: u64,
    /// Keys that were stored again soon after they had been evicted.
    pub evicted_too_early: u64,
    /// How old entries are when they are evicted at present: the time since they were stored or last moved, to about the
    /// time that it takes to fill a segment. A running mean; zero until something was evicted.
    pub evicted_age: Duration,
    /// Segments of the log that were recycled.
    pub segments_freed: u64,
    /// Gets that gave up because the entry changed under them again and again; they count as misses too.
    pub reads_given_up: u64,

    /// Entries now (see [`Cache::len`]).
    pub entries: u64,
    /// Bytes that these take in the log, headers and padding included.
    pub live_bytes: u64,
    /// Bytes of the log that are filled, dead entries included.
    pub filled_bytes: u64,
    /// Bytes of the whole log.
    pub log_bytes: u64,
    /// Slots of the index.
    pub slots: u64,
    /// Segments of the log.
    pub segments: u64,
    /// ... of which hold nothing.
    pub segments_free: u64,
    /// ... of which are being written to or swept at this moment, or were when their process died.
    pub segments_held: u64,
    /// ... of which hold entries that proved worth keeping.
    pub segments_main: u64,
    /// Lines of the registry that are taken: by the processes attached now, and by those that died and whose line nobody has
    /// taken over yet. (A process has a line for each handle that it opened, however many clones of it there are.)
    pub processes: u64,
    /// Lines of the registry.
    pub max_processes: u64,
}

impl Stats {
    /// Hits in all gets, 0 if there were none.
    pub fn hit_ratio(&self) -> f64 {
        // Counts of a rotten file may be any.
        let gets = self.hits as f64 + self.misses as f64;
        if gets == 0.0 { 0.0 } else { self.hits as f64 / gets }
    }
}

impl Cache {
    /// Counts and sizes. Adds up some hundreds of words; not for the fast path.
    pub fn stats(&self) -> Stats {
        let core = &self.inner.core;
        let mut sums = core.counters();
        for (sum, pending) in sums.iter_mut().zip(self.inner.lanes.pending()) {
            *sum = sum.wrapping_add(pending);
        }
        let of = |event: Event| sums[event as usize];
        let census = core.census();
        let unit = UNIT as u64;
        Stats {
            hits: of(Event::Hit),
            misses: of(Event::Miss),
            stored: of(Event::Stored),
            replaced: of(Event::Replaced),
            removed: of(Event::Removed),
            evicted_unused: of(Event::EvictedUnused),
            evicted_used: of(Event::EvictedUsed),
            evicted_by_full_bucket: of(Event::EvictedByFullBucket),
            expired: of(Event::Expired),
            cleared: of(Event::Cleared),
            dropped: of(Event::Dropped),
            moved_bytes: of(Event::MovedUnits).wrapping_mul(unit),
            appended_bytes: of(Event::AppendedUnits).wrapping_mul(unit),
            evicted_too_early: of(Event::GhostHit),
            evicted_age: Duration::from_millis(core.evicted_age_ms()),
            segments_freed: of(Event::SegmentFreed),
            reads_given_up: of(Event::ReadGaveUp),
            entries: self.at_most_all(census.entries) as u64,
            live_bytes: census.live_units as u64 * unit,
            filled_bytes: census.filled_units as u64 * unit,
            log_bytes: (core.layout.segments * core.layout.segment_bytes) as u64,
            slots: (core.layout.buckets * crate::layout::SLOTS) as u64,
            segments: core.layout.segments as u64,
            segments_free: census.free as u64,
            segments_held: (census.claimed + census.sweeping) as u64,
            segments_main: census.main as u64,
            processes: (0..core.lines_used()).filter(|&line| core.incarnation(line) != 0).count() as u64,
            max_processes: core.layout.lines as u64,
        }
    }
}
