//! Counts that are kept for each segment: how many entries in it are the value of their key, and how many units those
//! take.
//!
//! They are hints: raised before an entry is published, lowered after its word was taken out, and tagged with the
//! segment's generation and the era, so that a late change from before a recycling or a `clear` does nothing (R20). A
//! death between a slot's change and its count leaves it wrong until the segment is recycled. No decision about
//! correctness rests on them.
//!
//! ```text
//!  63 ...... 52 | 51 ...... 28 | 27 ...... 0
//!  generation   | era          | count
//! ```

use core::sync::atomic::Ordering;

use super::{Core, Log, Memory, Mutant, Word};
use crate::layout::header;
use crate::layout::segment::{COUNT, LIVE};

const VALUE_MASK: u64 = (1 << 28) - 1;

fn tag(generation: u64, era: u32) -> u64 {
    (generation & 0xfff) << 52 | u64::from(era & 0xff_ffff) << 28
}

/// Whether a tally was begun in a later era than `era`: then what is to be counted is dead already.
fn is_of_later_era(word: u64, generation: u64, era: u32) -> bool {
    let (mine, theirs) = (era & 0xff_ffff, (word >> 28) as u32 & 0xff_ffff);
    word >> 52 == generation & 0xfff && (1..=0x7f_ffff).contains(&(theirs.wrapping_sub(mine) & 0xff_ffff))
}

/// What is known of the live entries of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries.
    pub count: usize,
    /// Units of 16 bytes.
    pub units: usize,
}

impl<M: Memory> Core<M> {
    /// Before an entry is published. Relaxed, like every access here: nothing is inferred from a tally.
    pub(super) fn raise_tally(&self, segment: usize, generation: u64, era: u32, units: usize) {
        let mine = tag(generation, era);
        for (field, amount) in [(LIVE, units as u64), (COUNT, 1)] {
            self.change_tally(segment, field, |word| {
                if word & !VALUE_MASK == mine {
                    return Some(mine | ((word & VALUE_MASK) + amount).min(VALUE_MASK));
                }
                (!is_of_later_era(word, generation, era)).then_some(mine | amount.min(VALUE_MASK))
            });
        }
        self.count_in_main(segment, 1);
    }

    /// After the word of an entry was taken out.
    pub(super) fn lower_tally(&self, segment: usize, generation: u64, era: u32, units: usize) {
        if super::wanted(Mutant::CountNotLowered) {
            return;
        }
        let mine = tag(generation, era);
        let mut lowered = false;
        for (field, amount) in [(LIVE, units as u64), (COUNT, 1)] {
            lowered = self.change_tally(segment, field, |word| {
                (word & !VALUE_MASK == mine).then(|| mine | (word & VALUE_MASK).saturating_sub(amount))
            });
        }
        if lowered {
            self.count_in_main(segment, u64::MAX);
        }
    }

    /// Where `max_entries` bounds the cache, the policy weighs its logs by entries at each eviction: one word says how
    /// many are in the main log.
    fn count_in_main(&self, segment: usize, change: u64) {
        if self.layout.geometry.max_entries > 0 && self.state(segment).log() == Log::Main {
            self.memory.word(header::COUNT_MAIN).fetch_add(change, Ordering::Relaxed);
        }
    }

    fn change_tally(&self, segment: usize, field: usize, change: impl Fn(u64) -> Option<u64>) -> bool {
        let word = self.memory.word(self.layout.segment_at(segment, field));
        let mut seen = word.load(Ordering::Relaxed);
        // A failure means that somebody else counted; should it happen this often, the hint is left as it is.
        for _ in 0..64 {
            let Some(new) = change(seen) else { return false };
            match word.compare_exchange(seen, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// The tally of a segment in an era.
    pub(super) fn tally(&self, segment: usize, era: u32) -> Tally {
        let mine = tag(self.load(self.layout.generation_at(segment), Ordering::Relaxed), era);
        let read = |field| {
            let word = self.load(self.layout.segment_at(segment, field), Ordering::Relaxed);
            if word & !VALUE_MASK == mine { (word & VALUE_MASK) as usize } else { 0 }
        };
        Tally { count: read(COUNT), units: read(LIVE) }
    }

    /// The number of entries, as far as counts tell.
    pub fn len(&self) -> usize {
        let era = self.era();
        (0..self.layout.segments).map(|segment| self.tally(segment, era).count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_eras_are_told_from_earlier_ones_across_the_wrap() {
        let word = |era| tag(7, era) | 5;
        assert!(is_of_later_era(word(3), 7, 2) && !is_of_later_era(word(2), 7, 2) && !is_of_later_era(word(1), 7, 2));
        assert!(is_of_later_era(word(0), 7, 0xff_ffff) && !is_of_later_era(word(0xff_ffff), 7, 0));
        assert!(!is_of_later_era(word(3), 8, 2), "another generation");
    }
}
