//! What processes may do to the shared words, and in which order.
//!
//! Nothing in here does I/O, asks a clock, dereferences a pointer or is `unsafe`: it is written against [`Memory`], so
//! that the same code runs in the mapped file, on the heap under Miri, and in the model checker. The rules and the
//! reasons are in `docs/design.md`; a comment `R3` here cites rule 3 of that page.

mod append;
mod bound;
mod count;
mod credit;
mod entry;
mod exact;
mod fate;
mod find;
mod forecast;
mod ghost;
mod harvest;
mod mutant;
mod pin;
mod policy;
mod publish;
mod read;
mod recover;
mod slot;
mod state;
mod sweep;
mod tally;
#[cfg(test)]
mod tests;
mod update;
mod uses;
mod verify;
mod verify_index;
mod victim;
mod walk;
mod word;

use core::cell::Cell;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

pub use append::Claim;
pub use entry::Content;
pub use find::{Found, Plain, Probe};
pub use mutant::Mutant;
#[cfg(shmemo_model)]
pub use mutant::choose;
pub(crate) use mutant::{wanted, weaken};
use publish::Insert;
#[cfg(any(test, shmemo_model))]
pub use publish::Put;
pub use slot::{FREQ_MAX, GENERATION_BITS, Kind, MAX_UNITS, Place, SlotWord, TAG_BITS};
pub use state::{INCARNATION_BITS, Log, Owner, Phase, StateWord};
#[cfg(shmemo_model)]
pub use sweep::Step;
pub use update::{Change, Decision, Outcome};
#[cfg(any(test, shmemo_model))]
pub use verify::Summary;
pub use verify::{Facts, Finding};
#[cfg(shmemo_model)]
pub use walk::Census;
pub use word::{Half, Memory, Word};

use crate::layout::{Layout, header};

/// What the protocol needs to know of the world outside the file.
pub trait World {
    /// Milliseconds on the one clock that all processes of the file share, or [`UNKNOWN_TIME`].
    fn now_ms(&self) -> u64;
    /// Somebody stands in the way. If that owner is dead, gives back all that it held and returns `true`. Never waits.
    fn reclaim(&self, suspect: Owner) -> bool;
    /// Who this process is by now: a caller's code may have forked it since it was this owner. `None`: it has no line.
    fn still(&self, owner: Owner) -> Option<Owner> {
        Some(owner)
    }
    /// A number that nobody needs to trust: for pauses.
    fn entropy(&self) -> u32;
    /// Counts an event.
    fn count(&self, event: Event, times: u64);
    /// Counts an entry of so many units that was stored.
    fn count_stored(&self, units: u64) {
        self.count(Event::AppendedUnits, units);
        self.count(Event::Stored, 1);
    }
}

/// What a clock shows that is not to be trusted: later than everything, so that nothing is found that may have expired.
pub const UNKNOWN_TIME: u64 = u64::MAX;

/// What is counted. The numbers are places in a registry line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// A get that found a value.
    Hit = 0,
    /// A get that found none.
    Miss = 1,
    /// An entry was stored, for a new key or in place of an older entry.
    Stored = 2,
    /// ... of which in place of an older one that counted.
    Replaced = 3,
    /// A key was removed by a caller.
    Removed = 4,
    /// The policy evicted an entry that was not used since it came.
    EvictedUnused = 5,
    /// The policy evicted an entry that had been used.
    EvictedUsed = 6,
    /// A full bucket evicted its coldest entry.
    EvictedByFullBucket = 7,
    /// An expired entry was taken out.
    Expired = 8,
    /// An entry from before a `clear` was taken out.
    Cleared = 9,
    /// A write found no room and was dropped.
    Dropped = 10,
    /// Units of 16 bytes that were moved to save an entry.
    MovedUnits = 11,
    /// A key came back that had been evicted not long ago.
    GhostHit = 12,
    /// Segments freed.
    SegmentFreed = 13,
    /// A read gave up because the entry changed under it again and again.
    ReadGaveUp = 14,
    /// Units of 16 bytes that were appended for new entries.
    AppendedUnits = 15,
}

impl Event {
    /// An entry was evicted that had been used so often.
    pub(crate) fn evicted(freq: u8) -> Self {
        if freq == 0 { Self::EvictedUnused } else { Self::EvictedUsed }
    }
}

/// A key with all that follows from it.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Bucket and set of ghosts come from these bits.
    pub hash32: u32,
    /// The word carries these bits.
    pub tag: u16,
}

impl<'a> Key<'a> {
    /// A key with its hash.
    #[inline]
    pub fn new(bytes: &'a [u8], hash: u64) -> Self {
        Self { bytes, hash32: (hash >> 32) as u32, tag: (hash & ((1 << TAG_BITS) - 1)) as u16 }
    }
}

/// Where this thread wrote and swept last: guesses that save a search, checked before use.
#[derive(Debug, Default)]
pub struct Hints {
    /// A segment with room, for each log.
    pub open: [AtomicU32; 2],
    /// The segment that was swept last, with its birth.
    pub sweeping: AtomicU64,
    /// The segment of each log that entries were evicted from last, with its birth.
    pub evicting: [AtomicU64; 2],
    /// The segment that expired entries are taken out of, with its birth.
    pub harvesting: AtomicU64,
    /// The unit of it that comes next.
    pub harvested: AtomicU32,
    /// Where there is none, how many evictions to wait before one is looked for.
    pub patience: AtomicU32,
    /// The number of this thread among those of the process: threads begin their searches at different places.
    pub lane: u32,
}

