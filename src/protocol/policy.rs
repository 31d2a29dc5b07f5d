//! Which log an entry goes to, and which log gives way.
//!
//! Two FIFO logs with a two-bit use count for each entry, as in S3-FIFO (Yang et al., "FIFO queues are all you need for
//! cache eviction", SOSP 2023), whose split adapts to ghosts as in CAR (Bansal and Modha, "CAR: Clock with Adaptive
//! Replacement", FAST 2004); but only a *near* ghost counts fully. A newcomer's ghost that is hit soon says that a
//! slightly larger log of newcomers would have had a hit; a ghost of the main log says the same of that one.
//! `docs/design.md` has the pseudo-code.
//!
//! Sizes are in units of the policy: entries where `max_entries` bounds the cache, else units of 16 bytes. All shared
//! numbers here are hints: relaxed, clamped when read, and a lost update costs nothing but precision.

use core::sync::atomic::Ordering;

use super::ghost::Ghost;
use super::{Core, Event, Key, Log, Memory, Op, Phase, Probe, StateWord, UNKNOWN_TIME, Word};
use crate::layout::{Layout, header, segment};

/// A newcomer used so often goes to the main log.
pub(super) const PROMOTION: u8 = 2;
/// Evictions from its log within which a ghost of a newcomer counts fully, in epochs.
const NEAR_EPOCHS: u32 = 4;
/// A log gives way epoch by epoch; there are so many epochs to a capacity.
const EPOCHS_PER_CAPACITY: u64 = 32;

/// While the main log is empty, of so many keys that come back one opens a segment for it: one that comes back alone is as
/// likely as not another one with its fingerprint, and would have a segment to itself.
const FIRST_OF_MAIN: u16 = 256;

/// Where an entry that is new, or comes back, is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Admission {
    pub log: Log,
    pub freq: u8,
}

/// What a sweep evicted from each log, to be told to the policy at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evicted {
    pub units: [u64; 2],
    pub entries: [u64; 2],
}

impl Layout {
    /// The capacity in units of the policy.
    pub(super) fn policy_capacity(&self) -> u64 {
        if self.counts_entries {
            return self.geometry.max_entries;
        }
        (self.segments.saturating_sub(2).max(1) * self.segment_units) as u64
    }

    /// The share of newcomers that a new file begins with, in 1/256 units.
    pub fn first_share(&self) -> u64 {
        self.policy_capacity() * 256 / 5
    }
}

impl<M: Memory> Core<M> {
    fn policy_capacity(&self) -> u64 {
        self.layout.policy_capacity()
    }

    fn share_bounds(&self) -> (u64, u64) {
        let capacity = self.policy_capacity();
        ((capacity * 256 / 100).max(256), (capacity * 256 / 10 * 9).max(256))
    }

    /// How many units the log of newcomers may hold before it gives way.
    pub(super) fn share(&self) -> u64 {
        let (least, most) = self.share_bounds();
        self.load(header::POLICY_SHARE, Ordering::Relaxed).clamp(least, most) / 256
    }

    pub(super) fn epochs(&self) -> [u32; 2] {
        [0, 1].map(|log| self.epoch_of(self.load(header::POLICY_EVICTED + log * 8, Ordering::Relaxed)))
    }

    /// The epoch of a log from which so much was evicted.
    fn epoch_of(&self, evicted: u64) -> u32 {
        let length = ((self.policy_capacity() + EPOCHS_PER_CAPACITY / 2) / EPOCHS_PER_CAPACITY).max(1);
        (evicted / length) as u32
    }

    /// How old what is evicted is at present, in milliseconds.
    pub fn evicted_age_ms(&self) -> u64 {
        self.load(header::EVICTED_AGE, Ordering::Relaxed) / AGE_WEIGHT
    }

