//! Where each word lies in its header, registry line or line of the segment table, and the fingerprint of all that.

use super::{
    BUCKET_BYTES, COUNTERS, FORECAST_WORDS, GHOST_SET_BYTES, GHOSTS, HEADER_BYTES, LINE_BYTES, PINS, SEGMENT_LINE_BYTES, SLOTS,
    UNIT, entry_bytes,
};

/// Offsets in the header of words that change. Each group that different processes write stands on lines of its own.
pub mod header {
    /// `clear` raises it.
    pub const ERA: usize = 0x100;
    /// Milliseconds to add to the boot clock.
    pub const CLOCK_BASE: usize = 0x180;
    /// The boot that the base belongs to: two words.
    pub const BOOT_ID: usize = 0x188;
    /// The base once more, with all bits turned: nothing else could tell that it has rotted.
    pub const CLOCK_MIRROR: usize = 0x198;
    /// The number of entries, where `max_entries` bounds it.
    pub const COUNT: usize = 0x200;
    /// The share of that number that is in the main log (a hint).
    pub const COUNT_MAIN: usize = 0x208;
    /// Raised by whatever may have left that number too high, and zero again once it was counted anew.
    pub const RECOUNT: usize = 0x210;
    /// The clock of use stamps.
    pub const USE_CLOCK: usize = 0x280;
    /// The last incarnation given out.
    pub const INCARNATIONS: usize = 0x300;
    /// The last block of version stamps given out.
    pub const STAMP_BLOCKS: usize = 0x308;
    /// One more than the highest registry line that was ever taken.
    pub const LINES_USED: usize = 0x310;
    /// The share of newcomers, in 1/256 of a unit of the policy.
    pub const POLICY_SHARE: usize = 0x380;
    /// What was evicted from each log so far, in units of the policy: two words.
    pub const POLICY_EVICTED: usize = 0x400;
    /// Not zero while free segments are short.
    pub const PRESSURE: usize = 0x480;
    /// The last birth given out.
    pub const BIRTHS: usize = 0x488;
    /// What was spent on moves and not yet earned again (see `credit`).
    pub const SPENT_ON_MOVES: usize = 0x490;
    /// How old what is evicted is at present, in 1/16 ms.
    pub const EVICTED_AGE: usize = 0x498;
    /// The place in the log of newcomers before which a use is a late one (see `uses`).
    pub const LATE: usize = 0x500;
    /// Where that log ended when each of its last epochs began: eight places.
    pub const EPOCH_ENDS: usize = 0x540;
}

/// Offsets in a registry line.
pub mod line {
    /// Incarnation of the owner, 0 if the line was given back.
    pub const INCARNATION: usize = 0;
    /// Process number in the owner's own namespace, for people to read.
    pub const PID: usize = 8;
    /// How many of its threads are changing the count of entries now.
    pub const COUNTING: usize = 32;
    /// Hazard words.
    pub const PINS: usize = 64;
    /// Counters; they go on from owner to owner.
    pub const COUNTERS: usize = 128;
}

/// Offsets in a line of the segment table.
pub mod segment {
    /// Phase, log and owner.
    pub const STATE: usize = 0;
    /// Units filled.
    pub const TAIL: usize = 8;
    /// Units swept.
    pub const HAND: usize = 16;
    /// Order of age within the log.
    pub const BIRTH: usize = 24;
    /// When it was opened, in milliseconds on the shared clock (a hint).
    pub const OPENED: usize = 48;
    /// Units of entries that were put there in the era now, written by the holder (a hint).
    pub const ADDED_UNITS: usize = 32;
    /// Number of such entries (a hint).
    pub const ADDED: usize = 40;
    /// Units of those among them that are the value of their key no more, written by anybody (a hint).
    pub const GONE_UNITS: usize = 64;
    /// Number of such entries (a hint).
    pub const GONE: usize = 72;
    /// Which generation and era the forecast is of, written by the holder (a hint).
    pub const FORECAST_OF: usize = 56;
    /// When entries expire, in outline: [`super::FORECAST_WORDS`] words, written by the holder and by anybody (hints).
    pub const FORECAST: usize = 80;
}

/// The FNV-1a hash of all sizes and offsets, so that it changes with any of them. What they mean is not part of it: that
/// is for the format version to say.
pub const FINGERPRINT: u64 = {
    let facts = [
        HEADER_BYTES,
        LINE_BYTES,
        SEGMENT_LINE_BYTES,
        BUCKET_BYTES,
        GHOST_SET_BYTES,
        UNIT,
        SLOTS,
        GHOSTS,
        PINS,
        COUNTERS,
        header::ERA,
        header::CLOCK_BASE,
        header::BOOT_ID,
        header::CLOCK_MIRROR,
        header::COUNT,
        header::COUNT_MAIN,
        header::RECOUNT,
        header::USE_CLOCK,
        header::INCARNATIONS,
        header::STAMP_BLOCKS,
        header::LINES_USED,
        header::POLICY_SHARE,
        header::POLICY_EVICTED,
        header::PRESSURE,
        header::BIRTHS,
        header::SPENT_ON_MOVES,
        header::EVICTED_AGE,
        header::LATE,
        header::EPOCH_ENDS,
        line::INCARNATION,
        line::PID,
        line::COUNTING,
        line::PINS,
        line::COUNTERS,
        segment::STATE,
        segment::TAIL,
        segment::HAND,
        segment::BIRTH,
        segment::OPENED,
        segment::ADDED_UNITS,
        segment::ADDED,
        segment::GONE_UNITS,
        segment::GONE,
        segment::FORECAST_OF,
        segment::FORECAST,
        FORECAST_WORDS,
        crate::protocol::GENERATION_BITS as usize,
        crate::protocol::TAG_BITS as usize,
        crate::protocol::INCARNATION_BITS as usize,
        entry_bytes(1, 0, 2),
    ];
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut at = 0;
    while at < facts.len() {
        hash = (hash ^ facts[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
};

const _: () = assert!(line::PINS + PINS * 8 <= line::COUNTERS && line::COUNTERS + COUNTERS * 8 == LINE_BYTES);
const _: () = assert!(cfg!(shmemo_model) || (BUCKET_BYTES == 64 && GHOST_SET_BYTES == 64));
const _: () = assert!(header::EPOCH_ENDS + 64 <= HEADER_BYTES);
const _: () = assert!(segment::FORECAST + FORECAST_WORDS * 8 <= SEGMENT_LINE_BYTES);
