//! Counts that are kept for each segment: how many entries in it are the value of their key, and how many units those
//! take.
//!
//! What was added is counted by the holder of the segment, by plain stores, before the entry is published; what has gone
//! since, by whoever took its word out of the slot, afterwards. These are hints. They are tagged with the segment's
//! generation and the era, so that a late change from before a recycling or a `clear` does nothing (R20). A death
//! between a slot's change and its count leaves it wrong until the segment is recycled. No decision about correctness
//! rests on them.
//!
//! ```text
//!  63 ...... 52 | 51 ...... 28 | 27 ...... 0
//!  generation   | era          | count
//! ```

use core::sync::atomic::Ordering;

use super::{Claim, Core, Log, Memory, Mutant, Probe, Word};
use crate::layout::header;
use crate::layout::segment::{ADDED, ADDED_UNITS, GONE, GONE_UNITS};

const VALUE_MASK: u64 = (1 << 28) - 1;

pub(super) fn tag(generation: u64, era: u32) -> u64 {
    (generation & 0xfff) << 52 | u64::from(era & 0xff_ffff) << 28
}

const _: () = assert!(ADDED == ADDED_UNITS + 8 && GONE == GONE_UNITS + 8);

/// Whether a tally was begun in a later era than `era`: then what is to be counted is dead already.
pub(super) fn is_of_later_era(word: u64, generation: u64, era: u32) -> bool {
    let (mine, theirs) = (era & 0xff_ffff, (word >> 28) as u32 & 0xff_ffff);
    word >> 52 == generation & 0xfff && (1..=0x7f_ffff).contains(&(theirs.wrapping_sub(mine) & 0xff_ffff))
}

/// The rare half of raising a tally: it was begun in another generation or era, or it is as high as it can be.
#[cold]
#[inline(never)]
fn begin_tally(word: &impl Word, seen: u64, generation: u64, era: u32, amount: u64) {
    let mine = tag(generation, era);
    if is_of_later_era(seen, generation, era) {
        return;
    }
    let count = if seen & !VALUE_MASK == mine { VALUE_MASK } else { amount.min(VALUE_MASK) };
    word.store(mine | count, Ordering::Relaxed);
}

/// Counts out what has gone, if what was `added` still has the tag that it has. Tells whether it did.
fn add_to_gone<W: Word>(gone: &W, added: &W, mine: u64, amount: u64) -> bool {
    // Acquire and release: whoever finds the word with a later tag finds what was added with that tag, too.
    let mut seen = gone.load(Ordering::Acquire);
    // A failure means that somebody else counted; should it happen this often, the hint is left as it is.
    for _ in 0..64 {
        let is_mine = seen & !VALUE_MASK == mine;
        // A foreign tag is left from before, unless what was added has another by now: then it is of what came later, whose
        // count somebody who stood still meanwhile must not take away.
        if !is_mine && added.load(Ordering::Relaxed) & !VALUE_MASK != mine {
            return false;
        }
        let before = if is_mine { seen & VALUE_MASK } else { 0 };
        let new = mine | (before + amount).min(VALUE_MASK);
        match gone.compare_exchange(seen, new, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => return true,
            Err(now) => seen = now,
        }
    }
    false
}

/// What is known of the live entries of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries.
    pub count: usize,
    /// Units of 16 bytes.
    pub units: usize,
}

impl Tally {
    /// Adds what another one has.
    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.units += other.units;
    }

    /// One entry of so many units.
    pub(super) fn one(units: usize) -> Self {
        Self { count: 1, units }
    }
}

impl<M: Memory> Core<M> {
    /// Before an entry is published, by the holder of its segment. Relaxed, like every access here: nothing is inferred
    /// from a tally.
    #[inline]
    pub(super) fn raise_tally(&self, claim: &Claim, era: u32, units: usize) {
        let mine = tag(claim.generation, era);
        let [added_units, added] = self.memory.words::<2>(self.layout.segment_at(claim.segment, ADDED_UNITS));
        for (word, amount) in [(added_units, units as u64), (added, 1)] {
            let seen = word.load(Ordering::Relaxed);
            let raised = seen.wrapping_add(amount);
            if raised & !VALUE_MASK == mine && seen >= mine {
                word.store(raised, Ordering::Relaxed);
            } else {
                begin_tally(word, seen, claim.generation, era, amount);
            }
        }
        self.count_in_main(claim.segment, 1);
    }

