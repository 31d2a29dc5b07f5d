//! The one lookup routine, for every operation (R2).
//!
//! Slot; generation; slot again; key and value; generation again. Any mismatch: the same slot again. "Another
//! generation" never means "another key" or "absent", unless the slot held the very word whose generation has gone
//! between two looks at one and the same generation: then nothing stands there.
//!
//! The generation is the seqlock of a segment's bytes (Boehm, "Can seqlocks get along with programming language memory
//! models?", MSPC 2012): a writer fences (release) between its claim and its first new byte, a reader fences (acquire)
//! between its copy and its second look.

use core::sync::atomic::Ordering;

use super::entry::{self, Header};
use super::{Core, Key, Kind, Memory, Mutant, Op, Place, SlotWord, Word, wanted, weaken};
use crate::layout::SLOTS;

/// How often a writer does. Every repetition means that another operation made a step, so only a file that somebody
/// scribbles in gets so far.
const WRITE_ATTEMPTS: u32 = 100_000;

/// Lines of an entry that are brought near for its key, and for a short value too; a longer one is a run that the
/// processor sees.
pub(super) const LINES_OF_KEY: usize = 1;
pub(super) const LINES_OF_ENTRY: usize = 3;

/// An entry that was found where a word said.
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    /// Where the word stands.
    pub slot_at: usize,
    /// The word as it was read last.
    pub word: SlotWord,
    /// The whole generation of its segment.
    pub generation: u64,
    /// Its header.
    pub header: Header,
    /// When it expires.
    pub expiry_ms: Option<u64>,
    /// Its version stamp.
    pub version: Option<u64>,
}

impl Probe {
    /// Where the entry starts.
    pub fn place(&self) -> Place {
        self.word.place()
    }
}

/// What a lookup came to.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    /// The key's slot, though its entry may be expired or of an older era: it is still this key's slot (R15).
    Yes(Probe),
    /// No slot holds the key.
    No,
    /// The slot changed each time that it was looked at.
    GaveUp,
}

/// What one look at a slot came to.
enum Look<'c, W> {
    /// The key stands there, if this word, the generation of its segment, is still the same: see [`Core::is_whole`].
    Match(Probe, &'c W),
    Other,
    Again,
}

/// What one pass over a bucket came to.
pub(super) enum Pass {
    Found(Probe),
    /// No slot has the key's tag.
    Absent,
    /// Something stands in the way: another key of this tag, or a change meanwhile.
    Unclear,
}

/// What the shortest way to a value came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// The value was appended.
    Found,
    /// No slot has the key's tag.
    Absent,
    /// Anything but a live entry of the key, of this era, without expiry and version, in the first slot with its tag.
    Unclear,
}