    /// Moves the share of newcomers after a ghost was hit by an entry of this size.
    fn adapt(&self, ghost: Ghost, units: usize) {
        let one = if self.layout.counts_entries { 1 } else { units as u64 };
        let step = (one * 4 * 256).max(self.policy_capacity() * 256 / 4096);
        let (least, most) = self.share_bounds();
        let word = self.memory.word(header::POLICY_SHARE);
        let now = word.load(Ordering::Relaxed).clamp(least, most);
        let new = match ghost.log {
            Log::Newcomers if ghost.age < NEAR_EPOCHS => (now + step).min(most),
            Log::Newcomers => (now + step / 32).min(most),
            Log::Main => now.saturating_sub(step).max(least),
        };
        word.store(new, Ordering::Relaxed);
    }
}

/// The share of the newest figure in the running mean of ages.
const AGE_WEIGHT: u64 = 16;

impl<M: Memory> Op<'_, M> {
    /// Tells the policy what a step evicted.
    pub(super) fn note_evicted(&self, evicted: &Evicted) {
        let core = self.core;
        core.give_credit_for_entries(evicted.entries.iter().sum());
        let amounts = if core.layout.counts_entries { evicted.entries } else { evicted.units };
        for (log, amount) in amounts.into_iter().enumerate().filter(|&(_, amount)| amount > 0) {
            let before = core.memory.word(header::POLICY_EVICTED + log * 8).fetch_add(amount, Ordering::Relaxed);
            if log == Log::Newcomers as usize {
                self.note_epochs(core.epoch_of(before), core.epoch_of(before.wrapping_add(amount)));
            }
        }
    }

    /// A segment was opened just now.
    pub(super) fn note_opening(&self, segment: usize) {
        if !cfg!(shmemo_model) {
            let opened = self.core.layout.segment_at(segment, segment::OPENED);
            self.core.memory.word(opened).store(self.now(), Ordering::Relaxed);
        }
    }

    /// Entries of a segment were evicted just now.
    pub(super) fn note_age(&self, segment: usize) {
        if cfg!(shmemo_model) {
            return;
        }
        let opened = self.core.load(self.core.layout.segment_at(segment, segment::OPENED), Ordering::Relaxed);
        let now = self.now();
        if opened == UNKNOWN_TIME || now == UNKNOWN_TIME {
            return;
        }
        let age = now.saturating_sub(opened);
        let mean = self.core.memory.word(header::EVICTED_AGE);
        let before = mean.load(Ordering::Relaxed);
        // In 1/16 ms, so that small differences count.
        let after = if before == 0 { age.saturating_mul(AGE_WEIGHT) } else { (before - before / AGE_WEIGHT).saturating_add(age) };
        mean.store(after, Ordering::Relaxed);
    }

    /// An entry was evicted out of its turn.
    pub(super) fn leave_ghost_of(&self, probe: &Probe) {
        if !self.core.layout.geometry.is_exact_lru() {
            let log = self.core.state(probe.place().segment).log();
            self.core.leave_ghost(probe.header.hash32, probe.word.tag(), log, self.core.epochs());
        }
    }

    /// Whether nothing is in the main log, where it is bounded by bytes. The segment that was last seen open answers first.
    fn has_no_main(&self) -> bool {
        let core = self.core;
        if core.layout.counts_entries {
            return false;
        }
        let open = self.hints.open[Log::Main as usize].load(Ordering::Relaxed) as usize;
        let is_main = |state: StateWord| state.log() == Log::Main && state.phase() != Phase::Free;
        let is_seen = open < core.layout.segments && is_main(core.state(open));
        !is_seen && core.segments_of_logs()[Log::Main as usize] == 0
    }

    /// Where a key that is not there is to go.
    pub(super) fn admit(&self, key: &Key<'_>, units: usize) -> Admission {
        let newcomer = Admission { log: Log::Newcomers, freq: 0 };
        if self.core.layout.geometry.is_exact_lru() {
            return newcomer;
        }
        let Some(ghost) = self.core.take_ghost(key.hash32, key.tag) else { return newcomer };
        self.count(Event::GhostHit);
        self.core.adapt(ghost, units);
        let is_small = units * usize::from(FIRST_OF_MAIN) <= self.core.layout.segment_units;
        if is_small && !key.tag.is_multiple_of(FIRST_OF_MAIN) && self.has_no_main() {
            return newcomer;
        }
        Admission { log: Log::Main, freq: if ghost.log == Log::Main { 3 } else { 0 } }
    }
}
