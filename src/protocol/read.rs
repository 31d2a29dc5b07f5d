//! Reads: the lookup of `find`, and what a reader does with what it finds.

use core::sync::atomic::Ordering;

use super::entry::Header;
use super::find::{LINES_OF_ENTRY, LINES_OF_KEY, Pass};
use super::{Core, Event, Found, Key, Memory, Mutant, Op, Probe, SlotWord, wanted};
use crate::layout::SLOTS;

/// How often a reader looks at one slot before it gives up, which is a miss.
const GET_ATTEMPTS: u32 = 64;

impl<M: Memory> Op<'_, M> {
    /// Appends the value of a key to `out`, or leaves `out` as it was. Linearizable at the second look at the slot.
    /// Allocates only what `out` lacks; no system call unless the entry has an expiry; writes nothing shared once the
    /// key is hot.
    #[inline]
    pub fn get(&self, key: &Key<'_>, out: &mut Vec<u8>) -> Option<Probe> {
        let before = out.len();
        match self.core.pass(key, LINES_OF_ENTRY, |probe| self.core.read_value(&probe.header, out)) {
            Pass::Found(probe) if !self.is_dead(&probe) => {
                self.core.note_use(probe.slot_at, probe.word);
                Some(probe)
            }
            Pass::Absent => None,
            _ => self.copy().get_again(key, before, out),
        }
    }

    #[cold]
    #[inline(never)]
    fn get_again(&self, key: &Key<'_>, before: usize, out: &mut Vec<u8>) -> Option<Probe> {
        let found = self.find_alive(key, &mut |probe| {
            out.truncate(before);
            self.core.read_value(&probe.header, out);
        });
        match &found {
            Some(probe) => self.core.note_use(probe.slot_at, probe.word),
            None => out.truncate(before),
        }
        found
    }

    /// Finds a key without copying its value and without counting a use.
    pub fn peek(&self, key: &Key<'_>) -> Option<Probe> {
        match self.core.pass(key, LINES_OF_KEY, |_| {}) {
            Pass::Found(probe) if !self.is_dead(&probe) => Some(probe),
            Pass::Absent => None,
            _ => self.copy().find_alive(key, &mut |_| {}),
        }
    }

    /// Looks for an entry that counts, on behalf of a reader, which may give up.
    #[cold]
    #[inline(never)]
    fn find_alive(&self, key: &Key<'_>, visit: &mut dyn FnMut(&Probe)) -> Option<Probe> {
        for _ in 0..GET_ATTEMPTS {
            match self.core.search(key, GET_ATTEMPTS, visit) {
                Found::Yes(probe) if !self.is_dead(&probe) => return Some(probe),
                Found::Yes(probe) if !self.let_go(&probe) => {}
                Found::GaveUp => break,
                _ => return None,
            }
        }
        self.count(Event::ReadGaveUp);
        None
    }

    /// Called before anybody is told that a key is absent whose entry counts for nothing any more: takes an expired one
    /// out. Else an operation that has looked before and stands still could give it a longer life, and what was absent
    /// would come back. `false`: the slot has changed, and is to be looked at again. (What was cleared stays dead.)
    #[cold]
    #[inline(never)]
    pub(super) fn let_go(&self, probe: &Probe) -> bool {
        // Without a clock nobody can tell what has expired, and others may.
        if self.is_cleared(probe.header.era) || self.now() == u64::MAX || wanted(Mutant::ExpiredStays) {
            return true;
        }
        let counting = self.counting();
        let done = self.evict(probe);
        drop(counting);
        if done {
            self.count(Event::Expired);
        }
        done
    }
}

impl<M: Memory> Core<M> {
    #[inline]
    pub(super) fn read_value(&self, header: &Header, out: &mut Vec<u8>) {
        self.memory.read_payload(header.value_at(), header.value_len, out);
    }

    /// Looks at one slot whoever's key it holds, with a copy of the key and, if it is wanted, of the value, without counting
    /// a use.
    pub(super) fn examine_any(&self, slot_at: usize, key: &mut Vec<u8>, mut value: Option<&mut Vec<u8>>) -> Found {
        self.examine(slot_at, None, GET_ATTEMPTS, |probe| {
            key.clear();
            self.memory.read_payload(probe.header.key_at(), probe.header.key_len, key);
            if let Some(value) = value.as_deref_mut() {
                value.clear();
                self.read_value(&probe.header, value);
            }
        })
    }
}

impl<M: Memory> Core<M> {
    /// Asks for the bucket of a key to be brought near.
    pub fn prefetch_bucket(&self, key: &Key<'_>) {
        self.memory.prefetch(self.layout.slot_at(self.layout.bucket_of(key.hash32), 0));
    }

    /// Asks for the entry of a key to be brought near, if its bucket says that there is one.
    pub fn prefetch_entry(&self, key: &Key<'_>) {
        let bucket = self.layout.bucket_of(key.hash32);
        for slot in 0..SLOTS {
            let word = SlotWord::from_bits(self.load(self.layout.slot_at(bucket, slot), Ordering::Relaxed));
            let place = word.place();
            if word.is_live_with(key.tag) && place.segment < self.layout.segments {
                let at = self.layout.unit_at(place.segment, place.unit);
                self.memory.prefetch(at);
                self.memory.prefetch(at + 64);
            }
        }
    }
}
