//! The number of entries, where `max_entries` bounds it: one word that all writers change, which only such caches pay
//! for.
//!
//! ```text
//!  63 .. 56 | 55 .. 32 | 31 ...... 0
//!  era      | changes  | count
//! ```
//!
//! It is raised before an entry is published and lowered after its word was taken out, so it is never too low. A
//! process that dies in between leaves it too high, by one, and so does one without a line of the registry that removes an
//! entry; a recount (`recount`) mends that. The era is part of it, so
//! that a `clear` is one step here too: what is counted in another era begins at zero. Which era it is, the era's own word
//! says: nobody counts in another, however long it stood still. `changes` moves with each change, so that a recount notices
//! one that came in between.

use core::sync::atomic::Ordering;

use super::{Core, Found, Kind, Memory, Mutant, Op, Owner, Probe, Word, wanted};
use crate::layout::{SLOTS, header, line};

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
struct CountWord(u64);

impl CountWord {
    /// Whether this was counted in this era; else it was in an earlier one, and nothing has been counted since.
    fn is_of(self, era: u32) -> bool {
        (self.0 >> 56) as u8 == era as u8
    }

    fn count(self) -> u32 {
        self.0 as u32
    }

    /// The count of an era that is the one now.
    fn count_in(self, era: u32) -> u32 {
        if self.is_of(era) { self.count() } else { 0 }
    }

    fn changes(self) -> u32 {
        (self.0 >> 32) as u32 & 0xff_ffff
    }

    fn changed_to(self, era: u32, count: u32) -> Self {
        let changes = self.changes().wrapping_add(1) & 0xff_ffff;
        Self(u64::from(era as u8) << 56 | u64::from(changes) << 32 | u64::from(count))
    }
}

/// The number of entries is doubted once in so many stores at the bound, each of which changes it twice.
const DOUBT_EVERY: u32 = 32;

/// What came of asking for one more entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reserve {
    /// Counted, or not bounded at all.
    Granted,
    /// There are `max_entries` already.
    Full,
}

