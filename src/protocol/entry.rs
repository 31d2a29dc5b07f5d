//! An entry as it lies in the log. It is written once, by whoever holds its segment, and never changes after it is
//! published.
//!
//! ```text
//!  word 0   bits 0..17 key length · 17..54 value length · 54..64 flags
//!  word 1   bits 0..32 upper half of the key's hash · 32..64 era
//!  [word]   expiry, in milliseconds, if flagged
//!  [word]   version stamp, if flagged
//!  key, padded to 8 bytes
//!  value, padded so that the entry ends at a multiple of 16
//! ```
//!
//! A header read from the file is input: [`Header::read`] gives one only if the whole entry lies inside its segment.

use core::sync::atomic::Ordering;

use super::{Core, Key, Memory, Place, Word};
use crate::layout::{UNIT, entry_bytes};

const KEY_BITS: u32 = 17;
const VALUE_BITS: u32 = 37;
const VALUE_MASK: u64 = ((1 << VALUE_BITS) - 1) << KEY_BITS;
const HAS_EXPIRY: u64 = 1 << 54;
const HAS_VERSION: u64 = 1 << 55;
const KNOWN_FLAGS: u64 = HAS_EXPIRY | HAS_VERSION;

/// What an entry is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// The value.
    pub value: &'a [u8],
    /// When it expires, in milliseconds on the shared clock.
    pub expiry_ms: Option<u64>,
    /// Its version stamp.
    pub version: Option<u64>,
}

impl Content<'_> {
    /// Units of 16 bytes that the entry takes.
    pub fn units(&self, key_len: usize) -> usize {
        let words = usize::from(self.expiry_ms.is_some()) + usize::from(self.version.is_some());
        entry_bytes(key_len, self.value.len(), words) / UNIT
    }
}

/// A decoded header, known to describe an entry that lies inside its segment.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Where the entry starts, in bytes from the start of the file.
    pub at: usize,
    /// Length of the key in bytes.
    pub key_len: usize,
    /// Length of the value in bytes.
    pub value_len: usize,
    /// Upper half of the key's hash.
    pub hash32: u32,
    /// The era in which it was written.
    pub era: u32,
    flags: u64,
    units: usize,
}

impl Header {
    /// Decodes the header at a place, or tells by `None` that there can be no entry there.
    #[inline(always)]
    pub fn read<M: Memory>(core: &Core<M>, place: Place) -> Option<Self> {
        let layout = &core.layout;
        if place.segment >= layout.segments || place.unit >= layout.segment_units {
            return None;
        }
        let at = layout.unit_at(place.segment, place.unit);
        let [first, second] = core.memory.words::<2>(at).map(|word| word.load(Ordering::Relaxed));
        let mut header = Self {
            at,
            key_len: (first & ((1 << KEY_BITS) - 1)) as usize,
            value_len: ((first >> KEY_BITS) & ((1 << VALUE_BITS) - 1)) as usize,
            hash32: second as u32,
            era: (second >> 32) as u32,
            flags: first & !((1 << (KEY_BITS + VALUE_BITS)) - 1),
            units: 0,
        };
        header.units = entry_bytes(header.key_len, header.value_len, header.optional_words()) / UNIT;
        let fits = header.key_len <= layout.max_key_len
            && header.value_len <= layout.max_value_len
            && header.flags & !KNOWN_FLAGS == 0
            && place.unit + header.units <= layout.segment_units;
        if fits { Some(header) } else { None }
    }

    #[inline]
    fn optional_words(&self) -> usize {
        // Not by counting ones, which takes a dozen instructions where the target is any x86-64.
        usize::from(self.flags & HAS_EXPIRY != 0) + usize::from(self.flags & HAS_VERSION != 0)
    }

    /// Units of 16 bytes that the entry takes.
    #[inline]
    pub fn units(&self) -> usize {
        self.units
    }

    /// Where the key starts.
    #[inline]
    pub fn key_at(&self) -> usize {
        self.at + 16 + self.optional_words() * 8
    }

    /// Where the value starts.
    #[inline]
    pub fn value_at(&self) -> usize {
        self.key_at() + self.key_len.next_multiple_of(8)
    }

    /// Whether the entry expires at all.
    #[inline]
    pub fn can_expire(&self) -> bool {
        self.flags & HAS_EXPIRY != 0
    }

