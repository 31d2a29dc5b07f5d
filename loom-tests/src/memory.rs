//! [`Memory`] over the words of the model checker, and participants that stop.

use std::collections::HashMap;

use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use shmemo::layout::{FORECAST_WORDS, GHOSTS, Layout, PINS, SLOTS, header, line, segment};
use shmemo::protocol::{Half, Memory, Word};

/// The most participants of one model.
pub const PARTICIPANTS: usize = 3;

loom::thread_local! {
    /// Which participant this thread is.
    static ME: std::cell::Cell<usize> = std::cell::Cell::new(0);
    /// How many changes of shared memory this participant may still make.
    static LEFT: std::cell::Cell<Option<u32>> = std::cell::Cell::new(None);
}

/// Says which participant this thread is. The first thread is 0 without being told.
pub fn be(participant: usize) {
    ME.with(|me| me.set(participant));
}

/// What a participant that stops throws. Whoever started it catches it.
pub struct Stopped;

/// Lets this participant stop for ever before its next change of shared memory but `steps`.
pub fn stop_after(steps: u32) {
    LEFT.with(|left| left.set(Some(steps)));
}

/// A change of shared memory is about to be made. `false`: by one who has stopped; it is not made.
fn step() -> bool {
    let left = LEFT.with(std::cell::Cell::get);
    match left {
        None => true,
        Some(0) if std::thread::panicking() => false, // guards that are dropped on the way out
        Some(0) => std::panic::resume_unwind(Box::new(Stopped)),
        Some(steps) => {
            LEFT.with(|left| left.set(Some(steps - 1)));
            true
        }
    }
}

/// A word of the model checker.
///
/// loom goes back to the *last* access of a word that conflicts with a new one, and to no other: a thread that reads a
/// word and then writes it hides that another had read it before, and what would follow from the other order is not
/// explored. So each participant marks what it reads, and whoever writes touches the marks of all others: a conflict of
/// its own with each of them. The marks are relaxed and nobody looks at their values, so they order nothing.
pub struct ModelWord {
    word: AtomicU64,
    marks: [AtomicU64; PARTICIPANTS],
}

impl ModelWord {
    fn new() -> Self {
        Self { word: AtomicU64::new(0), marks: Default::default() }
    }

    fn before_read(&self) {
        self.marks[ME.with(std::cell::Cell::get)].store(0, Ordering::Relaxed);
    }

    fn before_write(&self) {
        let me = ME.with(std::cell::Cell::get);
        let others = self.marks.iter().enumerate().filter(|&(participant, _)| participant != me);
        others.for_each(|(_, mark)| mark.store(0, Ordering::Relaxed));
    }
}

impl Word for ModelWord {
    fn load(&self, order: Ordering) -> u64 {
        self.before_read();
        self.word.load(order)
    }

    fn store(&self, value: u64, order: Ordering) {
        if step() {
            self.before_write();
            self.word.store(value, order);
        }
    }

    fn compare_exchange(&self, current: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64> {
        if !step() {
            return Err(!current);
        }
        self.before_write();
        self.word.compare_exchange(current, new, success, failure)
    }

    fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        if !step() {
            return 0;
        }
        self.before_write();
        self.word.fetch_add(value, order)
    }
}

/// Half a word of the model checker.
pub struct ModelHalf(AtomicU32);

