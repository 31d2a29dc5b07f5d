//! What becomes of an entry whose segment is swept: it goes, it is moved, or it stays.

use super::append::Purpose;
use super::entry::Header;
use super::policy::PROMOTION;
use super::sweep::{COMPACT, Mercy, RETAINED, Walk};
use super::tally::Tally;
use super::{Claim, Event, Kind, Log, Memory, Mutant, Op, Place, Probe, SlotWord, wanted};
use crate::layout::{SLOTS, UNIT};

/// Survivors longer than this are not copied: their segment stays as the youngest.
const LONGEST_COPY_UNITS: usize = (16 << 10) / UNIT;

enum Fate {
    Empty(Event),
    Evict,
    Move(Log, u8),
    Stay(u8),
}

/// One sweep in four, another one for each key: generations rise as segments are used again.
fn is_turn(hash32: u32, generation: u64) -> bool {
    (hash32.wrapping_mul(0x9e37_79b1) >> 8).wrapping_add(generation as u32).is_multiple_of(4)
}

impl Walk {
    /// What is held of a log for survivors, if its tail is at most here.
    #[inline]
    fn target(&mut self, log: Log, most_tail: usize) -> Option<&mut Claim> {
        let own = Some(&mut self.own).filter(|_| log == self.log).and_then(Option::as_mut);
        let fits = |claim: &&mut Claim| claim.tail <= most_tail;
        own.filter(fits).or(self.targets[log as usize].as_mut().filter(fits))
    }
}

