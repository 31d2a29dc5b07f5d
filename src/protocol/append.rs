//! The log: claim a segment, append, give it back. All within one operation; nothing is held between operations.
//!
//! Order of a write (R1): claim; fence; bytes; tail; tally; slot; release. So every word that points into a segment
//! points below its tail, and nothing is published from a segment that is not held.

use core::sync::atomic::Ordering;

use super::entry::{self, Content};
use super::tally::Tally;
use super::{Core, Key, Log, Memory, Mutant, Op, Owner, Phase, Place, SlotWord, StateWord, Word, wanted, weaken};
use crate::layout::{UNIT, header, segment};

/// So many lines of the next entry are brought near; the processor sees where a longer one goes on.
const PREFETCHED_LINES: usize = 4;

/// A segment that this operation holds.
#[derive(Debug)]
#[must_use = "a claim that is not released stays until its process ends"]
pub struct Claim {
    pub(super) segment: usize,
    pub(super) generation: u64,
    pub(super) tail: usize,
    held: StateWord,
}

/// An entry that was appended and not yet published.
#[derive(Clone, Copy, Debug)]
pub struct Appended {
    pub(super) word: SlotWord,
    pub(super) units: usize,
}

impl<M: Memory> Core<M> {
    /// Claims a segment whose state was just read. Checks what the file says of it before anything is believed.
    #[inline(always)]
    pub(super) fn claim(&self, segment: usize, from: StateWord, log: Log, owner: Owner) -> Option<Claim> {
        let held = from.transition_to_claimed(log, owner);
        if !self.swap_state(segment, from, held) {
            return None;
        }
        if from.phase() == Phase::Free {
            let at = |field| self.memory.word(self.layout.segment_at(segment, field));
            // Relaxed: the release of the state word publishes them to the next holder.
            at(segment::HAND).store(0, Ordering::Relaxed);
            at(segment::TAIL).store(0, Ordering::Relaxed);
            self.give_birth(segment);
        }
        // Not read again where it was just stored: whoever takes a free segment relies on there being room.
        let tail = if from.phase() == Phase::Free { 0 } else { self.tail(segment) };
        let generation = self.load(self.layout.generation_at(segment), Ordering::Relaxed);
        // Release fence: pairs with the acquire fence of readers. Whoever reads a byte written from here on finds the
        // generation that was raised before this segment became free.
        self.memory.fence(weaken(Mutant::NoClaimFence, Ordering::Release));
        Some(Claim { segment, generation, tail, held })
    }

    /// Makes a segment the youngest. By its holder, whose release of the state word publishes it.
    pub(super) fn give_birth(&self, segment: usize) {
        let birth = self.memory.word(header::BIRTHS).fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        self.memory.word(self.layout.segment_at(segment, segment::BIRTH)).store(birth, Ordering::Relaxed);
    }

    /// Units filled. A tail beyond the end is rotten; the segment counts as full.
    pub(super) fn tail(&self, segment: usize) -> usize {
        // Acquire: pairs with the release in `store_tail`; the entries below it are there, be their writer dead.
        let tail = self.load(self.layout.segment_at(segment, segment::TAIL), Ordering::Acquire);
        tail.min(self.layout.segment_units as u64) as usize
    }

    /// Gives a segment back, to OPEN or, if next to nothing more fits or `seal` says so, to SEALED. `false` means that
    /// this process had been taken for dead meanwhile, and the segment is no longer its own.
    #[inline]
    pub(super) fn release(&self, claim: Claim, seal: bool) -> bool {
        let log = claim.held.log();
        let full = claim.tail + self.least_room() > self.layout.segment_units;
        let to = if seal || full { StateWord::sealed(log) } else { StateWord::open(log) };
        self.swap_state(claim.segment, claim.held, to)
    }

    /// Gives a segment back that has too little room for so many units. An entry that is large for a segment leaves the
    /// rest to smaller ones, as long as much is left.
    #[cold]
    #[inline(never)]
    fn release_too_full(&self, claim: Claim, units: usize) {
        let room = self.layout.segment_units - claim.tail;
        let seal = units * 8 < self.layout.segment_units || room * 8 < self.layout.segment_units;
        self.release(claim, seal);
    }

