//! The index: making an entry the value of its key.
//!
//! A live word of the same key is replaced by one exchange, live to live (R5). A key that is not there is inserted in
//! two steps, after the index of FASTER (Chandramouli et al., SIGMOD 2018): tentative; full fence; a scan of all other
//! slots, which takes every other tentative word of that tag out; then live. Nobody goes live past another tentative
//! word of its key (R3).

use core::sync::atomic::Ordering;

use super::append::{Appended, Purpose};
use super::tally::Tally;
use super::victim::STEPS_FOR_THIS_LOG;
use super::{Claim, Content, Event, Found, Key, Kind, Log, Memory, Mutant, Op, Probe, SlotWord, wanted};
use crate::layout::SLOTS;

/// After so many attempts to replace a word, a plain set evicts it instead and inserts.
const REPLACE_ATTEMPTS: u32 = 8;
/// After so many attempts in all, the write is dropped. Every attempt that fails means that another operation made a
/// step.
const ATTEMPTS: u32 = 10_000;

/// What came of storing an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is the value of its key.
    Stored,
    /// There was no room to be had: the key has no value now, as if it had been evicted at once.
    Dropped,
}

/// What came of an insert.
pub(super) enum Insert {
    /// It is live, in this slot.
    Done(usize),
    /// The key has a live slot already.
    Present,
    /// Another insert of this tag took the tentative word out.
    Kicked,
}

/// What a new entry is going to be: which log, which use count, and whether it is one more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub log: Log,
    pub freq: u8,
    pub is_one_more: bool,
}

