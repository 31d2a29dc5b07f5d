//! The sweeper: a step at a time, inside other operations, by whoever comes (R8 to R12).
//!
//! A step claims a segment, handles a few entries, stores the hand and gives the segment back. Anyone goes on from the
//! hand, so handling an entry twice must be harmless. Every entry below the tail is walked, whatever the counts say,
//! and every slot word that points at it is taken out: moved if it is live and was used, emptied if not. Only then, and
//! if nobody pins it, the generation is raised and the segment is free.

use core::sync::atomic::Ordering;

use super::credit::Purse;
use super::entry::Header;
use super::policy::Evicted;
use super::tally::Tally;
use super::{Claim, Event, Kind, Log, Memory, Mutant, Op, Owner, Phase, Place, SlotWord, StateWord, Word, wanted, weaken};
use crate::layout::{SLOTS, UNIT, segment};

/// So much of the segment is dead that it is worth saving everything else.
pub(super) const COMPACT: u64 = 1 << 62;
/// An entry stayed where it is; the segment is not to be freed at the end of this walk.
pub(super) const RETAINED: u64 = 1 << 63;
pub(super) const HAND_MASK: u64 = (1 << 32) - 1;

/// Entries of one step.
pub(super) const STEP_ENTRIES: usize = 8;
/// Units of one step (at least one entry is handled).
pub(super) const STEP_UNITS: usize = (16 << 10) / UNIT;

/// What is done with entries that deserve to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mercy {
    /// As the policy says.
    Policy,
    /// Everything alive is saved: the segment was chosen for what is dead in it.
    Everything,
    /// None: room is needed now.
    None,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another holds the segment.
    Taken,
    /// Some entries were handled, of so many units, be they alive or dead.
    Walked(usize),
    /// The segment is free.
    Freed,
    /// It stays, as the youngest: an entry too long to copy deserved that.
    Kept,
    /// All done, but somebody pins it.
    Pinned(Owner),
    /// The next entry deserves to stay, and there is no room for it at this moment.
    Stuck,
}

/// A walk that this operation holds the segment for.
pub(super) struct Walk {
    pub segment: usize,
    pub generation: u64,
    pub log: Log,
    /// Where this step began.
    pub begin: usize,
    pub hand: usize,
    pub tail: usize,
    pub flags: u64,
    /// An OPEN segment that is swept is held by a claim, like a writer's.
    pub own: Option<Claim>,
    pub targets: [Option<Claim>; 2],
    pub evicted: Evicted,
    /// Of each log, when the step began.
    pub epochs: [u32; 2],
    /// What this step took out of the segment and has not yet counted out.
    pub gone: Tally,
    /// What this step may move.
    pub purse: Purse,
    pub mercy: Mercy,
    /// The mean units of the segment's entries; 0 where sizes do not matter, since `max_entries` bounds the cache.
    pub mean_units: usize,
    /// Segments are wanted, and not just one entry less.
    pub is_for_room: bool,
    pub is_stuck: bool,
}

