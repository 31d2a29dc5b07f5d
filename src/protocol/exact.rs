//! Exact order of use, for caches of few entries: each slot has a use stamp beside it, sweeps move whatever is alive, and
//! what goes is said here alone.

use core::sync::atomic::Ordering;

use super::sweep::{Mercy, Step};
use super::{Event, Found, Kind, Memory, Op, SlotWord};
use crate::layout::SLOTS;

impl<M: Memory> Op<'_, M> {
    /// Evicts an entry that is dead, else the one whose use lies furthest back. Tells whose segment that was; `None`: there is
    /// nothing to evict.
    pub(super) fn evict_least_recent(&self) -> Option<usize> {
        let core = self.core;
        for _ in 0..64 {
            let slots = (0..core.layout.buckets).flat_map(|bucket| (0..SLOTS).map(move |slot| (bucket, slot)));
            let entries = slots.filter_map(|(bucket, slot)| {
                let at = core.layout.slot_at(bucket, slot);
                let word = core.slot(at);
                let last_use = || core.load(core.layout.stamp_at(at), Ordering::Relaxed);
                (word.kind() == Kind::Live).then(|| (self.header_if_alive(word).is_some(), last_use(), at))
            });
            let (is_alive, _, at) = entries.min()?;
            let word = core.slot(at);
            let Found::Yes(probe) = self.examine_slot(at, None) else {
                // Nothing stands where the word points: it is empty for every purpose.
                core.swap_slot(at, word, SlotWord::EMPTY);
                continue;
            };
            if !is_alive && !self.is_dead(&probe) {
                continue; // it stands here since a moment ago
            }
            if self.evict(&probe) {
                self.count_end(&probe, Event::evicted(probe.word.freq()));
                return Some(probe.place().segment);
            }
        }
        None
    }

    /// Where there is no place for what a sweep would move: one entry goes, the least recent, and the segment that it leaves
    /// is swept instead, since it may be the one that can be freed now. Tells whether it was.
    pub(super) fn free_in_order(&self) -> bool {
        let Some(segment) = self.evict_least_recent() else { return false };
        if self.core.tally(segment, self.era).units * 2 <= self.core.layout.segment_units {
            self.core.seal(segment);
        }
        // Each step handles an entry at least, unless somebody scribbles in the file.
        for _ in 0..self.core.layout.segment_units {
            match self.sweep_step(segment, Mercy::Policy, u64::MAX) {
                Step::Walked(_) => {}
                step => return step == Step::Freed,
            }
        }
        false
    }
}
