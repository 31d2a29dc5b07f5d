//! The sweeper: a step at a time, inside other operations, by whoever comes (R8 to R12).
//!
//! A step claims a segment, handles a few entries, stores the hand and gives the segment back. Anyone goes on from the
//! hand, so handling an entry twice must be harmless. Every entry below the tail is walked, whatever the counts say,
//! and every slot word that points at it is taken out: moved if it is live and was used, emptied if not. Only then, and
//! if nobody pins it, the generation is raised and the segment is free.

use core::sync::atomic::Ordering;

use super::append::Purpose;
use super::entry::Header;
use super::policy::Evicted;
use super::{Claim, Event, Kind, Log, Memory, Mutant, Op, Owner, Phase, Place, Probe, SlotWord, StateWord, Word, wanted, weaken};
use crate::layout::{SLOTS, UNIT, header, segment};

/// At the start of the walk, so much of the segment was dead that it is worth saving everything else.
const COMPACT: u64 = 1 << 62;
/// An entry stayed where it is; the segment is not to be freed at the end of this walk.
const RETAINED: u64 = 1 << 63;
pub(super) const HAND_MASK: u64 = (1 << 32) - 1;

/// Survivors longer than this are not copied: their segment stays as the youngest.
const LONGEST_COPY_UNITS: usize = (16 << 10) / UNIT;
/// Entries of one step.
const STEP_ENTRIES: usize = 8;
/// Units of one step (at least one entry is handled).
const STEP_UNITS: usize = (16 << 10) / UNIT;

/// What is done with entries that deserve to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mercy {
    /// As the policy says.
    Policy,
    /// None: room is needed now.
    None,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another holds the segment.
    Taken,
    /// Some entries were handled; so many were evicted.
    Walked(u64),
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
struct Walk {
    segment: usize,
    generation: u64,
    log: Log,
    hand: usize,
    tail: usize,
    flags: u64,
    /// An OPEN segment that is swept is held by a claim, like a writer's.
    own: Option<Claim>,
    targets: [Option<Claim>; 2],
    evicted: Evicted,
    mercy: Mercy,
    /// Segments are wanted, and not just one entry less.
    is_for_room: bool,
    is_stuck: bool,
}