impl<M: Memory> Op<'_, M> {
    /// Takes out every slot word that points at this entry. It stands in the bucket of its key, and nowhere else.
    pub(super) fn handle_entry(&self, walk: &mut Walk, place: Place, header: &Header) {
        let bucket_at = self.core.layout.slot_at(self.core.layout.bucket_of(header.hash32), 0);
        let here = SlotWord::live(place, walk.generation, 0, 0);
        // No slot comes to point here any more, so those that do not now need no second look.
        let mut pointing = self.core.memory.match_lower_halves::<SLOTS>(bucket_at, SlotWord::lower_half_of(place));
        while pointing != 0 {
            let slot_at = bucket_at + pointing.trailing_zeros() as usize * 8;
            pointing &= pointing - 1;
            loop {
                let word = self.core.slot(slot_at);
                let points_here = word.kind() != Kind::Empty && word.names_place_of(here);
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
                let done = self.evict_swept(walk, &probe);
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
            Fate::Move(log, freq) => self.move_or_evict(walk, &probe, log, freq),
        }
    }

    fn move_or_evict(&self, walk: &mut Walk, probe: &Probe, log: Log, freq: u8) -> bool {
        let units = probe.header.units();
        // Room is kept for the survivors of a segment, but maybe only where the main log is written to.
        let found = [log, Log::Main].into_iter().find(|&log| self.find_target(walk, log, units));
        if let Some(claim) = found.and_then(|log| walk.target(log, self.core.layout.segment_units - units)) {
            let done = self.move_entry(claim, probe, freq);
            if done {
                self.count_gone(walk, probe);
                self.world.count(Event::MovedUnits, units as u64);
                walk.purse.pay(units);
            }
            return done;
        }
        if walk.is_for_room && walk.mercy != Mercy::None {
            walk.is_stuck = true;
            return false;
        }
        self.evict_by_policy(walk, probe)
    }

    fn fate(&self, walk: &Walk, probe: &Probe) -> Fate {
        if let Some(death) = self.death(probe.header.era, probe.expiry_ms) {
            return Fate::Empty(death);
        }
        // What is mostly dead gives room soon enough without that.
        if walk.mercy == Mercy::None && walk.flags & COMPACT == 0 {
            return Fate::Evict;
        }
        let freq = probe.word.freq();
        if self.core.layout.geometry.is_exact_lru() || walk.flags & COMPACT != 0 {
            return Fate::Move(walk.log, freq);
        }
        match self.freq_if_spared(walk, probe) {
            None => Fate::Evict,
            Some(freq) if probe.header.units() > LONGEST_COPY_UNITS && walk.own.is_none() => Fate::Stay(freq),
            Some(_) if !walk.purse.spares(freq) => Fate::Evict,
            Some(freq) => Fate::Move(Log::Main, freq),
        }
    }

    /// The header of the entry that a word points at, if that is none that is dead, or none at all.
    pub(super) fn header_if_alive(&self, word: SlotWord) -> Option<Header> {
        let header = Header::read(self.core, word.place())?;
        self.death(header.era, header.expiry(self.core)).is_none().then_some(header)
    }

    /// The use count that an entry stays with, if the policy spares it. Small ones have it easier, for they take little
    /// room: `docs/eviction.md` has what that gains.
    fn freq_if_spared(&self, walk: &Walk, probe: &Probe) -> Option<u8> {
        let (freq, units) = (probe.word.freq(), probe.header.units());
        let is_small = units * 2 < walk.mean_units;
        match walk.log {
            Log::Newcomers if !is_small => (freq >= PROMOTION).then_some(0),
            Log::Newcomers => (freq >= 1 || units * 8 < walk.mean_units && self.has_roomy_bucket(probe)).then_some(0),
            Log::Main if is_small && freq > 0 && !is_turn(probe.header.hash32, walk.generation) => Some(freq),
            Log::Main => freq.checked_sub(1),
        }
    }

    /// Whether half of the slots of its bucket are empty: else small entries crowd each other out of the index.
    fn has_roomy_bucket(&self, probe: &Probe) -> bool {
        let bucket_at = self.core.layout.slot_at(self.core.layout.bucket_of(probe.header.hash32), 0);
        let (mask, empty) = SlotWord::upper_half_of_empty();
        self.core.memory.match_upper_halves::<SLOTS>(bucket_at, mask, empty).count_ones() as usize >= SLOTS / 2
    }

    fn evict_by_policy(&self, walk: &mut Walk, probe: &Probe) -> bool {
        if !self.evict_swept(walk, probe) {
            return false;
        }
        let log = walk.log as usize;
        walk.evicted.entries[log] += 1;
        walk.evicted.units[log] += probe.header.units() as u64;
        if !self.core.layout.geometry.is_exact_lru() {
            self.core.leave_ghost(probe.header.hash32, probe.word.tag(), walk.log, walk.epochs);
        }
        self.count(Event::evicted(probe.word.freq()));
        true
    }

    fn evict_swept(&self, walk: &mut Walk, probe: &Probe) -> bool {
        let done = self.core.swap_slot(probe.slot_at, probe.word, SlotWord::EMPTY);
        if done {
            self.count_gone(walk, probe);
            self.return_entry_of(probe);
        }
        done
    }

    /// Counts an entry out of the segment that is swept, at the end of the step.
    #[inline(always)]
    fn count_gone(&self, walk: &mut Walk, probe: &Probe) {
        if probe.header.era != self.era {
            return self.core.lower_tally_of(probe);
        }
        walk.gone.add(Tally::one(probe.header.units()));
        // Where the segment is about to be freed, nobody asks any more.
        if !walk.is_for_room {
            self.core.unforesee_of(probe);
        }
    }

    /// Holds a segment for survivors with room for so many units, if there is one: that held already, or another.
    fn find_target(&self, walk: &mut Walk, log: Log, units: usize) -> bool {
        if walk.target(log, self.core.layout.segment_units - units).is_some() {
            return true;
        }
        let place = &mut walk.targets[log as usize];
        if let Some(full) = place.take() {
            self.core.release(full, true);
        }
        *place = self.claim_room(log, units, Purpose::Move);
        place.is_some()
    }

    /// Copies an entry and points its slot at the copy, by one exchange on the exact word.
    fn move_entry(&self, claim: &mut Claim, probe: &Probe, freq: u8) -> bool {
        let appended = self.core.append_copy(claim, &probe.header, probe.word.tag(), freq);
        if !self.core.swap_slot(probe.slot_at, probe.word, appended.word) {
            self.core.take_back(claim, &appended, probe.header.era);
            return false;
        }
        true
    }
}