impl<M: Memory> Op<'_, M> {
    fn change_count(&self, change: impl Fn(u32) -> Option<u32>) -> bool {
        self.change_count_of(self.era, change)
    }

    /// Changes the count of an era. An operation that began before a `clear` may take out an entry from after it, which
    /// counts in its own era and not in that of the operation.
    fn change_count_of(&self, era: u32, change: impl Fn(u32) -> Option<u32>) -> bool {
        let word = self.core.memory.word(header::COUNT);
        // Acquire, here and below: who sees a count of a later era sees that era, too.
        let mut seen = CountWord(word.load(Ordering::Acquire));
        loop {
            if era != self.core.era() {
                return true; // entries of that era were cleared already, and count for nothing
            }
            let Some(count) = change(seen.count_in(era)) else { return false };
            // Acquire and release: a recount must see the slots as they were before the change that it reads.
            match word.compare_exchange(seen.0, seen.changed_to(era, count).0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(_) if wanted(Mutant::CountNoRetry) => return true,
                Err(now) => seen = CountWord(now), // somebody else made a change: no loop without progress
            }
        }
    }

    fn is_counted(&self) -> bool {
        self.core.layout.geometry.max_entries > 0
    }

    /// Counts one entry more, before it is published.
    pub(super) fn reserve_entry(&self) -> Reserve {
        let most = self.core.layout.geometry.max_entries;
        if most == 0 || self.change_count(|count| (u64::from(count) < most).then_some(count.saturating_add(1))) {
            Reserve::Granted
        } else {
            Reserve::Full
        }
    }

    /// Gives back what `reserve_entry` granted and nothing came of.
    pub(super) fn return_entry(&self) {
        if self.is_counted() {
            self.change_count(|count| Some(count.saturating_sub(1)));
        }
    }

    /// Counts an entry out whose word this operation took out of its slot.
    pub(super) fn count_out(&self, probe: &Probe) {
        self.core.lower_tally_of(probe);
        self.return_entry_of(probe);
    }

    /// The same where the tally of its segment is lowered otherwise.
    pub(super) fn return_entry_of(&self, probe: &Probe) {
        if self.owner.is_none() {
            // It has no mark that a recount would see. Were it to lower the number after a recount that found the slot empty,
            // the number would be too low.
            return self.core.want_recount();
        }
        if self.is_counted() && !wanted(Mutant::CountNotLowered) {
            self.change_count_of(probe.header.era, |count| Some(count.saturating_sub(1)));
        }
    }

    /// Now and then, where there are as many entries as there may be: whether they are, or a death left the number too
    /// high. This operation has marked itself, but has not changed anything yet.
    pub(super) fn doubt_the_count(&self) {
        let word = CountWord(self.core.load(header::COUNT, Ordering::Relaxed));
        if !(word.changes() / 2).is_multiple_of(DOUBT_EVERY) {
            return;
        }
        self.reclaim_counting();
        if self.core.load(header::RECOUNT, Ordering::Acquire) != 0 {
            self.core.recount(self.owner);
        }
    }

    /// Gives back what was held by those who died in the middle of a change: their marks stand in the way of a recount.
    pub(super) fn reclaim_counting(&self) -> bool {
        let lines = self.core.lines_used();
        let is_marked = |&line: &usize| self.core.load(self.core.layout.line_at(line, line::COUNTING), Ordering::Acquire) > 0;
        let owner = |line: usize| Owner { line: line as u16, incarnation: self.core.incarnation(line) };
        (0..lines).filter(is_marked).filter(|&line| self.reclaim(owner(line))).count() > 0
    }

    /// Marks that this thread changes slots and the count, for as long as the guard lives.
    pub(super) fn counting(&self) -> Counting<'_, M> {
        let at = self.owner.filter(|_| self.is_counted());
        let at = at.map(|owner| self.core.layout.line_at(usize::from(owner.line), line::COUNTING));
        if let Some(at) = at {
            self.core.memory.word(at).fetch_add(1, Ordering::Relaxed);
            self.core.memory.fence(Ordering::SeqCst); // pairs with the fence in `recount`: mark, then slots
        }
        Counting { core: self.core, at }
    }
}

/// See [`Op::counting`].
pub(super) struct Counting<'a, M: Memory> {
    core: &'a Core<M>,
    at: Option<usize>,
}

impl<M: Memory> Drop for Counting<'_, M> {
    fn drop(&mut self) {
        if let Some(at) = self.at {
            // Release: the changes come before the mark goes.
            self.core.memory.word(at).fetch_add(u64::MAX, Ordering::Release);
        }
    }
}

impl<M: Memory> Core<M> {
    /// The entries that are counted now, be it in this era or the one before: a hint.
    #[inline]
    pub(super) fn count_now(&self) -> u32 {
        CountWord(self.load(header::COUNT, Ordering::Relaxed)).count()
    }

    /// The entries that are counted now, and how many of them are in the main log, as far as tallies tell.
    pub(super) fn counted(&self) -> [u64; 2] {
        let word = CountWord(self.load(header::COUNT, Ordering::Acquire));
        let era = self.era(); // after the word, as in `change_count_of`
        let total = u64::from(word.count_in(era));
        // A hint that may have drifted, even below zero: what makes no sense is nothing.
        let main = Some(self.load(header::COUNT_MAIN, Ordering::Relaxed)).filter(|&main| main <= total).unwrap_or(0);
        [total - main, main]
    }

    /// Begins at zero for the era now, if nobody did so yet.
    pub(super) fn clear_count(&self) {
        let word = self.memory.word(header::COUNT);
        let mut seen = CountWord(word.load(Ordering::Acquire));
        loop {
            let era = self.era(); // after the word, as in `change_count_of`
            if seen.is_of(era) {
                return;
            }
            match word.compare_exchange(seen.0, seen.changed_to(era, 0).0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return self.memory.word(header::COUNT_MAIN).store(0, Ordering::Relaxed),
                Err(now) => seen = CountWord(now), // somebody else made a change
            }
        }
    }