impl<M: Memory> Core<M> {
    /// Looks at a slot once: its word, the generation of its segment, the word again, and the key. Of a match, the
    /// generation is to be looked at again after the value.
    #[inline(always)]
    fn look(&self, slot_at: usize, key: Option<&Key<'_>>, lines: usize) -> Look<'_, M::Word> {
        let slot = self.memory.word(slot_at);
        let word = Self::read_slot(slot);
        if !key.map_or(word.kind() == Kind::Live, |key| word.is_live_with(key.tag)) {
            return Look::Other;
        }
        let place = word.place();
        if place.segment >= self.layout.segments {
            return Look::Other;
        }
        // The lines that will be read come side by side, and while the generation is looked at.
        let entry_at = self.layout.unit_at(place.segment, place.unit);
        for line in 0..lines {
            self.memory.prefetch(entry_at + line * 64);
        }
        let generation_word = self.memory.word(self.layout.generation_at(place.segment));
        let generation = generation_word.load(Ordering::Acquire); // as in `generation`
        let again = Self::read_slot(slot);
        if !again.same_entry(word) {
            return Look::Again;
        }
        if !word.is_of_generation(generation) {
            // Between two looks at one generation the word stood although its own has gone: it dangles, and is empty for
            // every purpose. After a single look it may be a new word with the old bits.
            // Acquire in the second look, as in the first: one that sees an entry published in a later generation sees that.
            let dangles = || generation_word.load(Ordering::Acquire) == generation;
            let is_other = wanted(Mutant::GenerationMeansAbsent) || wanted(Mutant::DanglingAfterOneLook) || dangles();
            return if is_other { Look::Other } else { Look::Again };
        }
        // Not by `map_or_else`, whose closures are not inlined everywhere.
        let header = match key {
            Some(key) => Header::read_of(self, place, key),
            None => Header::read(self, place),
        };
        if let Some(header) = header {
            let (expiry_ms, version) = (header.expiry(self), header.version(self));
            return Look::Match(Probe { slot_at, word: again, generation, header, expiry_ms, version }, generation_word);
        }
        if self.is_whole(generation_word, generation) || wanted(Mutant::GenerationMeansAbsent) {
            Look::Other
        } else {
            Look::Again
        }
    }

    /// The second look at the generation: what was read since the first is whole if they are equal.
    #[inline]
    fn is_whole(&self, generation_word: &M::Word, generation: u64) -> bool {
        // Acquire fence: pairs with the release fence of a claim. If a byte of a later claim was read, its generation
        // is read here too.
        self.memory.fence(weaken(Mutant::NoReaderFence, Ordering::Acquire));
        generation_word.load(Ordering::Relaxed) == generation || wanted(Mutant::NoGenerationAfterCopy)
    }

    /// Looks at one slot for a key (or for any key) until the answer is certain. `visit` is called before it is, maybe
    /// more than once.
    #[inline]
    pub(super) fn examine(&self, slot_at: usize, key: Option<&Key<'_>>, attempts: u32, mut visit: impl FnMut(&Probe)) -> Found {
        for attempt in 0..attempts {
            match self.look(slot_at, key, LINES_OF_KEY) {
                Look::Match(probe, generation_word) => {
                    visit(&probe);
                    if self.is_whole(generation_word, probe.generation) {
                        return Found::Yes(probe);
                    }
                    if wanted(Mutant::GenerationMeansAbsent) {
                        return Found::No;
                    }
                }
                Look::Other => return Found::No,
                Look::Again => {}
            }
            self.memory.pause(attempt);
        }
        Found::GaveUp
    }

    /// The slots of a bucket with live words of this tag, a bit for each. All are read before the first is judged:
    /// without a branch for each, the processor goes on to what comes after while the line is on its way.
    #[inline(always)]
    fn candidates(&self, bucket_at: usize, tag: u16) -> u32 {
        // With acquire, as in `slot`: who finds a key gone also finds what its remover did before.
        let (mask, wanted) = SlotWord::upper_half_of_live(tag);
        self.memory.match_upper_halves::<SLOTS>(bucket_at, mask, wanted)
    }

    /// The slots of a bucket with words of this tag, live or not, read as those of `candidates`.
    #[inline]
    pub(super) fn slots_of_tag(&self, bucket_at: usize, tag: u16) -> u32 {
        let (mask, wanted) = SlotWord::upper_half_of_tag(tag);
        self.memory.match_upper_halves::<SLOTS>(bucket_at, mask, wanted)
    }

    /// Looks for a key in its bucket, as far as that goes without repetition: nearly always all the way.
    #[inline(always)]
    pub(super) fn pass(&self, key: &Key<'_>, lines: usize, visit: impl FnOnce(&Probe)) -> Pass {
        let bucket_at = self.layout.slot_at(self.layout.bucket_of(key.hash32), 0);
        let candidates = self.candidates(bucket_at, key.tag);
        if candidates == 0 {
            return Pass::Absent;
        }
        let slot_at = bucket_at + candidates.trailing_zeros() as usize * 8;
        if let Look::Match(probe, generation_word) = self.look(slot_at, Some(key), lines) {
            visit(&probe);
            if self.is_whole(generation_word, probe.generation) {
                return Pass::Found(probe);
            }
        }
        Pass::Unclear
    }

    /// The shortest way to the value of a plain entry: the same looks in the same order as those of [`Op::get`], but it
    /// ends wherever anything is not as it nearly always is. So it keeps next to nothing of what it has read, and a
    /// processor that looks ahead comes further. A value longer than `most` bytes, which is at most the longest of the
    /// file, is unclear.
    #[inline(always)]
    pub fn get_plain(&self, key: &Key<'_>, most: usize, out: &mut Vec<u8>) -> Plain {
        let era = self.era();
        let bucket_at = self.layout.slot_at(self.layout.bucket_of(key.hash32), 0);
        let candidates = self.candidates(bucket_at, key.tag);
        if candidates == 0 {
            return Plain::Absent;
        }
        let slot_at = bucket_at + candidates.trailing_zeros() as usize * 8;
        let slot = self.memory.word(slot_at);
        let word = Self::read_slot(slot);
        let place = word.place();
        if !word.is_live_with(key.tag) || place.segment >= self.layout.segments || place.unit >= self.layout.segment_units {
            return Plain::Unclear;
        }
        let entry_at = self.layout.unit_at(place.segment, place.unit);
        for line in 0..LINES_OF_ENTRY {
            self.memory.prefetch(entry_at + line * 64);
        }
        let generation_word = self.memory.word(self.layout.generation_at(place.segment));
        let generation = generation_word.load(Ordering::Acquire); // as in `generation`
        let again = Self::read_slot(slot);
        if !again.same_entry(word) || !word.is_of_generation(generation) {
            return Plain::Unclear;
        }
        let before = out.len();
        if !entry::read_plain(self, (entry_at, place.unit), key, era, most, out) {
            return Plain::Unclear;
        }
        if !self.is_whole(generation_word, generation) {
            out.truncate(before);
            return Plain::Unclear;
        }
        self.note_use(slot_at, again);
        Plain::Found
    }

    /// Looks for a key in its bucket.
    #[cold]
    #[inline(never)]
    pub(super) fn search(&self, key: &Key<'_>, attempts: u32, visit: &mut dyn FnMut(&Probe)) -> Found {
        let bucket_at = self.layout.slot_at(self.layout.bucket_of(key.hash32), 0);
        let mut candidates = self.candidates(bucket_at, key.tag);
        let mut gave_up = false;
        while candidates != 0 {
            let slot_at = bucket_at + candidates.trailing_zeros() as usize * 8;
            match self.examine(slot_at, Some(key), attempts, &mut *visit) {
                Found::No => {}
                Found::GaveUp => gave_up = true,
                found @ Found::Yes(_) => return found,
            }
            candidates &= candidates - 1;
        }
        if gave_up { Found::GaveUp } else { Found::No }
    }
}

impl<M: Memory> Op<'_, M> {
    /// Looks for a key on behalf of a writer.
    #[inline]
    pub(super) fn find(&self, key: &Key<'_>) -> Found {
        match self.core.pass(key, LINES_OF_KEY, |_| {}) {
            Pass::Found(probe) => Found::Yes(probe),
            Pass::Absent => Found::No,
            Pass::Unclear => self.core.search(key, WRITE_ATTEMPTS, &mut |_| {}),
        }
    }

    /// Looks for a key on behalf of a writer, and copies its value out.
    pub(super) fn find_with_value(&self, key: &Key<'_>, value: &mut Vec<u8>) -> Found {
        self.core.search(key, WRITE_ATTEMPTS, &mut |probe| {
            value.clear();
            self.core.read_value(&probe.header, value);
        })
    }

    /// One slot, on behalf of a writer.
    pub(super) fn examine_slot(&self, slot_at: usize, key: Option<&Key<'_>>) -> Found {
        self.core.examine(slot_at, key, WRITE_ATTEMPTS, |_| {})
    }

    /// Whether an entry counts for nothing any more: from before a `clear`, or expired.
    pub(super) fn is_dead(&self, probe: &Probe) -> bool {
        self.death(probe.header.era, probe.expiry_ms).is_some()
    }
}