/// The file, as the protocol sees it.
#[derive(Debug)]
pub struct Core<M> {
    /// The words.
    pub memory: M,
    /// Where they lie.
    pub layout: Layout,
}

/// One operation. It loads the era once, and judges and stamps by that value (R14).
pub struct Op<'a, M> {
    pub(crate) core: &'a Core<M>,
    pub(crate) owner: Option<Owner>,
    pub(crate) era: u32,
    pub(crate) world: &'a dyn World,
    pub(crate) hints: &'a Hints,
    now: Cell<u64>,
}

impl<M: Memory> Core<M> {
    #[inline]
    pub(crate) fn load(&self, at: usize, order: Ordering) -> u64 {
        self.memory.word(at).load(order)
    }

    #[inline]
    pub(crate) fn slot(&self, at: usize) -> SlotWord {
        Self::read_slot(self.memory.word(at))
    }

    #[inline]
    pub(crate) fn read_slot(word: &M::Word) -> SlotWord {
        // Acquire: pairs with the release of whoever published the word; the entry's bytes are there.
        SlotWord::from_bits(word.load(weaken(Mutant::RelaxedSlotLoad, Ordering::Acquire)))
    }

    /// Changes exactly this word. Release: whatever was written before is seen by whoever finds the new word. Acquire:
    /// for the one who goes on from the old word's entry.
    #[inline]
    #[cfg_attr(shmemo_fault, track_caller)]
    pub(crate) fn swap_slot(&self, at: usize, from: SlotWord, to: SlotWord) -> bool {
        let order = weaken(Mutant::RelaxedPublish, weaken(Mutant::UnreleasedPublish, Ordering::AcqRel));
        self.memory.word(at).compare_exchange(from.bits(), to.bits(), order, Ordering::Relaxed).is_ok()
    }

    /// The state of a segment.
    #[inline]
    pub fn state(&self, segment: usize) -> StateWord {
        let at = self.layout.segment_at(segment, crate::layout::segment::STATE);
        // Acquire: pairs with the release of the last holder; its tail, hand and birth are there.
        StateWord::from_bits(self.load(at, Ordering::Acquire))
    }

    #[cfg_attr(shmemo_fault, track_caller)]
    pub(crate) fn swap_state(&self, segment: usize, from: StateWord, to: StateWord) -> bool {
        let at = self.layout.segment_at(segment, crate::layout::segment::STATE);
        let order = weaken(Mutant::RelaxedClaim, Ordering::AcqRel);
        self.memory.word(at).compare_exchange(from.bits(), to.bits(), order, Ordering::Relaxed).is_ok()
    }

    #[inline]
    pub(crate) fn generation(&self, segment: usize) -> u64 {
        // Acquire: pairs with the release of the sweeper that raised it; the slots that it emptied or moved are seen as
        // such.
        self.load(self.layout.generation_at(segment), Ordering::Acquire)
    }

    /// The era now. Acquire and release only order it for the reader's own conscience: coherence of one word is what
    /// counts.
    #[inline]
    pub fn era(&self) -> u32 {
        self.load(header::ERA, Ordering::Acquire) as u32
    }

    /// Makes every entry of this moment dead, in one step.
    pub fn clear(&self) {
        self.memory.word(header::ERA).fetch_add(1, Ordering::AcqRel);
        if self.layout.geometry.max_entries > 0 {
            self.clear_count();
        }
    }

    /// Begins an operation. Only reads may do without an owner.
    #[inline]
    pub fn begin<'a>(&'a self, owner: Option<Owner>, world: &'a dyn World, hints: &'a Hints) -> Op<'a, M> {
        Op { core: self, owner, era: self.era(), world, hints, now: Cell::new(0) }
    }
}

impl<M: Memory> Op<'_, M> {
    /// The same operation, in another place: what is passed on by reference must stand in memory, and a rare path is no
    /// reason to put everything there on the common one.
    #[inline]
    pub(crate) fn copy(&self) -> Self {
        Op { now: self.now.clone(), ..*self }
    }

    /// The time of this operation, or of one attempt of it: asked once, and only if an entry with an expiry is met.
    pub(crate) fn now(&self) -> u64 {
        if self.now.get() == 0 {
            self.now.set(self.world.now_ms().max(1));
        }
        self.now.get()
    }

    /// Asks for the time anew when it is needed next.
    pub(crate) fn forget_time(&self) {
        self.now.set(0);
    }

    pub(crate) fn is_expired(&self, expiry_ms: Option<u64>) -> bool {
        expiry_ms.is_some_and(|at| at <= self.now())
    }

    /// Whether a stamp is of an older era than this operation. Eras wrap; nearer than half of them is older.
    pub(crate) fn is_cleared(&self, era: u32) -> bool {
        (era.wrapping_sub(self.era) as i32) < 0
    }

    /// Why an entry counts for nothing any more, if it does not: it is from before a `clear`, or it has expired.
    pub(crate) fn death(&self, era: u32, expiry_ms: Option<u64>) -> Option<Event> {
        if self.is_cleared(era) {
            return Some(Event::Cleared);
        }
        self.is_expired(expiry_ms).then_some(Event::Expired)
    }

    /// Counts an entry whose word was taken out of its slot: `why`, unless it was dead before.
    #[cold]
    pub(crate) fn count_end(&self, probe: &Probe, why: Event) {
        self.count(self.death(probe.header.era, probe.expiry_ms).unwrap_or(why));
    }

    pub(crate) fn count(&self, event: Event) {
        self.world.count(event, 1);
    }
}