    /// Counts anew what a death left wrong. Does nothing if anybody is in the middle of a change, or makes one
    /// meanwhile: then the count stays too high for a while longer. Called after a recovery, and by whoever cannot get
    /// below the bound: that one (`me`) has marked itself, but has not changed anything yet.
    pub fn recount(&self, me: Option<Owner>) -> bool {
        if self.layout.geometry.max_entries == 0 {
            return true;
        }
        // Acquire: pairs with the release of `want_recount`; what it was wanted for is counted.
        let wanted = self.load(header::RECOUNT, Ordering::Acquire);
        let before = CountWord(self.load(header::COUNT, Ordering::Acquire));
        if self.is_anybody_counting(me) {
            return false;
        }
        let era = self.era();
        let Some(count) = self.count_slots(era, before) else { return false };
        if self.is_anybody_counting(me) {
            return false;
        }
        let word = self.memory.word(header::COUNT);
        let counted = before.changed_to(era, count);
        let done = word.compare_exchange(before.0, counted.0, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if done {
            // Relaxed: only whether it is wanted again meanwhile matters, and then this fails.
            let _ = self.memory.word(header::RECOUNT).compare_exchange(wanted, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
        done
    }

    /// The entries of an era, one by one. `None`: the number that is kept is not what it was any more, so it is in vain.
    fn count_slots(&self, era: u32, kept: CountWord) -> Option<u32> {
        let mut count = 0u32;
        for bucket in 0..self.layout.buckets {
            // Relaxed: only to spare the rest of the walk; whoever wants the result looks again.
            if self.load(header::COUNT, Ordering::Relaxed) != kept.0 {
                return None;
            }
            for at in (0..SLOTS).map(|slot| self.layout.slot_at(bucket, slot)) {
                if self.slot(at).kind() == Kind::Live
                    && let Found::Yes(probe) = self.examine(at, None, 64, |_| {})
                {
                    count = count.saturating_add(u32::from(probe.header.era == era));
                }
            }
        }
        Some(count)
    }

    /// By how much the number that is kept exceeds that of the entries: less than zero if it is wrong, as it is never too low.
    /// `None`: none is kept, or somebody is in the middle of a change.
    pub(super) fn excess_of_count(&self) -> Option<i64> {
        if self.layout.geometry.max_entries == 0 {
            return None;
        }
        let kept = CountWord(self.load(header::COUNT, Ordering::Acquire));
        let is_busy = self.is_anybody_counting(None);
        let era = self.era();
        let there = self.count_slots(era, kept)?;
        if is_busy || self.is_anybody_counting(None) {
            return None;
        }
        let is_as_before = self.load(header::COUNT, Ordering::Acquire) == kept.0 && self.era() == era;
        let excess = i64::from(kept.count_in(era)) - i64::from(there);
        is_as_before.then_some(excess)
    }

    /// Says that the number may be too high, where it is kept at all.
    pub(super) fn want_recount(&self) {
        if self.layout.geometry.max_entries > 0 {
            // Release: pairs with the acquire in `recount`.
            self.memory.word(header::RECOUNT).fetch_add(1, Ordering::Release);
        }
    }

    fn is_anybody_counting(&self, me: Option<Owner>) -> bool {
        self.memory.fence(Ordering::SeqCst); // pairs with the fence in `counting`
        let lines = (self.load(header::LINES_USED, Ordering::Acquire) as usize).min(self.layout.lines);
        let marks = |line| self.load(self.layout.line_at(line, line::COUNTING), Ordering::Acquire);
        (0..lines).any(|line| marks(line) != u64::from(me.is_some_and(|me| usize::from(me.line) == line)))
    }
}
