//! Changes to the bytes of a file behind its users' backs, most of them where they hurt.

use std::os::fd::AsRawFd;

use crate::coded;
use crate::layout::{BUCKET_BYTES, GHOST_SET_BYTES, HEADER_BYTES, LINE_BYTES, Layout, SLOTS, header, line, segment};
use crate::protocol::{Log, Owner, Place as LogPlace, SlotWord, StateWord};
use crate::rig::{CAPACITY, Rig};

/// Words of the header that change.
const HEADER_WORDS: [usize; 22] = [
    header::ERA,
    header::CLOCK_BASE,
    header::BOOT_ID,
    header::BOOT_ID + 8,
    header::COUNT,
    header::COUNT_MAIN,
    header::USE_CLOCK,
    header::INCARNATIONS,
    header::STAMP_BLOCKS,
    header::LINES_USED,
    header::POLICY_SHARE,
    header::POLICY_EVICTED,
    header::POLICY_EVICTED + 8,
    header::PRESSURE,
    header::BIRTHS,
    header::RECOUNT,
    header::SPENT_ON_MOVES,
    header::EVICTED_AGE,
    header::LATE,
    header::EPOCH_ENDS,
    header::EPOCH_ENDS + 56,
    header::CLOCK_MIRROR,
];
const SEGMENT_WORDS: [usize; 13] = [
    segment::STATE,
    segment::TAIL,
    segment::HAND,
    segment::BIRTH,
    segment::ADDED_UNITS,
    segment::ADDED,
    segment::GONE_UNITS,
    segment::GONE,
    segment::OPENED,
    segment::FORECAST_OF,
    segment::FORECAST,
    segment::FORECAST + 8,
    segment::FORECAST + 40,
];
const LINE_WORDS: [usize; 6] = [line::INCARNATION, line::PID, line::COUNTING, line::PINS, line::PINS + 8, line::COUNTERS];

/// What edits are made to.
pub trait Spoilt {
    /// Where everything lies.
    fn layout(&self) -> &Layout;
    /// How many bytes there are.
    fn bytes(&self) -> usize;
    /// A word as it is now.
    fn word(&self, at: usize) -> u64;
    /// Writes bytes from a word on; what is beyond the end is left out.
    fn write(&self, at: usize, bytes: &[u8]);
    /// The key with this number.
    fn key(&self, number: u8) -> Vec<u8>;
    /// The hash of a key.
    fn hash(&self, key: &[u8]) -> u64;

    /// Where the slots of the bucket of a key are.
    fn slots_of(&self, key: &[u8]) -> [usize; SLOTS] {
        let layout = self.layout();
        let bucket = layout.bucket_of((self.hash(key) >> 32) as u32);
        std::array::from_fn(|slot| layout.slot_at(bucket, slot))
    }

    /// The tag of a key.
    fn tag_of(&self, key: &[u8]) -> u64 {
        self.hash(key) & 0xfff
    }
}

coded! {
    /// A word of the file. Numbers too large begin again at zero.
    pub enum Place {
        /// One that changes if there are so many, else any.
        Header { word: u8 },
        Line { line: u8, word: u8 },
        Generation { segment: u8 },
        Segment { segment: u8, word: u8 },
        Slot { bucket: u16, slot: u8 },
        /// A slot of the bucket of a key.
        SlotOf { key: u8, slot: u8 },
        /// The use stamp of such a slot, if there are stamps.
        StampOf { key: u8, slot: u8 },
        /// A word of the entry of a key, if it has one.
        EntryOf { key: u8, word: u8 },
        Ghost { word: u16 },
        Log { segment: u8, word: u16 },
        Anywhere { word: u32 },
    }
}

coded! {
    /// What a word becomes.
    pub enum Change {
        Raw { bits: u64 },
        Small { number: u16 },
        Flip { bit: u8 },
        Add { number: i8 },
        Zero,
        Ones,
        /// A slot word of the segment's generation and the tag that stood there.
        Slot { kind: u8, freq: u8, segment: u8, unit: u16 },
        /// A slot word for a key, which points where its entry is not.
        SlotFor { key: u8, segment: u8, unit: u16 },
        State { phase: u8, line: u8, incarnation: u8 },
        /// The first word of an entry.
        Entry { key_len: u16, value_len: u32, flags: u8 },
        /// A pin.
        Pin { segment: u8, generation: i8 },
        /// A copy of another word.
        Copy { from: Place },
    }
}

coded! {
    /// One edit.
    pub enum Edit {
        Word { place: Place, change: Change },
        /// The same byte again and again.
        Fill { place: Place, count: u16, byte: u8 },
        /// A hole of some pages, which reads as zeros.
        Hole { page: u8, pages: u8 },
        /// Never while the file is in use: that is a SIGBUS for any mapping.
        Truncate { len: u32 },
        Extend { pages: u8 },
    }
}