    /// After the words of entries of one era were taken out.
    pub(super) fn lower_tally(&self, segment: usize, generation: u64, era: u32, gone: Tally) {
        if super::wanted(Mutant::CountNotLowered) {
            return;
        }
        let mine = tag(generation, era);
        let added = self.memory.words::<2>(self.layout.segment_at(segment, ADDED_UNITS));
        let fields = self.memory.words::<2>(self.layout.segment_at(segment, GONE_UNITS));
        let mut lowered = false;
        for (i, amount) in [gone.units as u64, gone.count as u64].into_iter().enumerate() {
            lowered = added[i].load(Ordering::Relaxed) & !VALUE_MASK == mine && add_to_gone(fields[i], added[i], mine, amount);
        }
        if lowered {
            self.count_in_main(segment, (gone.count as u64).wrapping_neg());
        }
    }

    /// After the word of this entry was taken out.
    pub(super) fn lower_tally_of(&self, probe: &Probe) {
        let one = Tally::one(probe.header.units());
        self.lower_tally(probe.place().segment, probe.generation, probe.header.era, one);
        self.unforesee_of(probe);
    }

    /// Where `max_entries` bounds the cache, the policy weighs its logs by entries at each eviction: one word says how
    /// many are in the main log.
    #[inline]
    fn count_in_main(&self, segment: usize, change: u64) {
        if self.layout.counts_entries && self.state(segment).log() == Log::Main {
            self.memory.word(header::COUNT_MAIN).fetch_add(change, Ordering::Relaxed);
        }
    }

    fn read_tally(&self, segment: usize, era: u32, field: usize) -> usize {
        let mine = tag(self.load(self.layout.generation_at(segment), Ordering::Relaxed), era);
        let word = self.load(self.layout.segment_at(segment, field), Ordering::Relaxed);
        if word & !VALUE_MASK == mine { (word & VALUE_MASK) as usize } else { 0 }
    }

    /// The tally of a segment in an era.
    pub(super) fn tally(&self, segment: usize, era: u32) -> Tally {
        let left = |added, gone| self.read_tally(segment, era, added).saturating_sub(self.read_tally(segment, era, gone));
        Tally { count: left(ADDED, GONE), units: left(ADDED_UNITS, GONE_UNITS) }
    }

    /// Units of a segment that are alive, as far as counts tell and what is foreseen.
    pub(super) fn live_units(&self, segment: usize, era: u32, now_ms: impl FnOnce() -> u64) -> usize {
        self.tally(segment, era).units.saturating_sub(self.expired_units(segment, era, now_ms))
    }

    /// The mean units of what was put into a segment in an era, dead or alive. It does not change while a sealed segment
    /// is swept, whoever goes on with that.
    pub(super) fn mean_units(&self, segment: usize, era: u32) -> usize {
        self.read_tally(segment, era, ADDED_UNITS) / self.read_tally(segment, era, ADDED).max(1)
    }

    /// The number of entries, as far as counts tell.
    pub fn count_entries(&self) -> usize {
        let era = self.era();
        (0..self.layout.segments).map(|segment| self.tally(segment, era).count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::HeapMemory;

    #[test]
    fn later_eras_are_told_from_earlier_ones_across_the_wrap() {
        let word = |era| tag(7, era) | 5;
        assert!(is_of_later_era(word(3), 7, 2) && !is_of_later_era(word(2), 7, 2) && !is_of_later_era(word(1), 7, 2));
        assert!(is_of_later_era(word(0), 7, 0xff_ffff) && !is_of_later_era(word(0xff_ffff), 7, 0));
        assert!(!is_of_later_era(word(3), 8, 2), "another generation");
    }

    /// Between its look at what was added and its count of what has gone, another may stand still through a `clear` and a
    /// recycling.
    #[test]
    fn a_late_count_of_what_has_gone_leaves_that_of_later_ones() {
        let memory = HeapMemory::new(64);
        let (added, gone) = (memory.word(0), memory.word(8));
        let mine = tag(7, 3);
        for later in [tag(7, 4), tag(8, 3), tag(8, 0)] {
            added.store(later | 1000, Ordering::Relaxed);
            gone.store(later | 990, Ordering::Relaxed);
            assert!(!add_to_gone(gone, added, mine, 1));
            assert_eq!(gone.load(Ordering::Relaxed), later | 990);
        }
        added.store(mine | 1000, Ordering::Relaxed);
        for earlier in [0, tag(7, 2) | 990, tag(6, 9) | 990] {
            gone.store(earlier, Ordering::Relaxed);
            assert!(add_to_gone(gone, added, mine, 1) && add_to_gone(gone, added, mine, 2));
            assert_eq!(gone.load(Ordering::Relaxed), mine | 3);
        }
    }
}
