//! Hazard words: whoever will replace a live word first pins the segment of its entry (after Michael, "Hazard
//! pointers", TPDS 2004).
//!
//! Generations in slot words wrap. Without a pin, a stopped process could find the very bits again that it read before,
//! though they mean another entry by now. A pinned segment is swept but not recycled, so while the pin stands, the same
//! bits mean the same entry.
//!
//! Pinner: store the pin, `fence(SeqCst)`, look at slot and generation again. Sweeper: empty the slots,
//! `fence(SeqCst)`, look at the pins, raise the generation. At least one of the two sees the other (the store-buffer
//! pattern): either the sweeper passes over the segment, or the pinner finds the slot changed.
//!
//! ```text
//!  63 ............ 20 | 19 .......... 0
//!  generation         | segment + 1, 0 if unused
//! ```

use core::sync::atomic::Ordering;

use super::{Core, Memory, Mutant, Op, Owner, Probe, SlotWord, Word, wanted};
use crate::layout::{PINS, header, line};

fn encode(segment: usize, generation: u64) -> u64 {
    generation << 20 | (segment as u64 + 1)
}

/// A pin that stands. Taken away when dropped.
pub(super) struct Pin<'a, M: Memory> {
    core: &'a Core<M>,
    at: usize,
    word: u64,
}

impl<M: Memory> Drop for Pin<'_, M> {
    #[inline]
    fn drop(&mut self) {
        // Release: what was done under the pin comes before. An exchange, not a store: were this process taken for dead
        // and its line given away, it must not take away the pin of another.
        let _ = self.core.memory.word(self.at).compare_exchange(self.word, 0, Ordering::Release, Ordering::Relaxed);
    }
}

impl<'a, M: Memory> Op<'a, M> {
    /// Pins the entry that was found and looks at slot and generation once more. Gives the word as it stands now (its
    /// use count may have changed), or `None` if it is no longer there or if all hazard words of this process are taken
    /// for too long.
    #[inline]
    pub(super) fn pin(&self, probe: &Probe) -> Option<(Pin<'a, M>, SlotWord)> {
        let word = encode(probe.place().segment, probe.generation);
        let pin = Pin { core: self.core, at: self.take_pin(word)?, word };
        if !wanted(Mutant::NoPinFence) && !wanted(Mutant::UnreleasedPublish) {
            self.core.memory.fence_after_exchange(); // pairs with the fence in `is_pinned`
        }
        let now = self.core.slot(probe.slot_at);
        let generation = self.core.generation(probe.place().segment);
        let unchanged = now.same_entry(probe.word) && generation == probe.generation;
        (unchanged || wanted(Mutant::NoLookAfterPin)).then_some((pin, now))
    }

    /// Whether all hazard words of this process are taken at this moment: by many of its threads, or the file is rotten,
    /// and they stay so.
    pub(super) fn lacks_pins(&self) -> bool {
        let is_taken = |line, pin| self.core.load(self.core.layout.line_at(line, line::PINS) + pin * 8, Ordering::Relaxed) != 0;
        self.owner.is_some_and(|owner| (0..PINS).all(|pin| is_taken(usize::from(owner.line), pin)))
    }

    /// Stores a pin in a hazard word that is free: the one of this thread, or another.
    #[inline]
    fn take_pin(&self, word: u64) -> Option<usize> {
        let line = usize::from(self.owner?.line);
        let first = self.hints.lane as usize;
        match self.try_pin(line, first, word) {
            None => self.copy().take_another_pin(line, first, word),
            at => at,
        }
    }

    #[inline]
    fn try_pin(&self, line: usize, pin: usize, word: u64) -> Option<usize> {
        let at = self.core.layout.line_at(line, line::PINS) + pin % PINS * 8;
        // Acquire: pairs with the release of the thread that used it before.
        let taken = self.core.memory.word(at).compare_exchange(0, word, Ordering::AcqRel, Ordering::Relaxed);
        taken.is_ok().then_some(at)
    }

    #[cold]
    #[inline(never)]
    fn take_another_pin(&self, line: usize, first: usize, word: u64) -> Option<usize> {
        // Only threads of this very process take these words, each for the length of an exchange.
        for attempt in 0..64 {
            if let Some(at) = (0..PINS).find_map(|i| self.try_pin(line, first + i, word)) {
                return Some(at);
            }
            self.core.memory.pause(attempt);
        }
        None
    }
}

impl<M: Memory> Core<M> {
    /// Whether anybody pins this generation of a segment, and who. Called by the sweeper after all slots are done.
    pub(super) fn is_pinned(&self, segment: usize, generation: u64) -> Option<Owner> {
        if wanted(Mutant::SweepIgnoresPins) {
            return None;
        }
        if !wanted(Mutant::NoPinFence) {
            self.memory.fence(Ordering::SeqCst); // pairs with the fence in `pin`
        }
        let wanted_word = encode(segment, generation);
        let lines = (self.load(header::LINES_USED, Ordering::Acquire) as usize).min(self.layout.lines);
        for line in 0..lines {
            for i in 0..PINS {
                if self.load(self.layout.line_at(line, line::PINS) + i * 8, Ordering::Acquire) == wanted_word {
                    let incarnation = self.load(self.layout.line_at(line, line::INCARNATION), Ordering::Acquire);
                    return Some(Owner { line: line as u16, incarnation });
                }
            }
        }
        None
    }
}
