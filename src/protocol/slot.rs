//! The slot word: all that is mutable about an entry.
//!
//! ```text
//!  63 62 | 61 60 | 59 ........ 48 | 47 ........ 36 | 35 ..... 28 | 27 ............ 0
//!  kind  | freq  | tag            | generation     | segment     | unit in the segment
//! ```
//!
//! Any bits decode to a word: a kind that is not known is empty, and segment and unit are checked against the geometry
//! before use.

use core::fmt;

/// Bits of the generation that a word carries.
pub const GENERATION_BITS: u32 = 12;
/// Bits of the hash that a word carries.
pub const TAG_BITS: u32 = 12;
/// The most often that a use is counted.
pub const FREQ_MAX: u8 = 3;

const UNIT_BITS: u32 = 28;
const SEGMENT_SHIFT: u32 = UNIT_BITS;
const GENERATION_SHIFT: u32 = SEGMENT_SHIFT + 8;
const TAG_SHIFT: u32 = GENERATION_SHIFT + GENERATION_BITS;
const FREQ_SHIFT: u32 = TAG_SHIFT + TAG_BITS;
const KIND_SHIFT: u32 = FREQ_SHIFT + 2;
const _: () = assert!(KIND_SHIFT + 2 == 64);

const UNIT_MASK: u64 = (1 << UNIT_BITS) - 1;
/// One bit in the models, so that generations wrap there.
const GENERATION_MASK: u64 = if cfg!(shmemo_model) { 1 } else { (1 << GENERATION_BITS) - 1 };
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;
const FREQ_MASK: u64 = 0b11 << FREQ_SHIFT;

/// The most units (of 16 bytes) that a segment can have.
pub const MAX_UNITS: usize = 1 << UNIT_BITS;

/// What a slot word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing stands here.
    Empty,
    /// An insert is under way; lookups pass over it.
    Tentative,
    /// The value of its key.
    Live,
}

/// Where an entry starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Index of the segment.
    pub segment: usize,
    /// Offset within it, in units of 16 bytes.
    pub unit: usize,
}

/// A snapshot of one slot.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct SlotWord(u64);

impl SlotWord {
    /// The empty word: also what a fresh file holds.
    pub const EMPTY: Self = Self(0);

    /// A live word.
    #[inline]
    pub fn live(place: Place, generation: u64, tag: u16, freq: u8) -> Self {
        debug_assert!(place.unit < MAX_UNITS && place.segment < 256 && freq <= FREQ_MAX);
        Self(
            (place.unit as u64 & UNIT_MASK)
                | ((place.segment as u64 & 0xff) << SEGMENT_SHIFT)
                | ((generation & GENERATION_MASK) << GENERATION_SHIFT)
                | ((u64::from(tag) & TAG_MASK) << TAG_SHIFT)
                | (u64::from(freq.min(FREQ_MAX)) << FREQ_SHIFT)
                | (2 << KIND_SHIFT),
        )
    }

    /// The same word while its insert is under way.
    #[inline]
    pub fn to_tentative(self) -> Self {
        debug_assert!(self.kind() == Kind::Live);
        Self((self.0 & !(0b11 << KIND_SHIFT)) | (1 << KIND_SHIFT))
    }

    /// Decodes any bits.
    #[inline]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits as they stand in the file.
    #[inline]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// What the word is.
    #[inline]
    pub fn kind(self) -> Kind {
        match self.0 >> KIND_SHIFT {
            1 => Kind::Tentative,
            2 => Kind::Live,
            _ => Kind::Empty,
        }
    }

    /// Whether this is a live word with this tag: one comparison for the whole lookup.
    #[inline]
    pub fn is_live_with(self, tag: u16) -> bool {
        (self.0 >> TAG_SHIFT) & !(0b11 << TAG_BITS) == (2 << (TAG_BITS + 2)) | u64::from(tag)
    }

    /// The same for many words at once: mask and value of the upper half of a live word with this tag.
    #[inline]
    pub fn upper_half_of_live(tag: u16) -> (u32, u32) {
        const { assert!(TAG_SHIFT >= 32) };
        let live_with = (2 << (TAG_BITS + 2) | u32::from(tag)) << (TAG_SHIFT - 32);
        ((!0 << (TAG_SHIFT - 32)) & !((FREQ_MASK >> 32) as u32), live_with)
    }

    /// Mask and value of the upper half of an empty word as `EMPTY` has it.
    #[inline]
    pub fn upper_half_of_empty() -> (u32, u32) {
        (!0, 0)
    }