    /// With less room than this left, in units, a segment is full.
    fn least_room(&self) -> usize {
        if cfg!(shmemo_model) { 2 } else { (self.layout.segment_units / 512).clamp(2, 64) }
    }

    /// Appends an entry to a claimed segment that has room for it, and counts it in.
    #[inline]
    pub(super) fn append(&self, claim: &mut Claim, key: &Key<'_>, content: &Content<'_>, era: u32, freq: u8) -> Appended {
        let units = content.units(key.bytes.len());
        let place = Place { segment: claim.segment, unit: claim.tail };
        entry::write(self, place, key, content, if wanted(Mutant::StoreStampsEra) { self.era() } else { era });
        let appended = self.advance(claim, units, era, SlotWord::live(place, claim.generation, key.tag, freq));
        if let Some(expiry_ms) = content.expiry_ms {
            self.foresee(claim, era, units, expiry_ms);
        }
        appended
    }

    /// Appends a copy of an entry as it stands, with its own era, expiry and version (R12, R16).
    pub(super) fn append_copy(&self, claim: &mut Claim, from: &entry::Header, tag: u16, freq: u8) -> Appended {
        let units = from.units();
        let place = Place { segment: claim.segment, unit: claim.tail };
        let to = self.layout.unit_at(place.segment, place.unit);
        self.memory.copy_payload(from.at, to, units * UNIT);
        if wanted(Mutant::MoveStampsEra) {
            self.memory.word(to + 8).store(u64::from(from.hash32) | u64::from(self.era()) << 32, Ordering::Relaxed);
        }
        let appended = self.advance(claim, units, from.era, SlotWord::live(place, claim.generation, tag, freq));
        if let Some(expiry_ms) = from.expiry(self) {
            self.foresee(claim, from.era, units, expiry_ms);
        }
        appended
    }

    #[inline]
    fn advance(&self, claim: &mut Claim, units: usize, era: u32, word: SlotWord) -> Appended {
        claim.tail += units;
        if !wanted(Mutant::TailAfterPublish) {
            self.store_tail(claim);
        }
        self.raise_tally(claim, era, units);
        // The next entry is written right behind, in all likelihood by this thread and as long; not so long ago the lines
        // belonged to entries that nobody looked at any more.
        let mut next = self.layout.unit_at(claim.segment, claim.tail);
        let end = next + (units * UNIT).min((PREFETCHED_LINES - 1) * 64);
        while next <= end {
            self.memory.prefetch(next);
            next += 64;
        }
        Appended { word, units }
    }

    /// Release: pairs with the acquire in `tail`, so that whoever sweeps finds whole entries below it, also those of a writer
    /// that died before it could give the segment back.
    #[inline]
    pub(super) fn store_tail(&self, claim: &Claim) {
        self.memory.word(self.layout.segment_at(claim.segment, segment::TAIL)).store(claim.tail as u64, Ordering::Release);
    }

    /// Takes back what was appended last and never went live: nobody has a word for it.
    pub(super) fn take_back(&self, claim: &mut Claim, appended: &Appended, era: u32) {
        self.lower_tally(claim.segment, claim.generation, era, Tally::one(appended.units));
        if let Some(expiry_ms) = entry::Header::read(self, appended.word.place()).and_then(|header| header.expiry(self)) {
            self.unforesee(appended.word.place(), claim.generation, era, appended.units, expiry_ms);
        }
        claim.tail = appended.word.place().unit;
        self.store_tail(claim);
    }
}

/// Free segments are short: the next sets sweep.
pub(super) const SHORT: u64 = 1;
/// The last free segment was taken for survivors: what is swept is to be swept to its end before the room that is left
/// goes to new entries.
pub(super) const LAST: u64 = 2;

/// For whom room is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A new entry: the last free segments are left to survivors.
    Store,
    /// A survivor of a sweep.
    Move,
}