impl Half for ModelHalf {
    fn load(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn store(&self, value: u32) {
        if step() {
            self.0.store(value, Ordering::Relaxed);
        }
    }
}

/// All words that a layout uses, and no others: an offset that is not among them is a fault of the protocol.
pub struct ModelMemory {
    words: HashMap<usize, ModelWord>,
    halves: HashMap<usize, ModelHalf>,
}

impl ModelMemory {
    /// Zero everywhere.
    pub fn new(layout: &Layout) -> Self {
        let word = |at| (at, ModelWord::new());
        let words = offsets(layout).into_iter().map(word).collect();
        let ghosts = (0..layout.ghost_sets).flat_map(|set| (0..GHOSTS).map(move |ghost| (set, ghost)));
        let halves = ghosts.map(|(set, ghost)| (layout.ghost_at(set, ghost), ModelHalf(AtomicU32::new(0)))).collect();
        Self { words, halves }
    }
}

fn offsets(layout: &Layout) -> Vec<usize> {
    let mut offsets = vec![
        header::ERA,
        header::COUNT,
        header::COUNT_MAIN,
        header::RECOUNT,
        header::USE_CLOCK,
        header::INCARNATIONS,
        header::LINES_USED,
        header::POLICY_SHARE,
        header::POLICY_EVICTED,
        header::POLICY_EVICTED + 8,
        header::PRESSURE,
        header::BIRTHS,
    ];
    for index in 0..layout.lines {
        let fields = [line::INCARNATION, line::PID, line::COUNTING];
        offsets.extend(fields.map(|field| layout.line_at(index, field)));
        offsets.extend((0..PINS).map(|pin| layout.line_at(index, line::PINS) + pin * 8));
    }
    for index in 0..layout.segments {
        use segment::{ADDED, ADDED_UNITS, BIRTH, FORECAST_OF, GONE, GONE_UNITS, HAND, OPENED, STATE, TAIL};
        let fields = [STATE, TAIL, HAND, BIRTH, OPENED, ADDED, ADDED_UNITS, GONE, GONE_UNITS, FORECAST_OF];
        let fields = fields.into_iter().chain((0..FORECAST_WORDS).map(|word| segment::FORECAST + word * 8));
        offsets.push(layout.generation_at(index));
        offsets.extend(fields.map(|field| layout.segment_at(index, field)));
        offsets.extend((0..layout.segment_units).flat_map(|unit| [0, 8].map(|half| layout.unit_at(index, unit) + half)));
    }
    for bucket in 0..layout.buckets {
        let slots = (0..SLOTS).map(|slot| layout.slot_at(bucket, slot));
        offsets.extend(slots.clone());
        if layout.geometry.is_exact_lru() {
            offsets.extend(slots.map(|slot| layout.stamp_at(slot)));
        }
    }
    offsets
}

impl Memory for ModelMemory {
    type Word = ModelWord;
    type Half = ModelHalf;

    fn word(&self, at: usize) -> &ModelWord {
        self.words.get(&at).unwrap_or_else(|| panic!("no word at {at:#x}"))
    }

    fn half(&self, at: usize) -> &ModelHalf {
        self.halves.get(&at).unwrap_or_else(|| panic!("no half at {at:#x}"))
    }

    fn fence(&self, order: Ordering) {
        if order != Ordering::Relaxed {
            fence(order);
        }
    }

    fn pause(&self, _: u32) {
        loom::thread::yield_now();
    }

    fn prefetch(&self, _: usize) {}

    fn read_payload(&self, at: usize, len: usize, out: &mut Vec<u8>) {
        for offset in (0..len).step_by(8) {
            let word = self.word(at + offset).load(Ordering::Relaxed).to_le_bytes();
            out.extend_from_slice(&word[..(len - offset).min(8)]);
        }
    }

    fn write_payload(&self, at: usize, bytes: &[u8]) {
        for (index, chunk) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(at + index * 8).store(u64::from_le_bytes(word), Ordering::Relaxed);
        }
    }

    fn payload_equals(&self, at: usize, bytes: &[u8]) -> bool {
        let mut found = Vec::new();
        self.read_payload(at, bytes.len(), &mut found);
        found == bytes
    }

    fn copy_payload(&self, from: usize, to: usize, len: usize) {
        for offset in (0..len).step_by(8) {
            let word = self.word(from + offset).load(Ordering::Relaxed);
            self.word(to + offset).store(word, Ordering::Relaxed);
        }
    }
}