enum Fate {
    Empty(Event),
    Evict,
    Move(Log, u8),
    Stay(u8),
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
        self.core.note_evicted(&walk.evicted);
        step
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
        self.core.note_evicted(&walk.evicted);
        walk.evicted.entries.iter().sum()
    }

    fn walk(&self, segment: usize, log: Log, tail: usize, mercy: Mercy) -> Walk {
        let core = self.core;
        let word = core.load(core.layout.segment_at(segment, segment::HAND), Ordering::Relaxed);
        let hand = (word & HAND_MASK) as usize;
        // A hand past the tail is rotten: from the start again, which is harmless.
        let hand = if hand <= tail { hand } else { 0 };
        let mut flags = if hand == 0 { 0 } else { word & (COMPACT | RETAINED) };
        // Where `max_entries` bounds the cache, entries are evicted one by one, and a segment that they left half
        // walked is compacted.
        if hand == 0 || core.layout.geometry.max_entries > 0 {
            let live = core.tally(segment, self.era).units;
            flags = (flags & RETAINED) | if live * 2 <= core.layout.segment_units { COMPACT } else { 0 };
        }
        let generation = core.load(core.layout.generation_at(segment), Ordering::Relaxed);
        Walk {
            segment,
            generation,
            log,
            hand,
            tail,
            flags,
            own: None,
            targets: [None, None],
            evicted: Evicted::default(),
            mercy,
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
        self.prefetch_buckets(walk);
        let mut units = 0;
        for _ in 0..STEP_ENTRIES {
            let tail = walk.own.as_ref().map_or(walk.tail, |claim| claim.tail);
            let evictions: u64 = walk.evicted.entries.iter().sum();
            if walk.hand >= tail || units >= STEP_UNITS || evictions >= most_evictions {
                return;
            }
            let place = Place { segment: walk.segment, unit: walk.hand };
            let header = Header::read(self.core, place).filter(|header| place.unit + header.units() <= tail);
            let Some(header) = header else {
                self.empty_rotten(walk);
                walk.hand = tail;
                return;
            };
            self.handle_entry(walk, place, &header);
            if walk.is_stuck {
                return;
            }
            walk.hand += header.units();
            units += header.units();
        }
    }

    /// The buckets of a step's entries come from memory side by side, not one after the other.
    fn prefetch_buckets(&self, walk: &Walk) {
        let mut unit = walk.hand;
        for _ in 0..STEP_ENTRIES {
            let place = Place { segment: walk.segment, unit };
            let Some(header) = Header::read(self.core, place).filter(|_| unit < walk.tail) else { return };
            self.core.memory.prefetch(self.core.layout.slot_at(self.core.layout.bucket_of(header.hash32), 0));
            unit += header.units();
        }
    }

    /// Takes out every slot word that points at this entry. It stands in the bucket of its key, and nowhere else.
    fn handle_entry(&self, walk: &mut Walk, place: Place, header: &Header) {
        let bucket = self.core.layout.bucket_of(header.hash32);
        for slot in 0..SLOTS {
            let slot_at = self.core.layout.slot_at(bucket, slot);
            loop {
                let word = self.core.slot(slot_at);
                let points_here = word.kind() != Kind::Empty && word.place() == place && word.is_of_generation(walk.generation);
                if !points_here || self.handle_word(walk, slot_at, word, header) || walk.is_stuck || wanted(Mutant::SweepNoRetry)
                {
                    break;
                }
                // The exchange failed: the word was changed, maybe only its use count. The slot is read again (R6).
            }
        }
    }

    fn handle_word(&self, walk: &mut Walk, slot_at: usize, word: SlotWord, header: &Header) -> bool {
        if word.kind() == Kind::Tentative {
            // The segment is sealed, so whoever put it here has died or given up (R1).
            return wanted(Mutant::SweepSkipsTentative) || self.core.swap_slot(slot_at, word, SlotWord::EMPTY);
        }
        let expiry_ms = header.expiry(self.core);
        let probe = Probe { slot_at, word, generation: walk.generation, header: *header, expiry_ms, version: None };
        match self.fate(walk, &probe) {
            Fate::Empty(_) if wanted(Mutant::SweepSkipsDead) => true,
            Fate::Empty(event) => {
                let done = self.evict(&probe);
                if done {
                    self.count(event);
                }
                done
            }
            Fate::Evict => self.evict_by_policy(walk, &probe),
            Fate::Stay(freq) => {
                walk.flags |= RETAINED;
                self.core.swap_slot(slot_at, word, word.with_freq(freq))
            }
            Fate::Move(log, freq) => {
                let units = header.units();
                if let Some(claim) = self.target(walk, log, units) {
                    let done = self.move_entry(claim, &probe, freq);
                    self.world.count(Event::MovedUnits, if done { units as u64 } else { 0 });
                    return done;
                }
                if walk.is_for_room {
                    walk.is_stuck = true;
                    return false;
                }
                self.evict_by_policy(walk, &probe)
            }
        }
    }

    fn fate(&self, walk: &Walk, probe: &Probe) -> Fate {
        if self.is_cleared(probe.header.era) {
            return Fate::Empty(Event::Cleared);
        }
        if self.is_expired(probe.expiry_ms) {
            return Fate::Empty(Event::Expired);
        }
        if walk.mercy == Mercy::None {
            return Fate::Evict;
        }
        let freq = probe.word.freq();
        if self.core.layout.geometry.is_exact_lru() || walk.flags & COMPACT != 0 {
            return Fate::Move(walk.log, freq);
        }
        let spared = match walk.log {
            Log::Newcomers => (freq >= 2).then_some(0),
            Log::Main => freq.checked_sub(1),
        };
        match spared {
            None => Fate::Evict,
            Some(freq) if probe.header.units() > LONGEST_COPY_UNITS && walk.own.is_none() => Fate::Stay(freq),
            Some(freq) => Fate::Move(Log::Main, freq),
        }
    }

    fn evict_by_policy(&self, walk: &mut Walk, probe: &Probe) -> bool {
        if !self.evict(probe) {
            return false;
        }
        let log = walk.log as usize;
        walk.evicted.entries[log] += 1;
        walk.evicted.units[log] += probe.header.units() as u64;
        if !self.core.layout.geometry.is_exact_lru() {
            self.core.leave_ghost(probe.header.hash32, probe.word.tag(), walk.log, self.core.epochs());
        }
        self.count(if probe.word.freq() == 0 { Event::EvictedUnused } else { Event::EvictedUsed });
        true
    }

    /// A segment for survivors with room for so many units: the one held already, or another.
    fn target<'w>(&self, walk: &'w mut Walk, log: Log, units: usize) -> Option<&'w mut Claim> {
        let fits = |claim: &Claim| claim.tail + units <= self.core.layout.segment_units;
        if log == walk.log && walk.own.as_ref().is_some_and(fits) {
            return walk.own.as_mut();
        }
        let place = &mut walk.targets[log as usize];
        if !place.as_ref().is_some_and(fits) {
            if let Some(full) = place.take() {
                self.core.release(full, true);
            }
            *place = self.claim_room(log, units, Purpose::Move);
        }
        place.as_mut()
    }

    /// Copies an entry and points its slot at the copy, by one exchange on the exact word.
    fn move_entry(&self, claim: &mut Claim, probe: &Probe, freq: u8) -> bool {
        let appended = self.core.append_copy(claim, &probe.header, probe.word.tag(), freq, self.era);
        if !self.core.swap_slot(probe.slot_at, probe.word, appended.word) {
            self.core.take_back(claim, &appended, probe.header.era);
            return false;
        }
        self.core.lower_tally(probe.place().segment, probe.generation, probe.header.era, probe.header.units());
        true
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
        let evicted = walk.evicted.entries.iter().sum();
        let sealed = StateWord::sealed(walk.log);
        if walk.hand < walk.tail {
            self.store_hand(walk);
            core.swap_state(walk.segment, held, sealed);
            return if walk.is_stuck && evicted == 0 { Step::Stuck } else { Step::Walked(evicted) };
        }
        if walk.flags & RETAINED != 0 {
            let birth = core.memory.word(header::BIRTHS).fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            core.memory.word(core.layout.segment_at(walk.segment, segment::BIRTH)).store(birth, Ordering::Relaxed);
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

    /// No word points into the segment, and nobody pins it. Generation, then tail and hand, then FREE (R10).
    fn free(&self, walk: &Walk, held: StateWord) {
        let core = self.core;
        if wanted(Mutant::FreeBeforeGeneration) {
            core.swap_state(walk.segment, held, StateWord::FREE);
        }
        // Release: pairs with the acquire of readers. Whoever sees the new generation sees the slots emptied or moved.
        let order = weaken(Mutant::RelaxedClaim, Ordering::Release);
        core.memory.word(core.layout.generation_at(walk.segment)).store(walk.generation.wrapping_add(1), order);
        for field in [segment::TAIL, segment::HAND] {
            core.memory.word(core.layout.segment_at(walk.segment, field)).store(0, Ordering::Relaxed);
        }
        if core.swap_state(walk.segment, held, StateWord::FREE) {
            self.count(Event::SegmentFreed);
        }
    }
}
