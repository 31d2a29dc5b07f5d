//! The memory under a small cache: the mapped file of the crate itself, behind a guard that is stricter than it need
//! be, counts, and lets something happen between any two accesses.

use std::cell::{Cell, RefCell};
use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use crate::layout::{GHOST_SET_BYTES, Layout, header};
use crate::memory::{MappedMemory, SharedHalf, SharedWord};
use crate::protocol::Memory;

/// Bytes of the file, which every small layout fits.
pub const FILE_BYTES: usize = 1 << 16;
/// What takes more accesses than this does not come to an end. The longest that was seen took a hundredth of it.
const MOST_ACCESSES: u64 = 50_000_000;

/// What is to happen before a certain access.
type Strike = Box<dyn FnOnce()>;

/// The mapped file, as far as one layout goes.
pub struct Watched {
    mapped: &'static MappedMemory,
    total: usize,
    ghosts: Range<usize>,
    is_rotten: Cell<bool>,
    accesses: Cell<u64>,
    next_stop: Cell<u64>,
    strike: RefCell<Option<Strike>>,
}

/// One file for the whole process. It has no name, so nothing is left behind.
fn mapped() -> &'static MappedMemory {
    static MAPPED: OnceLock<MappedMemory> = OnceLock::new();
    MAPPED.get_or_init(|| {
        let path = format!("/dev/shm/shmemo-fuzz-{}-small", std::process::id());
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path).expect("make a file");
        fs::remove_file(&path).expect("remove the name of the file");
        file.set_len(FILE_BYTES as u64).expect("give the file its length");
        MappedMemory::map(&file, FILE_BYTES, true).expect("map the file")
    })
}

impl Watched {
    /// The file as it is, for a cache of this layout.
    pub fn new(layout: &Layout) -> Self {
        assert!(layout.total <= FILE_BYTES);
        Self {
            mapped: mapped(),
            total: layout.total,
            ghosts: layout.ghosts_at..layout.ghosts_at + layout.ghost_sets * GHOST_SET_BYTES,
            is_rotten: Cell::new(false),
            accesses: Cell::new(0),
            next_stop: Cell::new(MOST_ACCESSES),
            strike: RefCell::new(None),
        }
    }

    /// All that is within the layout.
    pub fn image(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.mapped.read_payload(0, self.total, &mut bytes);
        bytes
    }

    /// Makes the file what it was; behind the end of the layout nothing is of any concern.
    pub fn restore(&self, image: &[u8]) {
        self.mapped.write_payload(0, image);
    }

    /// The word at an offset, unguarded and uncounted.
    pub fn raw(&self, at: usize) -> &SharedWord {
        self.mapped.word(at)
    }

    /// From now on bytes may be spoilt.
    pub fn let_rot(&self) {
        self.is_rotten.set(true);
    }

    /// Accesses so far.
    pub fn accesses(&self) -> u64 {
        self.accesses.get()
    }

    /// Does something before the access that comes after so many others.
    pub fn strike_after(&self, accesses: u64, strike: impl FnOnce() + 'static) {
        *self.strike.borrow_mut() = Some(Box::new(strike));
        self.next_stop.set(self.accesses.get() + accesses + 1);
    }

    /// Forgets what was to happen. Tells whether it did not.
    pub fn cancel_strike(&self) -> bool {
        self.next_stop.set(MOST_ACCESSES);
        self.strike.borrow_mut().take().is_some()
    }

    #[inline(always)]
    fn count(&self) {
        let accesses = self.accesses.get() + 1;
        self.accesses.set(accesses);
        if accesses >= self.next_stop.get() {
            self.stop();
        }
    }

    /// Something is to happen, or it was too much.
    #[cold]
    #[inline(never)]
    fn stop(&self) {
        assert!(self.accesses.get() < MOST_ACCESSES, "no end is to be seen");
        self.next_stop.set(MOST_ACCESSES);
        let strike = self.strike.borrow_mut().take();
        strike.into_iter().for_each(|strike| strike());
    }