impl<M: Memory> Op<'_, M> {
    /// Stores a value, whatever was there. Linearizable at the one exchange that makes it live.
    pub fn set(&self, key: &Key<'_>, content: &Content<'_>) -> Put {
        let counting = self.counting();
        let units = content.units(key.bytes.len());
        let (mut put, mut effort) = (Put::Dropped, 0);
        for attempt in 0..ATTEMPTS {
            let found = self.find(key);
            let plan = self.plan(key, &found, units);
            if plan.is_one_more && !self.reserve_one() {
                break;
            }
            let Some(mut claim) = self.room(plan.log, units, &mut effort) else {
                if plan.is_one_more {
                    self.return_entry();
                }
                break;
            };
            let appended = self.core.append(&mut claim, key, content, self.era, plan.freq);
            let published = self.publish(key, found, &claim, &appended, plan.is_one_more);
            self.finish(claim, &appended, published);
            if published {
                put = Put::Stored;
                break;
            }
            self.core.memory.pause(attempt);
        }
        if put == Put::Dropped {
            self.take_out(key, None);
            self.count(Event::Dropped);
        }
        drop(counting);
        self.sweep_a_little(units);
        put
    }

    /// Gives the claim back, with the entry or without.
    #[inline]
    pub(super) fn finish(&self, mut claim: Claim, appended: &Appended, published: bool) {
        if published {
            if wanted(Mutant::TailAfterPublish) {
                self.core.store_tail(&claim);
            }
            self.world.count_stored(appended.units as u64);
        } else {
            self.core.take_back(&mut claim, appended, self.era);
        }
        self.core.release(claim, false);
    }

    /// Where an entry for this key is to go, seeing what is there now.
    #[inline]
    pub(super) fn plan(&self, key: &Key<'_>, found: &Found, units: usize) -> Plan {
        match found {
            Found::Yes(probe) if !self.is_dead(probe) => {
                let log = self.core.state(probe.place().segment).log();
                Plan { log, freq: probe.word.freq(), is_one_more: false }
            }
            other => {
                let admission = self.admit(key, units);
                let is_one_more = !matches!(other, Found::Yes(probe) if !self.is_cleared(probe.header.era));
                Plan { log: admission.log, freq: admission.freq, is_one_more }
            }
        }
    }

    /// A segment of a log with room, if need be by sweeping. `effort` is what all attempts of the operation came to: were it
    /// each one's own, every attempt might move the entry that it is about to replace, and fail for that.
    #[inline(always)]
    pub(super) fn room(&self, log: Log, units: usize, effort: &mut u32) -> Option<Claim> {
        match self.claim_room(log, units, Purpose::Store) {
            None => self.copy().room_by_sweeping(log, units, effort),
            claim => claim,
        }
    }

    #[cold]
    #[inline(never)]
    fn room_by_sweeping(&self, log: Log, units: usize, effort: &mut u32) -> Option<Claim> {
        loop {
            if *effort > STEPS_FOR_THIS_LOG
                && let claim @ Some(_) = self.claim_of_other_log(log, units)
            {
                return claim;
            }
            if *effort > 0 {
                self.core.memory.pause(*effort);
            }
            if !self.make_room(effort) {
                break;
            }
            if let claim @ Some(_) = self.claim_room(log, units, Purpose::Store) {
                return claim;
            }
        }
        // Survivors can do without for once.
        self.claim_room(log, units, Purpose::Move)
    }

    /// Makes an appended entry the value of its key. `false`: something else must be done first, and nothing of it was
    /// published. `found` is what a lookup came to before room was made: if that is no longer so, the pin or the second
    /// scan tells.
    fn publish(&self, key: &Key<'_>, mut found: Found, claim: &Claim, appended: &Appended, counted: bool) -> bool {
        if wanted(Mutant::ReleaseBeforePublish) {
            self.core.swap_state(claim.segment, self.core.state(claim.segment), super::StateWord::sealed(Log::Newcomers));
        }
        for attempt in 0..ATTEMPTS {
            match &found {
                Found::Yes(probe) => {
                    if !counted && self.is_cleared(probe.header.era) {
                        return false; // it would be one more
                    }
                    if attempt > REPLACE_ATTEMPTS {
                        if self.evict(probe) {
                            self.count_end(probe, Event::Replaced);
                        }
                    } else if self.replace(probe, appended.word, counted) {
                        return true;
                    }
                }
                Found::No if !counted && self.core.layout.geometry.max_entries > 0 => return false,
                Found::No => match self.insert(key, appended.word) {
                    Insert::Done(slot_at) => {
                        self.after_store(slot_at);
                        return true;
                    }
                    Insert::Present => {}
                    Insert::Kicked => self.pause_at_random(attempt),
                },
                Found::GaveUp => break,
            }
            found = self.find(key);
        }
        if counted {
            self.return_entry();
        }
        false
    }

    /// Replaces the entry that was found, if it is still there, under a pin.
    #[inline]
    pub(super) fn replace(&self, probe: &Probe, word: SlotWord, counted: bool) -> bool {
        let Some((pin, now)) = self.pin(probe) else { return false };
        if !self.core.swap_slot(probe.slot_at, now, word) {
            return wanted(Mutant::ReplaceNoRetry);
        }
        drop(pin);
        let one = Tally::one(probe.header.units());
        self.core.lower_tally(probe.place().segment, probe.generation, probe.header.era, one);
        // A place in the count that was had for the new entry, or one from after a `clear` that the new one is not part of.
        if counted || probe.header.era != self.era {
            self.return_entry_of(probe);
        }
        self.after_store(probe.slot_at);
        if probe.expiry_ms.is_none() && probe.header.era == self.era {
            self.count(Event::Replaced);
        } else {
            self.core.unforesee_of(probe);
            self.count_end(probe, Event::Replaced);
        }
        true
    }

    pub(super) fn after_store(&self, slot_at: usize) {
        if self.core.layout.geometry.is_exact_lru() {
            self.core.stamp_use(slot_at);
        }
    }

    /// The two-step insert of an entry whose key was not found.
    pub(super) fn insert(&self, key: &Key<'_>, live: SlotWord) -> Insert {
        let core = self.core;
        let tentative = live.to_tentative();
        let Some(mine) = self.take_slot(key, tentative) else { return Insert::Kicked };
        if !wanted(Mutant::NoInsertFence) && !wanted(Mutant::UnreleasedPublish) {
            // Pairs with the same fence of another insert of this key: of two tentative words at least one is seen by
            // the other's scan.
            core.memory.fence_after_exchange();
        }
        if !wanted(Mutant::NoSecondScan) {
            let bucket_at = core.layout.slot_at(core.layout.bucket_of(key.hash32), 0);
            let mut others = core.slots_of_tag(bucket_at, key.tag);
            while others != 0 {
                let at = bucket_at + others.trailing_zeros() as usize * 8;
                others &= others - 1;
                if at != mine && self.resolve(key, at) {
                    // Withdrawn. A failure means that another insert has done so already.
                    let _ = core.swap_slot(mine, tentative, SlotWord::EMPTY);
                    return Insert::Present;
                }
            }
        }
        if core.swap_slot(mine, tentative, live) { Insert::Done(mine) } else { Insert::Kicked }
    }

    /// One slot of the second scan: takes a tentative word of this tag out, whoever's it is; tells whether the key is
    /// live there.
    fn resolve(&self, key: &Key<'_>, slot_at: usize) -> bool {
        loop {
            let word = self.core.slot(slot_at);
            match word.kind() {
                Kind::Tentative if word.tag() == key.tag && !wanted(Mutant::NoKick) => {
                    if self.core.swap_slot(slot_at, word, SlotWord::EMPTY) {
                        return false;
                    }
                    // It went live, or something else stands here now: look again (R6).
                }
                Kind::Live => return !matches!(self.examine_slot(slot_at, Some(key)), Found::No),
                _ => return false,
            }
        }
    }

    /// Puts a tentative word into a slot of its bucket: an empty one, one whose word dangles, or that of the coldest
    /// entry.
    #[inline]
    fn take_slot(&self, key: &Key<'_>, tentative: SlotWord) -> Option<usize> {
        let bucket = self.core.layout.bucket_of(key.hash32);
        let slots = (0..SLOTS).map(|slot| self.core.layout.slot_at(bucket, slot));
        let (mask, empty) = SlotWord::upper_half_of_empty();
        let empty = self.core.memory.match_upper_halves::<SLOTS>(self.core.layout.slot_at(bucket, 0), mask, empty);
        let first = if empty == 0 { 0 } else { empty.trailing_zeros() as usize };
        for at in slots.clone().skip(first) {
            let word = self.core.slot(at);
            let is_free = match word.kind() {
                Kind::Empty => true,
                Kind::Live => !self.is_current(word),
                Kind::Tentative => false,
            };
            if is_free && self.core.swap_slot(at, word, tentative) {
                return Some(at);
            }
        }
        self.take_used_slot(slots, tentative)
    }

    /// Puts a tentative word into a slot of a full bucket.
    #[cold]
    fn take_used_slot(&self, slots: impl Iterator<Item = usize> + Clone, tentative: SlotWord) -> Option<usize> {
        let first = self.world.entropy() as usize;
        let mut coldest: Option<(u64, usize, SlotWord)> = None;
        for at in slots.clone() {
            let word = self.core.slot(at);
            let warmth = self.warmth(word);
            if coldest.is_none_or(|(least, ..)| warmth < least) {
                coldest = Some((warmth, at, word));
            }
        }
        let (_, at, word) = coldest?;
        if word.kind() == Kind::Live {
            return match self.examine_slot(at, None) {
                Found::Yes(probe) if self.core.swap_slot(at, probe.word, tentative) => {
                    self.count_out(&probe);
                    let death = self.death(probe.header.era, probe.expiry_ms);
                    self.count(death.unwrap_or(Event::EvictedByFullBucket));
                    if death.is_none() {
                        self.leave_ghost_of(&probe);
                    }
                    Some(at)
                }
                // If the word still stands, then there is no entry where it points, and it is empty for every purpose: it
                // would be the coldest for ever.
                Found::No if self.core.swap_slot(at, word, tentative) => Some(at),
                _ => None,
            };
        }
        // Nothing but tentative words: one of them gives way, any one.
        let at = slots.clone().nth(first % SLOTS).unwrap_or(at);
        let word = self.core.slot(at);
        (word.kind() == Kind::Tentative && self.core.swap_slot(at, word, tentative)).then_some(at)
    }

    fn is_current(&self, word: SlotWord) -> bool {
        let segment = word.place().segment;
        segment < self.core.layout.segments && word.is_of_generation(self.core.generation(segment))
    }

    /// The order in which a full bucket gives up its live entries: dead ones, then the least used, then the oldest. To be
    /// in the main log counts as a use.
    fn warmth(&self, word: SlotWord) -> u64 {
        if word.kind() != Kind::Live {
            return u64::MAX;
        }
        if self.header_if_alive(word).is_none() {
            return 0;
        }
        let (core, place) = (self.core, word.place());
        let birth = core.load(core.layout.segment_at(place.segment, crate::layout::segment::BIRTH), Ordering::Relaxed);
        let proven = u8::from(core.state(place.segment).log() == Log::Main);
        u64::from(word.freq() + proven + 1) << 60 | (birth & 0xff_ffff_ffff) << 20 | (place.unit as u64 & 0xf_ffff)
    }

    /// Removes a key. Tells whether it had a value that counted. Linearizable at the exchange, or at the look that
    /// found nothing.
    pub fn remove(&self, key: &Key<'_>) -> bool {
        let counting = self.counting();
        let removed = self.take_out(key, Some(Event::Removed));
        drop(counting);
        removed
    }

    /// `why` is what is counted; without it, that the entry was evicted.
    fn take_out(&self, key: &Key<'_>, why: Option<Event>) -> bool {
        for attempt in 0..ATTEMPTS {
            let Found::Yes(probe) = self.find(key) else { return false };
            if self.evict(&probe) {
                let death = self.death(probe.header.era, probe.expiry_ms);
                self.count(death.or(why).unwrap_or(Event::evicted(probe.word.freq())));
                return death.is_none();
            }
            if wanted(Mutant::RemoveNoRetry) {
                return true;
            }
            self.core.memory.pause(attempt);
        }
        false
    }

    /// Empties the slot of an entry that was found, if it still holds the same word. Needs no pin: should the bits mean
    /// another entry by now, then that one is evicted, and the one that was found had gone before.
    pub(super) fn evict(&self, probe: &Probe) -> bool {
        let done = self.core.swap_slot(probe.slot_at, probe.word, SlotWord::EMPTY);
        if done {
            self.count_out(probe);
        }
        done
    }

    pub(super) fn pause_at_random(&self, attempt: u32) {
        for _ in 0..self.world.entropy() % (1 << attempt.min(8)) {
            self.core.memory.pause(attempt.min(3));
        }
    }
}