    /// When the entry expires.
    #[inline(always)]
    pub fn expiry<M: Memory>(&self, core: &Core<M>) -> Option<u64> {
        (self.flags & HAS_EXPIRY != 0).then(|| core.load(self.at + 16, Ordering::Relaxed))
    }

    /// The version stamp.
    #[inline(always)]
    pub fn version<M: Memory>(&self, core: &Core<M>) -> Option<u64> {
        let skipped = usize::from(self.flags & HAS_EXPIRY != 0);
        (self.flags & HAS_VERSION != 0).then(|| core.load(self.at + 16 + skipped * 8, Ordering::Relaxed))
    }

    /// The header at a place if the entry there is of this key. That an entry has no flags and a key of that length, as nearly
    /// all of those that are looked for, is told by one comparison.
    #[inline(always)]
    pub fn read_of<M: Memory>(core: &Core<M>, place: Place, key: &Key<'_>) -> Option<Self> {
        let layout = &core.layout;
        if place.segment >= layout.segments || place.unit >= layout.segment_units {
            return None;
        }
        let at = layout.unit_at(place.segment, place.unit);
        let [first, second] = core.memory.words::<2>(at).map(|word| word.load(Ordering::Relaxed));
        let key_len = key.bytes.len();
        if first & !VALUE_MASK != key_len as u64 {
            return Self::read_flagged_of(core, place, key);
        }
        let value_len = (first >> KEY_BITS) as usize;
        let units = entry_bytes(key_len, value_len, 0) / UNIT;
        let header = Self { at, key_len, value_len, hash32: second as u32, era: (second >> 32) as u32, flags: 0, units };
        let is_of = header.hash32 == key.hash32
            && value_len <= layout.max_value_len
            && place.unit + units <= layout.segment_units
            && core.memory.payload_equals(header.key_at(), key.bytes);
        is_of.then_some(header)
    }

    #[inline(never)]
    fn read_flagged_of<M: Memory>(core: &Core<M>, place: Place, key: &Key<'_>) -> Option<Self> {
        Self::read(core, place).filter(|header| {
            header.hash32 == key.hash32
                && header.key_len == key.bytes.len()
                && core.memory.payload_equals(header.key_at(), key.bytes)
        })
    }
}

/// Appends the value of the entry at `at`, a unit of its segment, if the entry is of this key and era, has neither an
/// expiry nor a version, is at most `most` bytes long, and lies inside its segment.
#[inline(always)]
pub(super) fn read_plain<M: Memory>(
    core: &Core<M>,
    (at, unit): (usize, usize),
    key: &Key<'_>,
    era: u32,
    most: usize,
    out: &mut Vec<u8>,
) -> bool {
    let layout = &core.layout;
    let [first, second] = core.memory.words::<2>(at).map(|word| word.load(Ordering::Relaxed));
    let (key_len, value_len) = (key.bytes.len(), (first >> KEY_BITS) as usize);
    let is_of = first & !VALUE_MASK == key_len as u64 && second == u64::from(key.hash32) | u64::from(era) << 32;
    is_of
        && value_len <= most
        && 16 + ((key_len + 7) & !7) + value_len <= (layout.segment_units - unit) * UNIT
        && core.memory.read_payload_behind(at + 16, key.bytes, value_len, out)
}

/// Writes an entry at a place whose segment the caller holds and which has room for it. Relaxed: publication orders it.
pub(super) fn write<M: Memory>(core: &Core<M>, place: Place, key: &Key<'_>, content: &Content<'_>, era: u32) {
    let memory = &core.memory;
    let at = core.layout.unit_at(place.segment, place.unit);
    let mut first = key.bytes.len() as u64 | (content.value.len() as u64) << KEY_BITS;
    let mut next = at + 16;
    for (word, flag) in [(content.expiry_ms, HAS_EXPIRY), (content.version, HAS_VERSION)] {
        if let Some(word) = word {
            memory.word(next).store(word, Ordering::Relaxed);
            first |= flag;
            next += 8;
        }
    }
    memory.word(at).store(first, Ordering::Relaxed);
    memory.word(at + 8).store(u64::from(key.hash32) | u64::from(era) << 32, Ordering::Relaxed);
    memory.write_payload(next, key.bytes);
    memory.write_payload(next + key.bytes.len().next_multiple_of(8), content.value);
}