    /// An access by words: within the layout, behind what never changes, and not where halves are.
    #[inline]
    fn check_words(&self, at: usize, len: usize) {
        let end = at.checked_add(len).expect("an offset that overflows");
        assert!(at >= header::ERA && end <= self.total, "{len} bytes at {at} are not within {} bytes", self.total);
        assert!(end <= self.ghosts.start || at >= self.ghosts.end, "words at {at}, where ghosts are");
        self.count();
    }

    #[inline]
    fn check_halves(&self, at: usize, len: usize) {
        let end = at.checked_add(len).expect("an offset that overflows");
        assert!(at >= self.ghosts.start && end <= self.ghosts.end, "halves at {at}, where no ghosts are");
        self.count();
    }
}

impl Memory for Watched {
    type Word = SharedWord;
    type Half = SharedHalf;

    #[inline]
    fn word(&self, at: usize) -> &SharedWord {
        self.check_words(at, 8);
        self.mapped.word(at)
    }

    #[inline]
    fn words<const N: usize>(&self, at: usize) -> [&SharedWord; N] {
        self.check_words(at, N * 8);
        self.mapped.words::<N>(at)
    }

    #[inline]
    fn match_upper_halves<const N: usize>(&self, at: usize, mask: u32, wanted: u32) -> u32 {
        self.check_words(at, N * 8);
        self.mapped.match_upper_halves::<N>(at, mask, wanted)
    }

    #[inline]
    fn match_lower_halves<const N: usize>(&self, at: usize, wanted: u32) -> u32 {
        self.check_words(at, N * 8);
        self.mapped.match_lower_halves::<N>(at, wanted)
    }

    #[inline]
    fn half(&self, at: usize) -> &SharedHalf {
        self.check_halves(at, 4);
        self.mapped.half(at)
    }

    #[inline]
    fn match_halves<const N: usize>(&self, at: usize, mask: u32, wanted: u32) -> u32 {
        self.check_halves(at, N * 4);
        self.mapped.match_halves::<N>(at, mask, wanted)
    }

    #[inline]
    fn halves<const N: usize>(&self, at: usize) -> [u32; N] {
        self.check_halves(at, N * 4);
        self.mapped.halves::<N>(at)
    }

    #[inline]
    fn fence(&self, order: Ordering) {
        self.mapped.fence(order);
    }

    #[inline]
    fn fence_after_exchange(&self) {
        self.mapped.fence_after_exchange();
    }

    /// There is nobody to wait for: time stands still until the input says otherwise.
    fn pause(&self, _attempt: u32) {
        self.count();
    }

    #[inline]
    fn prefetch(&self, at: usize) {
        self.mapped.prefetch(at);
    }

    #[inline]
    fn read_payload(&self, at: usize, len: usize, out: &mut Vec<u8>) {
        self.check_words(at, len.next_multiple_of(8));
        self.mapped.read_payload(at, len, out);
    }

    #[inline]
    fn read_payload_behind(&self, at: usize, prefix: &[u8], len: usize, out: &mut Vec<u8>) -> bool {
        self.check_words(at, prefix.len().next_multiple_of(8) + len.next_multiple_of(8));
        self.mapped.read_payload_behind(at, prefix, len, out)
    }

    #[inline]
    fn write_payload(&self, at: usize, bytes: &[u8]) {
        self.check_words(at, bytes.len().next_multiple_of(8));
        self.mapped.write_payload(at, bytes);
    }

    #[inline]
    fn payload_equals(&self, at: usize, bytes: &[u8]) -> bool {
        self.check_words(at, bytes.len().next_multiple_of(8));
        self.mapped.payload_equals(at, bytes)
    }

    fn copy_payload(&self, from: usize, to: usize, len: usize) {
        self.check_words(from, len);
        self.check_words(to, len);
        // If somebody says of a segment that is swept that it is free, then entries move within it: not as they should,
        // but no copy minds.
        let overlap = from < to + len && to < from + len;
        assert!(!overlap || self.is_rotten.get(), "a copy of {len} bytes from {from} to {to}, which overlap");
        self.mapped.copy_payload(from, to, len);
    }
}
