//! What a use of an entry tells the policy.
//!
//! Many an entry is used again right after it came, and then never more. Such correlated references say little: LRU-K (O'Neil,
//! O'Neil and Weikum, SIGMOD 1993) and 2Q (Johnson and Shasha, VLDB 1994) do not count them at all. Here a newcomer needs two
//! early uses to go to the main log, or one *late* one: after so much was evicted from its log since it came that it is
//! a quarter of the capacity.
//!
//! That costs a get nothing but at the first use of an entry. A place in the log of newcomers is the birth of a segment
//! and a unit; when an epoch of that log begins (see `policy`), its end is noted, and whatever stands before the end that
//! was noted eight epochs ago has become old enough. All these words are hints: relaxed, and any bits do.

use core::sync::atomic::Ordering;

use super::policy::PROMOTION;
use super::{Core, Log, Memory, Op, Phase, Place, SlotWord, Word};
use crate::layout::{header, segment};

/// Epochs of the log of newcomers after which a use is late: a quarter of the capacity.
const LATE_EPOCHS: u32 = 8;
/// Bits of a unit in a place in the log.
const UNIT_BITS: u32 = 28;

const _: () = assert!(super::MAX_UNITS <= 1 << UNIT_BITS && header::EPOCH_ENDS.is_multiple_of(64));

impl<M: Memory> Core<M> {
    /// Counts a use, by one attempt, and only below the top: a hot key's slot is not written (R18).
    #[inline]
    pub fn note_use(&self, slot_at: usize, word: SlotWord) {
        if word.freq() < self.layout.most_uses {
            self.tell_use(slot_at, word);
        }
    }

    #[inline(never)]
    fn tell_use(&self, slot_at: usize, word: SlotWord) {
        if self.layout.geometry.is_exact_lru() {
            self.stamp_use(slot_at);
            if word.freq() > 0 {
                return; // that it was used at all is for the statistics
            }
        }
        let is_enough = word.freq() == 0 && self.is_late(word.place());
        let raised = word.with_freq(if is_enough { PROMOTION } else { word.freq() + 1 });
        // Relaxed: the word goes on naming the same entry, and an exchange carries the release of its publication on.
        let slot = self.memory.word(slot_at);
        let _ = slot.compare_exchange(word.bits(), raised.bits(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Marks a slot as the one used last. The first process to see that it is already does nothing.
    pub(super) fn stamp_use(&self, slot_at: usize) {
        let clock = self.memory.word(header::USE_CLOCK);
        let stamp = self.memory.word(self.layout.stamp_at(slot_at));
        // Relaxed: stamps order evictions, nothing else.
        if stamp.load(Ordering::Relaxed) != clock.load(Ordering::Relaxed) || stamp.load(Ordering::Relaxed) == 0 {
            stamp.store(clock.fetch_add(1, Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
    }

    /// Whether what is used now came to the log of newcomers long ago.
    fn is_late(&self, place: Place) -> bool {
        // The models are about order, not about age.
        !cfg!(shmemo_model)
            && self.state(place.segment).log() == Log::Newcomers
            && self.place_in_log(place) < self.load(header::LATE, Ordering::Relaxed)
    }

    fn place_in_log(&self, place: Place) -> u64 {
        let birth = self.load(self.layout.segment_at(place.segment, segment::BIRTH), Ordering::Relaxed);
        birth << UNIT_BITS | place.unit as u64
    }
}

impl<M: Memory> Op<'_, M> {
    /// The log of newcomers comes from one epoch into another: its end is noted.
    pub(super) fn note_epochs(&self, from: u32, to: u32) {
        if from == to || cfg!(shmemo_model) {
            return;
        }
        let end = self.end_of_newcomers();
        let note = |epoch: u32| self.core.memory.word(header::EPOCH_ENDS + (epoch % LATE_EPOCHS) as usize * 8);
        for epoch in (0..to.wrapping_sub(from).min(LATE_EPOCHS)).map(|before| to.wrapping_sub(before)) {
            note(epoch).store(end, Ordering::Relaxed);
        }
        let late = note(to.wrapping_add(1)).load(Ordering::Relaxed);
        self.core.memory.word(header::LATE).store(late, Ordering::Relaxed);
    }

    /// Where the log of newcomers ends, as far as this thread knows: others may write to a segment of their own.
    fn end_of_newcomers(&self) -> u64 {
        let core = self.core;
        let hinted = self.hints.open[Log::Newcomers as usize].load(Ordering::Relaxed) as usize;
        if hinted < core.layout.segments {
            let state = core.state(hinted);
            if matches!(state.phase(), Phase::Open | Phase::Claimed) && state.log() == Log::Newcomers {
                return core.place_in_log(Place { segment: hinted, unit: core.tail(hinted) });
            }
        }
        core.load(header::BIRTHS, Ordering::Relaxed) << UNIT_BITS
    }
}
