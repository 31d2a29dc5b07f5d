//! The bound on write amplification: what is moved for each unit that is stored.
//!
//! A log pays for every second chance with a copy. Left alone, a log of hot entries copies itself round: over its worst
//! stretch, two-bit CLOCK moves ten units for each that is stored. So moves are paid for from a credit, a token bucket
//! (Turner, "New directions in communications", IEEE Communications 1986) that fills as entries are stored:
//!
//! - Each unit that is stored brings [`STORED`].
//! - To move one out of a segment that is mostly dead costs [`COMPACTED`], so at most 1.9 are moved for each that is
//!   stored. It is never refused once it has begun: the next moves wait.
//! - A second chance costs [`SPARED`], so at most 1.4; colder entries are refused first, as the credit dwindles, and what
//!   is refused is evicted.
//! - It holds at most a tenth of the capacity (or what one segment costs), so these bounds hold over any stretch but for
//!   that.
//!
//! What is stored is not counted one by one. A segment that is opened is credited as if it were to hold nothing else, and
//! a move, which fills a part of it, costs that much more. Where `max_entries` bounds the cache, everything here is in
//! entries, and each one that is evicted was stored. The credit is a hint like all numbers of the policy: relaxed,
//! clamped when read. Where the order is exactly least recently used, nothing is refused.

use core::sync::atomic::Ordering;

use super::{Core, FREQ_MAX, Memory, Word};
use crate::layout::header;

/// What a unit that is stored brings.
const STORED: i64 = 15;
/// What it costs to move a unit to save its bytes from a segment that is mostly dead.
const COMPACTED: i64 = 8;
/// What it costs to move a unit whose entry was used.
const SPARED: i64 = 11;

/// The credit as a step of a sweep finds it, and what the step spends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Purse {
    found: i64,
    spent: i64,
    most: i64,
    is_counted: bool,
}

impl Purse {
    fn left(&self) -> i64 {
        self.found - self.spent
    }

    fn price(&self, units: usize, each: i64) -> i64 {
        if self.is_counted { each } else { units as i64 * (STORED + each) }
    }

    /// Whether there is enough for all the live units of a segment.
    pub fn is_enough_to_compact(&self, units: usize) -> bool {
        !self.is_counted && self.left() >= self.price(units, COMPACTED)
    }

    /// Whether an entry may be moved that was used so often: the hottest as long as anything is left.
    pub fn spares(&self, freq: u8) -> bool {
        self.left() > self.most * i64::from(FREQ_MAX - freq.min(FREQ_MAX)) / 4
    }

    /// For an entry that was moved from a segment that is mostly dead.
    pub fn pay_for_compaction(&mut self, units: usize) {
        self.spent += self.price(units, COMPACTED);
    }

    /// For an entry that was moved since it was used.
    pub fn pay_for_sparing(&mut self, units: usize) {
        self.spent += self.price(units, SPARED);
    }
}

impl<M: Memory> Core<M> {
    fn is_counted(&self) -> bool {
        self.layout.geometry.max_entries > 0
    }

    fn most_credit(&self) -> i64 {
        let least = if self.is_counted() { 8 } else { self.layout.segment_units as i64 };
        (self.layout.policy_capacity() as i64 / 10 * COMPACTED).max(least * (STORED + COMPACTED))
    }

    /// The credit now.
    pub(super) fn purse(&self) -> Purse {
        let (most, is_counted) = (self.most_credit(), self.is_counted());
        let found = if cfg!(shmemo_model) { most } else { self.load(header::MOVE_CREDIT, Ordering::Relaxed) as i64 };
        Purse { found: found.clamp(-most, most), spent: 0, most, is_counted }
    }

    /// Takes off what a step spent.
    pub(super) fn take_credit(&self, purse: &Purse) {
        if purse.spent > 0 {
            self.change_credit(-purse.spent);
        }
    }

    /// A segment was opened.
    pub(super) fn give_credit_for_segment(&self) {
        if !self.is_counted() {
            self.change_credit(self.layout.segment_units as i64 * STORED);
        }
    }

    /// Entries were evicted.
    pub(super) fn give_credit_for_entries(&self, evicted: u64) {
        if self.is_counted() && evicted > 0 {
            self.change_credit(evicted as i64 * STORED);
        }
    }

    fn change_credit(&self, change: i64) {
        if cfg!(shmemo_model) {
            return;
        }
        let (word, most) = (self.memory.word(header::MOVE_CREDIT), self.most_credit());
        let before = word.load(Ordering::Relaxed);
        let after = (before as i64).clamp(-most, most).saturating_add(change).clamp(-most, most);
        // Somebody else's change meanwhile is worth no repetition.
        let _ = word.compare_exchange(before, after as u64, Ordering::Relaxed, Ordering::Relaxed);
    }
}