impl<M: Memory> Op<'_, M> {
    /// One step on a sealed segment. Ends early when so many entries were evicted.
    pub(super) fn sweep_step(&self, segment: usize, mercy: Mercy, most_evictions: u64) -> Step {
        let Some(owner) = self.owner else { return Step::Taken };
        let state = self.core.state(segment);
        if state.phase() != Phase::Sealed {
            return Step::Taken;
        }
        let held = state.transition_to_sweeping(owner);
        if !self.core.swap_state(segment, state, held) {
            return Step::Taken;
        }
        let mut walk = self.walk(segment, state.log(), self.core.tail(segment), mercy);
        if most_evictions != u64::MAX {
            walk.flags &= !COMPACT; // entries are to go, not to be saved
            walk.is_for_room = false;
        }
        self.handle_some(&mut walk, most_evictions);
        let step = self.end_step(&mut walk, held);
        self.note_evicted(&walk.evicted);
        step
    }

    /// Takes out what has expired among the next entries of a sealed segment, from a unit on at which one begins. Where it
    /// came to, and how many it took out; `None` if another holds the segment.
    pub(super) fn harvest_step(&self, segment: usize, from: usize) -> Option<(usize, usize)> {
        let (owner, state) = (self.owner?, self.core.state(segment));
        if state.phase() != Phase::Sealed {
            return None;
        }
        let held = state.transition_to_sweeping(owner);
        if !self.core.swap_state(segment, state, held) {
            return None;
        }
        let mut walk = self.walk(segment, state.log(), self.core.tail(segment), Mercy::Policy);
        walk.hand = from.min(walk.tail);
        let mut headers = [None; STEP_ENTRIES];
        self.read_ahead(&walk, &mut headers);
        let mut end = if headers[0].is_none() { walk.tail } else { walk.hand };
        for header in headers.iter().flatten() {
            if self.is_expired(header.expiry(self.core)) {
                self.handle_entry(&mut walk, Place { segment, unit: end }, header);
            }
            end += header.units();
        }
        let taken = walk.gone.count;
        self.count_out_gone(&mut walk);
        self.core.swap_state(segment, held, StateWord::sealed(walk.log));
        Some((end, taken))
    }

    /// Sweeps a segment whatever its turn, for models: seals it if it is OPEN, then takes a step.
    #[cfg(shmemo_model)]
    pub fn sweep_segment(&self, segment: usize) -> Step {
        self.core.seal(segment);
        self.sweep_step(segment, Mercy::Policy, u64::MAX)
    }

    /// One step on an OPEN segment, which stays OPEN: entries go, their bytes stay. Ends with the first eviction.
    pub(super) fn evict_from_open(&self, claim: Claim, log: Log) -> u64 {
        let segment = claim.segment;
        let mut walk = self.walk(segment, log, claim.tail, Mercy::Policy);
        walk.flags &= !COMPACT;
        walk.is_for_room = false;
        walk.own = Some(claim);
        self.handle_some(&mut walk, 1);
        self.store_hand(&walk);
        self.release_targets(&mut walk);
        self.note_evicted(&walk.evicted);
        walk.evicted.entries.iter().sum()
    }

    fn walk(&self, segment: usize, log: Log, tail: usize, mercy: Mercy) -> Walk {
        let core = self.core;
        let word = core.load(core.layout.segment_at(segment, segment::HAND), Ordering::Relaxed);
        let hand = (word & HAND_MASK) as usize;
        // A hand past the tail is rotten: from the start again, which is harmless.
        let hand = if hand <= tail { hand } else { 0 };
        let purse = core.purse();
        let mut flags = if hand == 0 { 0 } else { word & (COMPACT | RETAINED) };
        // Where `max_entries` bounds the cache, entries are evicted one by one, and a segment that they left half
        // walked is compacted.
        if hand == 0 || core.layout.counts_entries {
            let is_worth_it = || core.is_worth_compacting(core.live_units(segment, self.era, || self.now()), tail, &purse);
            let is_compacted = mercy == Mercy::Everything || is_worth_it();
            flags = (flags & RETAINED) | if is_compacted { COMPACT } else { 0 };
        }
        let generation = core.load(core.layout.generation_at(segment), Ordering::Relaxed);
        Walk {
            segment,
            generation,
            log,
            begin: hand,
            hand,
            tail,
            flags,
            own: None,
            targets: [None, None],
            evicted: Evicted::default(),
            epochs: core.epochs(),
            gone: Tally::default(),
            purse,
            mercy,
            mean_units: if core.layout.counts_entries { 0 } else { core.mean_units(segment, self.era) },
            is_for_room: true,
            is_stuck: false,
        }
    }

    fn store_hand(&self, walk: &Walk) {
        let at = self.core.layout.segment_at(walk.segment, segment::HAND);
        // Release: pairs with the acquire of the state by the next sweeper; the slots below the hand are done.
        self.core.memory.word(at).store(walk.hand as u64 | walk.flags, Ordering::Release);
    }

    fn release_targets(&self, walk: &mut Walk) {
        for claim in walk.targets.iter_mut().chain([&mut walk.own]).filter_map(Option::take) {
            self.core.release(claim, false);
        }
    }

    fn handle_some(&self, walk: &mut Walk, most_evictions: u64) {
        let mut headers = [None; STEP_ENTRIES];
        self.read_ahead(walk, &mut headers);
        if !self.spare_for_the_expired(walk, &headers, most_evictions) {
            self.handle_entries(walk, &headers, most_evictions);
        }
        self.count_out_gone(walk);
        self.core.take_credit(&walk.purse);
    }

    fn count_out_gone(&self, walk: &mut Walk) {
        let gone = core::mem::take(&mut walk.gone);
        if gone.count > 0 {
            self.core.lower_tally(walk.segment, walk.generation, self.era, gone);
        }
    }

    /// What has expired is not known before its header is read. Where a quarter of a step's bytes turn out to have, the
    /// rest of the segment is saved, as if that had been known from the start. If one entry less is all that is wanted,
    /// the expired ones go, and the walk goes on from where it was: `true`.
    #[inline]
    fn spare_for_the_expired(&self, walk: &mut Walk, headers: &[Option<Header>; STEP_ENTRIES], most_evictions: u64) -> bool {
        let units_if = |is_wanted: &dyn Fn(&Header) -> bool| -> usize {
            headers.iter().flatten().filter(|header| is_wanted(header)).map(Header::units).sum()
        };
        if !headers.iter().flatten().any(Header::can_expire) {
            return false;
        }
        let has_expired = |header: &Header| self.is_expired(header.expiry(self.core));
        let expired = units_if(&has_expired);
        if most_evictions == u64::MAX {
            let all = units_if(&|_| true);
            let rest = (walk.tail - walk.hand) * (all - expired) / all.max(1);
            if expired * 4 >= all && walk.purse.is_enough_to_compact(rest) {
                walk.flags |= COMPACT;
            }
            return false;
        }
        let mut unit = walk.hand;
        for header in headers.iter().flatten() {
            if has_expired(header) {
                self.handle_entry(walk, Place { segment: walk.segment, unit }, header);
            }
            unit += header.units();
        }
        walk.gone.count > 0
    }

    fn handle_entries(&self, walk: &mut Walk, headers: &[Option<Header>; STEP_ENTRIES], most_evictions: u64) {
        let mut units = 0;
        for header in headers {
            let evictions = walk.evicted.entries[0] + walk.evicted.entries[1];
            if walk.hand >= walk.tail || units >= STEP_UNITS || evictions >= most_evictions {
                return;
            }
            let Some(header) = header else {
                self.empty_rotten(walk);
                walk.hand = walk.tail;
                return;
            };
            self.handle_entry(walk, Place { segment: walk.segment, unit: walk.hand }, header);
            if walk.is_stuck {
                return;
            }
            walk.hand += header.units();
            units += header.units();
        }
    }

    /// The headers of a step's entries, as far as they are whole and below the tail: they do not change (I3). Their
    /// buckets and ghosts come from memory side by side, not one after the other.
    #[inline(always)]
    fn read_ahead(&self, walk: &Walk, headers: &mut [Option<Header>; STEP_ENTRIES]) {
        let mut unit = walk.hand;
        for place_of_header in headers {
            if unit >= walk.tail {
                break;
            }
            let header = Header::read(self.core, Place { segment: walk.segment, unit });
            let Some(header) = header.filter(|header| unit + header.units() <= walk.tail) else { break };
            self.core.memory.prefetch(self.core.layout.slot_at(self.core.layout.bucket_of(header.hash32), 0));
            self.core.prefetch_ghosts(header.hash32);
            unit += header.units();
            *place_of_header = Some(header);
        }
    }

    /// The walk cannot go on, since what stands at the hand is no entry. Every bucket is looked through for words that
    /// point into the segment.
    fn empty_rotten(&self, walk: &Walk) {
        let points_here =
            |word: SlotWord| word.kind() != Kind::Empty && word.place().segment == walk.segment && word.place().unit >= walk.hand;
        for bucket in 0..self.core.layout.buckets {
            for slot in 0..SLOTS {
                let slot_at = self.core.layout.slot_at(bucket, slot);
                for _ in 0..64 {
                    let word = self.core.slot(slot_at);
                    if !points_here(word) {
                        break;
                    }
                    if self.core.swap_slot(slot_at, word, SlotWord::EMPTY) {
                        if word.kind() == Kind::Live {
                            self.return_entry();
                        }
                        break;
                    }
                }
            }
        }
    }

    fn end_step(&self, walk: &mut Walk, held: StateWord) -> Step {
        let core = self.core;
        self.release_targets(walk);
        let evicted: u64 = walk.evicted.entries.iter().sum();
        let sealed = StateWord::sealed(walk.log);
        // Of a segment that is swept for room, the last step stands for all: a clock is dear.
        if evicted > 0 && (walk.hand >= walk.tail || core.layout.counts_entries) {
            self.note_age(walk.segment);
        }
        if walk.hand < walk.tail {
            self.store_hand(walk);
            core.swap_state(walk.segment, held, sealed);
            return if walk.is_stuck && evicted == 0 { Step::Stuck } else { Step::Walked(walk.hand - walk.begin) };
        }
        if walk.flags & RETAINED != 0 {
            core.give_birth(walk.segment);
            core.forget_forecast(walk.segment);
            core.memory.word(core.layout.segment_at(walk.segment, segment::HAND)).store(0, Ordering::Release);
            core.swap_state(walk.segment, held, StateWord::sealed(Log::Main));
            return Step::Kept;
        }
        if let Some(owner) = core.is_pinned(walk.segment, walk.generation) {
            self.store_hand(walk);
            core.swap_state(walk.segment, held, sealed);
            return Step::Pinned(owner);
        }
        self.free(walk, held);
        Step::Freed
    }

    /// No word points into the segment, and nobody pins it. Generation, then hand and tail, then FREE (R10).
    fn free(&self, walk: &Walk, held: StateWord) {
        let core = self.core;
        if wanted(Mutant::FreeBeforeGeneration) {
            core.swap_state(walk.segment, held, StateWord::FREE);
        }
        // Release: pairs with the acquire of readers. Whoever sees the new generation sees the slots emptied or moved.
        let order = weaken(Mutant::RelaxedClaim, Ordering::Release);
        core.memory.word(core.layout.generation_at(walk.segment)).store(walk.generation.wrapping_add(1), order);
        // The hand first, and released, so that after a death in between it is not past the tail.
        let mut fields = [segment::HAND, segment::TAIL];
        if wanted(Mutant::TailBeforeHand) {
            fields.reverse();
        }
        for field in fields {
            core.memory.word(core.layout.segment_at(walk.segment, field)).store(0, Ordering::Release);
        }
        if core.swap_state(walk.segment, held, StateWord::FREE) {
            core.give_credit_for_segment(walk.tail);
            self.count(Event::SegmentFreed);
        }
    }
}