impl<M: Memory> Op<'_, M> {
    /// Claims a segment of a log with room for so many units, without sweeping: the segment of last time, any other
    /// OPEN one, or a FREE one.
    #[inline(always)]
    pub(super) fn claim_room(&self, log: Log, units: usize, purpose: Purpose) -> Option<Claim> {
        let owner = self.owner?;
        let hinted = self.hints.open[log as usize].load(Ordering::Relaxed) as usize;
        if hinted < self.core.layout.segments
            && let Some(claim) = self.claim_open(hinted, log, units, owner)
        {
            return Some(claim);
        }
        self.copy().claim_another(log, units, owner, purpose)
    }

    #[cold]
    #[inline(never)]
    fn claim_another(&self, log: Log, units: usize, owner: Owner, purpose: Purpose) -> Option<Claim> {
        let claim = self.claim_any_open(log, units, owner).or_else(|| self.claim_free(log, owner, purpose))?;
        let hint = &self.hints.open[log as usize];
        hint.store(claim.segment as u32, Ordering::Relaxed);
        Some(claim)
    }

    #[inline(always)]
    fn claim_open(&self, segment: usize, log: Log, units: usize, owner: Owner) -> Option<Claim> {
        let core = self.core;
        let state = core.state(segment);
        if state != StateWord::open(log) {
            return None;
        }
        let claim = core.claim(segment, state, log, owner)?;
        let room = core.layout.segment_units - claim.tail;
        if room >= units {
            return Some(claim);
        }
        core.release_too_full(claim, units);
        None
    }

    fn claim_any_open(&self, log: Log, units: usize, owner: Owner) -> Option<Claim> {
        let core = self.core;
        let segments = core.layout.segments;
        (0..segments).map(|i| (i + self.hints.lane as usize) % segments).find_map(|segment| {
            let tail = core.tail(segment);
            // Not yet held, so only a guess, but it spares segments with too little room the claim.
            if tail + units > core.layout.segment_units {
                return None;
            }
            let claim = self.claim_open(segment, log, units, owner)?;
            // Long entries leave segments OPEN behind them. One that is filled up later is young again: else what is
            // stored in it now might be swept at once, as the oldest of all.
            core.give_birth(segment);
            Some(claim)
        })
    }

    /// Claims an OPEN segment of the other log: where an entry lies matters less than that it lies anywhere.
    pub(super) fn claim_of_other_log(&self, log: Log, units: usize) -> Option<Claim> {
        self.claim_any_open(log.other(), units, self.owner?)
    }

    /// Opens a free segment. Says by a word in the header that free ones are short, so that the next sets sweep.
    fn claim_free(&self, log: Log, owner: Owner, purpose: Purpose) -> Option<Claim> {
        let core = self.core;
        if purpose == Purpose::Store {
            self.ask_after_a_holder();
        }
        let kept_back = if purpose == Purpose::Move { 0 } else { core.reserve() };
        let free: usize = core.count_free();
        if free <= core.reserve() + 1 {
            let pressure = if free > core.reserve() { SHORT } else { LAST };
            core.memory.word(header::PRESSURE).store(pressure, Ordering::Relaxed);
        }
        if free <= kept_back {
            return None;
        }
        let start = self.hints.lane as usize;
        let segments = core.layout.segments;
        for i in 0..segments {
            let segment = (start + i) % segments;
            let state = core.state(segment);
            if state.phase() == Phase::Free
                && let Some(claim) = core.claim(segment, state, log, owner)
            {
                self.note_opening(segment);
                return Some(claim);
            }
        }
        None
    }
}

impl<M: Memory> Core<M> {
    /// Free segments that are kept for the survivors of sweeps: one, unless those of a whole segment find room in that
    /// which the main log is written to.
    pub(super) fn reserve(&self) -> usize {
        let has_room = |segment: usize| {
            self.state(segment) == StateWord::open(Log::Main) && self.tail(segment) * 8 <= self.layout.segment_units
        };
        let segments = self.layout.segments;
        usize::from(segments > 3 && !(0..segments).any(has_room))
    }

    pub(super) fn count_free(&self) -> usize {
        (0..self.layout.segments).filter(|&segment| self.state(segment).phase() == Phase::Free).count()
    }
}