    /// Mask and value of the upper half of any word with this tag.
    #[inline]
    pub fn upper_half_of_tag(tag: u16) -> (u32, u32) {
        ((TAG_MASK as u32) << (TAG_SHIFT - 32), u32::from(tag) << (TAG_SHIFT - 32))
    }

    /// The lower half of every word that names a place: the unit, and some bits of the segment.
    #[inline]
    pub fn lower_half_of(place: Place) -> u32 {
        const { assert!(UNIT_BITS < 32) };
        place.unit as u32 | (place.segment as u32) << SEGMENT_SHIFT
    }

    /// The bits of the hash.
    #[inline]
    pub fn tag(self) -> u16 {
        ((self.0 >> TAG_SHIFT) & TAG_MASK) as u16
    }

    /// How often the entry was used since it came or was last passed over, at most [`FREQ_MAX`].
    #[inline]
    pub fn freq(self) -> u8 {
        ((self.0 & FREQ_MASK) >> FREQ_SHIFT) as u8
    }

    /// The same word with another use count.
    #[inline]
    pub fn with_freq(self, freq: u8) -> Self {
        Self((self.0 & !FREQ_MASK) | (u64::from(freq.min(FREQ_MAX)) << FREQ_SHIFT))
    }

    /// Where the entry starts; not yet checked against the geometry.
    #[inline]
    pub fn place(self) -> Place {
        Place { segment: ((self.0 >> SEGMENT_SHIFT) & 0xff) as usize, unit: (self.0 & UNIT_MASK) as usize }
    }

    /// Whether two words name the same place in the same generation of its segment, whatever their kinds and tags.
    #[inline]
    pub fn names_place_of(self, other: Self) -> bool {
        (self.0 ^ other.0) << (64 - TAG_SHIFT) == 0
    }

    /// Whether the word was made in this generation of its segment, as far as its bits tell.
    #[inline]
    pub fn is_of_generation(self, generation: u64) -> bool {
        (self.0 >> GENERATION_SHIFT) & GENERATION_MASK == generation & GENERATION_MASK
    }

    /// Whether two words name the same entry: all bits but the use count.
    #[inline]
    pub fn same_entry(self, other: Self) -> bool {
        (self.0 ^ other.0) & !FREQ_MASK == 0
    }
}

impl fmt::Debug for SlotWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { segment, unit } = self.place();
        let generation = (self.0 >> GENERATION_SHIFT) & GENERATION_MASK;
        write!(f, "{:?}({segment}:{unit} g{generation} t{:03x} f{})", self.kind(), self.tag(), self.freq())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_keeps_what_it_is_given() {
        let place = Place { segment: 255, unit: MAX_UNITS - 1 };
        let word = SlotWord::live(place, 0xfff, 0xabc, 2);
        assert_eq!((word.kind(), word.place(), word.tag(), word.freq()), (Kind::Live, place, 0xabc, 2));
        assert!(word.is_of_generation(0x1fff) && !word.is_of_generation(0x1ffe));
        assert!(word.is_live_with(0xabc) && !word.is_live_with(0xabd));
        let tentative = word.to_tentative();
        assert_eq!((tentative.kind(), tentative.place(), tentative.tag()), (Kind::Tentative, place, 0xabc));
        assert!(!tentative.is_live_with(0xabc));
        let (mask, wanted) = SlotWord::upper_half_of_live(0xabc);
        let is_wanted = |word: SlotWord| (word.bits() >> 32) as u32 & mask == wanted;
        assert!(is_wanted(word) && is_wanted(word.with_freq(0)) && !is_wanted(tentative) && !is_wanted(SlotWord::EMPTY));
        assert!(word.same_entry(word.with_freq(0)) && !word.same_entry(tentative));
        assert_eq!(
            (word.bits() as u32, tentative.bits() as u32),
            (SlotWord::lower_half_of(place), SlotWord::lower_half_of(place))
        );
    }

    #[test]
    fn any_bits_decode() {
        for bits in [0, u64::MAX, 3 << 62, 0x5555_5555_5555_5555, 0xaaaa_aaaa_aaaa_aaaa] {
            let word = SlotWord::from_bits(bits);
            assert!(word.place().segment < 256 && word.place().unit < MAX_UNITS && word.freq() <= FREQ_MAX);
            assert_eq!(word.is_live_with(word.tag()), word.kind() == Kind::Live);
        }
    }
}
