//! The bound on write amplification: what is moved for each unit that is stored.
//!
//! A log pays for every second chance with a copy. Left alone, a log of hot entries copies itself round: over its worst
//! stretch, two-bit CLOCK moves ten units for each that is stored. So moves are paid for from a credit, a token bucket
//! (Turner, "New directions in communications", IEEE Communications 1986) that fills as entries are stored:
//!
//! - Each unit that is stored brings [`STORED`], each that is moved costs [`MOVED`]: in the long run at most 1.45 are moved
//!   for each that is stored.
//! - It holds at most what half of the capacity costs (or two segments), so that a part of the log in which everything is
//!   hot is not lost only because it stands in a row; over any stretch that stores the capacity once, at most 1.95 times
//!   the capacity is moved.
//! - Colder entries are refused first, as the credit dwindles; what is refused is evicted. To save what is alive in a
//!   segment is never refused where half of what was written to it is dead, or at most an eighth of it is alive.
//!
//! What is stored is not counted one by one. A segment that is freed is credited as if all that stood in it had been
//! stored, and a move, which fills a part of a segment, costs that much more. Where `max_entries` bounds the cache,
//! everything here is in entries, and each one that is evicted was stored. The file keeps what was spent, so a new one
//! begins with all the credit there is. A hint like all numbers of the policy: relaxed, clamped when read. Where the
//! order is exactly least recently used, nothing is refused.

use core::sync::atomic::Ordering;

use super::{Core, FREQ_MAX, Memory, Word};
use crate::layout::header;

/// What a unit that is stored brings.
const STORED: i64 = 16;
/// What it costs to move a unit.
const MOVED: i64 = 11;

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

    fn price(&self, units: usize) -> i64 {
        if self.is_counted { MOVED } else { units as i64 * (STORED + MOVED) }
    }

    /// Whether there is enough for all the live units of a segment, and half of the credit is left to entries that were
    /// used.
    pub fn is_enough_to_compact(&self, units: usize) -> bool {
        !self.is_counted && self.left() >= self.most / 2 + self.price(units)
    }

    /// Whether an entry may be moved that was used so often: the hottest as long as anything is left.
    pub fn spares(&self, freq: u8) -> bool {
        self.left() > self.most * i64::from(FREQ_MAX - freq.min(FREQ_MAX)) / 4
    }

    /// For an entry that was moved.
    pub fn pay(&mut self, units: usize) {
        self.spent += self.price(units);
    }
}

impl<M: Memory> Core<M> {
    fn is_counted(&self) -> bool {
        self.layout.counts_entries
    }

    #[inline]
    fn most_credit(&self) -> i64 {
        let capacity = self.layout.policy_capacity() as i64;
        let (capacity, least) = match self.is_counted() {
            false => (capacity, self.layout.segment_units as i64),
            // The log may be full of fewer.
            true if !cfg!(shmemo_model) => (capacity.min(self.count_now() as i64), 8),
            true => (capacity, 8),
        };
        (capacity / 2 * MOVED).max(least * (STORED + MOVED) * 2)
    }

    /// The credit now.
    #[inline]
    pub(super) fn purse(&self) -> Purse {
        let (most, is_counted) = (self.most_credit(), self.is_counted());
        let spent = if cfg!(shmemo_model) { 0 } else { self.load(header::SPENT_ON_MOVES, Ordering::Relaxed) };
        Purse { found: most - (spent as i64).clamp(0, most * 2), spent: 0, most, is_counted }
    }

    /// Takes off what a step spent.
    pub(super) fn take_credit(&self, purse: &Purse) {
        if purse.spent > 0 {
            self.spend(purse.spent);
        }
    }

    /// A segment was freed in which so many units stood.
    pub(super) fn give_credit_for_segment(&self, units: usize) {
        if !self.is_counted() {
            self.spend(-(units as i64 * STORED));
        }
    }

    /// Entries were evicted.
    pub(super) fn give_credit_for_entries(&self, evicted: u64) {
        if self.is_counted() && evicted > 0 {
            self.spend(-(evicted as i64 * STORED));
        }
    }

    fn spend(&self, amount: i64) {
        if cfg!(shmemo_model) {
            return;
        }
        let (word, most) = (self.memory.word(header::SPENT_ON_MOVES), self.most_credit() * 2);
        let before = word.load(Ordering::Relaxed);
        let after = (before as i64).clamp(0, most).saturating_add(amount).clamp(0, most);
        // Somebody else's change meanwhile is worth no repetition.
        let _ = word.compare_exchange(before, after as u64, Ordering::Relaxed, Ordering::Relaxed);
    }
}