impl Place {
    /// Where the word is; none if this file has no such word.
    fn at(&self, rig: &dyn Spoilt) -> Option<usize> {
        let layout = rig.layout();
        let slot_of = |key: u8, slot: u8| rig.slots_of(&rig.key(key))[usize::from(slot) % SLOTS];
        Some(match *self {
            Self::Header { word } => match HEADER_WORDS.get(usize::from(word)) {
                Some(&at) => at,
                None => usize::from(word) * 8 % HEADER_BYTES,
            },
            Self::Line { line, word } => {
                let at = LINE_WORDS.get(usize::from(word)).copied().unwrap_or(usize::from(word) * 8 % LINE_BYTES);
                layout.line_at(usize::from(line) % layout.lines, at)
            }
            Self::Generation { segment } => layout.generation_at(usize::from(segment) % layout.segments),
            Self::Segment { segment, word } => {
                layout.segment_at(usize::from(segment) % layout.segments, SEGMENT_WORDS[usize::from(word) % SEGMENT_WORDS.len()])
            }
            Self::Slot { bucket, slot } => layout.slot_at(usize::from(bucket) % layout.buckets, usize::from(slot) % SLOTS),
            Self::SlotOf { key, slot } => slot_of(key, slot),
            Self::StampOf { key, slot } if layout.geometry.is_exact_lru() => layout.stamp_at(slot_of(key, slot)),
            Self::StampOf { .. } => return None,
            Self::EntryOf { key, word } => {
                let key = rig.key(key);
                let slot =
                    rig.slots_of(&key).into_iter().map(|at| rig.word(at)).find(|bits| bits >> 48 & 0xfff == rig.tag_of(&key))?;
                let place = SlotWord::from_bits(slot).place();
                if place.segment >= layout.segments || place.unit >= layout.segment_units {
                    return None;
                }
                layout.unit_at(place.segment, place.unit) + usize::from(word) * 8
            }
            Self::Ghost { word } => layout.ghosts_at + usize::from(word) * 8 % (layout.ghost_sets * GHOST_SET_BYTES),
            Self::Log { segment, word } => {
                layout.unit_at(usize::from(segment) % layout.segments, 0) + usize::from(word) * 8 % layout.segment_bytes
            }
            Self::Anywhere { word } => word as usize % (rig.bytes() / 8) * 8,
        })
    }
}

impl Change {
    fn of(&self, rig: &dyn Spoilt, old: u64) -> Option<u64> {
        let layout = rig.layout();
        let generation = |segment: u8| rig.word(layout.generation_at(usize::from(segment) % layout.segments));
        Some(match *self {
            Self::Raw { bits } => bits,
            Self::Small { number } => number.into(),
            Self::Flip { bit } => old ^ 1 << (bit % 64),
            Self::Add { number } => old.wrapping_add_signed(number.into()),
            Self::Zero => 0,
            Self::Ones => u64::MAX,
            Self::Slot { kind, freq, segment, unit } => {
                let place = LogPlace { segment: segment.into(), unit: unit.into() };
                let live = SlotWord::live(place, generation(segment), (old >> 48) as u16 & 0xfff, freq % 4).bits();
                live & !(3 << 62) | u64::from(kind) << 62
            }
            Self::SlotFor { key, segment, unit } => {
                let place = LogPlace { segment: segment.into(), unit: unit.into() };
                SlotWord::live(place, generation(segment), rig.tag_of(&rig.key(key)) as u16, 0).bits()
            }
            Self::State { phase, line, incarnation } => {
                let owner = Owner { line: line.into(), incarnation: u64::from(incarnation) + 1 };
                let claimed =
                    StateWord::FREE.transition_to_claimed(if phase & 8 == 0 { Log::Newcomers } else { Log::Main }, owner);
                let is_owned = matches!(phase & 7, 1 | 4);
                (if is_owned { claimed.bits() & !15 } else { 0 }) | u64::from(phase & 15)
            }
            Self::Entry { key_len, value_len, flags } => u64::from(key_len) | u64::from(value_len) << 17 | u64::from(flags) << 54,
            Self::Pin { segment, generation: more } => {
                generation(segment).wrapping_add_signed(more.into()) << 20 | (u64::from(segment) + 1)
            }
            Self::Copy { ref from } => rig.word(from.at(rig)?),
        })
    }
}

impl Edit {
    /// Makes the change to bytes, whatever they are in: a hole is zeros, and their number stays.
    pub fn spoil(&self, bytes: &dyn Spoilt) {
        match self {
            Self::Word { place, change } => {
                let Some(at) = place.at(bytes) else { return };
                if let Some(bits) = change.of(bytes, bytes.word(at)) {
                    bytes.write(at, &bits.to_le_bytes());
                }
            }
            Self::Fill { place, count, byte } => {
                let Some(at) = place.at(bytes) else { return };
                bytes.write(at, &vec![*byte; usize::from(*count) % (16 * BUCKET_BYTES)]);
            }
            Self::Hole { page, pages } => {
                let pages = (usize::from(*pages) + 1).min(bytes.bytes().div_ceil(4096));
                bytes.write(usize::from(*page) * 4096, &vec![0; pages * 4096]);
            }
            Self::Truncate { .. } | Self::Extend { .. } => {}
        }
    }

    /// Makes the change to a file. `in_use` leaves out what no mapped file can stand.
    pub fn make(&self, rig: &Rig, in_use: bool) {
        match self {
            Self::Word { .. } | Self::Fill { .. } => self.spoil(rig),
            Self::Hole { page, pages } => {
                let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                let (at, len) = (i64::from(*page) * 4096, (i64::from(*pages) + 1) * 4096);
                // SAFETY: the descriptor is open, and no memory is passed.
                unsafe { libc::fallocate(rig.file().as_raw_fd(), mode, at, len) };
            }
            Self::Truncate { len } if !in_use => {
                rig.file().set_len(u64::from(*len) % CAPACITY).expect("shorten the file");
            }
            Self::Truncate { .. } => {}
            Self::Extend { pages } => {
                rig.file().set_len(CAPACITY + u64::from(*pages) * 4096 + 8).expect("lengthen the file");
            }
        }
    }
}
