//! Bytes in the file are input: whatever they are, operations end, and nothing panics. (Memory safety is the memory
//! layer's, which checks every offset; a panic here would be an offset that the protocol did not check.)

use std::sync::atomic::Ordering;

use super::super::{Change, Content, Core, Decision, Hints, Key, Memory, Outcome, Place, SlotWord, Word};
use super::{Bench, Dice, FACTS, Hand, core, geometry, hash};
use crate::layout::{Geometry, Layout, PINS, SLOTS, header, line, segment};
use crate::memory::{HeapMemory, SharedHalf, SharedWord};

/// Writes noise over some words: any bits, or bits that nearly make sense.
fn scribble(core: &Core<HeapMemory>, dice: &mut Dice, words: u64) {
    let total = core.layout.ghosts_at as u64 / 8;
    let log = core.layout.log_at as u64 / 8;
    let end = core.layout.total as u64 / 8;
    for _ in 0..words {
        let at = if dice.roll(2) == 0 { 32 + dice.roll(total - 32) } else { log + dice.roll(end - log) };
        let word = core.memory.word(at as usize * 8);
        let bits = match dice.roll(4) {
            0 => dice.roll(u64::MAX),
            1 => word.load(Ordering::Relaxed) ^ 1 << dice.roll(64),
            2 => u64::MAX,
            _ => core.memory.word((32 + dice.roll(total - 32)) as usize * 8).load(Ordering::Relaxed),
        };
        word.store(bits, Ordering::Relaxed);
    }
}

fn traffic(hand: &Hand<'_>, dice: &mut Dice, many: u32) {
    for _ in 0..many {
        let key = dice.roll(100).to_le_bytes();
        match dice.roll(8) {
            0..=2 => drop(hand.set(&key, &vec![1; dice.roll(200) as usize], None)),
            3 => drop(hand.remove(&key)),
            4 => drop(hand.op().modify(&Key::new(&key, hash(&key)), |_| Decision::Remove)),
            _ => drop(hand.get(&key)),
        }
    }
}

fn run(max_entries: u64) {
    // Miri is a thousand times slower: one seed there.
    for seed in 1..=if cfg!(miri) { 1 } else { 300 } {
        let core = core(geometry(max_entries));
        let world = Bench::default();
        let hand = Hand::new(&core, &world, 0);
        let mut dice = Dice(seed * 7919);
        traffic(&hand, &mut dice, 200);
        for _ in 0..3 {
            let words = 1 + dice.roll(40);
            scribble(&core, &mut dice, words);
            traffic(&hand, &mut dice, 30);
            let op = hand.op();
            (0..core.layout.buckets).for_each(|bucket| op.visit_bucket(bucket, true, |_, _, _| ()));
            let _ = (core.verify(&FACTS, &mut |_| true), core.census(), core.counters());
            core.recover_line(1);
            core.recount(None);
        }
    }
}

#[test]
fn noise_is_survived() {
    run(0);
}

#[test]
fn noise_is_survived_with_a_bound_on_the_entries() {
    run(70);
}

#[test]
fn noise_is_survived_with_exact_order_of_use() {
    run(5);
}

/// A word whose segment has that very generation, and that points at what is no entry, is the coldest of a full bucket:
/// it gives way like any other.
#[test]
fn a_bucket_full_of_words_that_point_at_no_entry_takes_new_ones() {
    let core = core(geometry(0));
    let world = Bench::default();
    let hand = Hand::new(&core, &world, 0);
    let place = Place { segment: 1, unit: 0 };
    core.memory.word(core.layout.unit_at(place.segment, place.unit)).store(u64::MAX, Ordering::Relaxed);
    let word = SlotWord::live(place, core.generation(place.segment), 0xfff, 0);
    for at in (0..core.layout.buckets).flat_map(|bucket| (0..SLOTS).map(move |slot| (bucket, slot))) {
        core.memory.word(core.layout.slot_at(at.0, at.1)).store(word.bits(), Ordering::Relaxed);
    }
    for key in 0..100u64 {
        hand.set(&key.to_le_bytes(), b"value", None);
        assert_eq!(hand.get(&key.to_le_bytes()).as_deref(), Some(&b"value"[..]));
    }
}

#[test]
fn without_hazard_words_conditional_operations_change_nothing_and_sets_go_on() {
    let core = core(geometry(0));
    let world = Bench::default();
    let hand = Hand::new(&core, &world, 0);
    hand.set(b"key", b"old", None);
    for pin in 0..PINS {
        core.memory.word(core.layout.line_at(0, line::PINS + pin * 8)).store(1, Ordering::Relaxed);
    }
    let outcome = hand.op().modify(&Key::new(b"key", hash(b"key")), |_| Decision::Remove);
    assert_eq!((outcome, hand.get(b"key").as_deref()), (Outcome::Busy, Some(&b"old"[..])));
    hand.set(b"key", b"new", None);
    assert_eq!(hand.get(b"key").as_deref(), Some(&b"new"[..]));
}

/// A memory in which somebody else writes ones over the tails whenever one is about to be looked at.
struct Stubborn {
    heap: HeapMemory,
    layout: Layout,
}

impl Memory for Stubborn {
    type Word = SharedWord;
    type Half = SharedHalf;

    fn word(&self, at: usize) -> &SharedWord {
        let word = self.heap.word(at);
        if (0..self.layout.segments).any(|segment| self.layout.segment_at(segment, segment::TAIL) == at) {
            word.store(u64::MAX, Ordering::Relaxed);
        }
        word
    }

    fn half(&self, at: usize) -> &SharedHalf {
        self.heap.half(at)
    }

    fn fence(&self, order: Ordering) {
        self.heap.fence(order);
    }

    fn pause(&self, _attempt: u32) {}

    fn prefetch(&self, _at: usize) {}

    fn read_payload(&self, at: usize, len: usize, out: &mut Vec<u8>) {
        self.heap.read_payload(at, len, out);
    }

    fn write_payload(&self, at: usize, bytes: &[u8]) {
        self.heap.write_payload(at, bytes);
    }

    fn payload_equals(&self, at: usize, bytes: &[u8]) -> bool {
        self.heap.payload_equals(at, bytes)
    }

    fn copy_payload(&self, from: usize, to: usize, len: usize) {
        self.heap.copy_payload(from, to, len);
    }
}

/// Found by fuzzing: a free segment was taken to have room, whatever its tail was by then.
#[test]
fn a_tail_that_rots_in_the_midst_of_a_claim_is_not_believed() {
    let layout = Geometry { segments: 2, ..geometry(0) }.layout().expect("a valid geometry");
    let core = Core { memory: Stubborn { heap: HeapMemory::new(layout.total), layout }, layout };
    let (world, hints) = (Bench::default(), Hints::default());
    let owner = core.take_line(0, 1);
    for number in 0..if cfg!(miri) { 2 } else { 200u64 } {
        let bytes = number.to_le_bytes();
        let content = Content { value: &[1; 100], expiry_ms: None, version: None };
        core.begin(Some(owner), &world, &hints).set(&Key::new(&bytes, hash(&bytes)), &content);
    }
}

/// Found by fuzzing: where the tallies are of an era that is not yet, everything seems dead, and every sweep moves all that is
/// alive. The entry that was to be changed was moved by the search for room at each of ten thousand attempts.
#[test]
#[cfg_attr(miri, ignore = "long, and nothing for Miri to see")]
fn a_change_does_not_run_after_its_own_sweeps() {
    let core = core(Geometry { segments: 12, segment_bytes: 384, max_value_len: 128, ..geometry(0) });
    let world = Bench::default();
    let hand = Hand::new(&core, &world, 0);
    let mut dice = Dice(7919);
    let set = |dice: &mut Dice, keys: u64| {
        let key = dice.roll(keys).to_le_bytes();
        hand.set(&key, &vec![1; dice.roll(100) as usize], None);
        hand.get(&key);
    };
    let era = core.memory.word(header::ERA).load(Ordering::Relaxed);
    core.clear();
    (0..200).for_each(|_| set(&mut dice, 1000));
    core.memory.word(header::ERA).store(era, Ordering::Relaxed);
    for keys in 20..60 {
        set(&mut dice, keys);
        let key = dice.roll(keys).to_le_bytes();
        let mut attempts = 0;
        hand.op().modify(&Key::new(&key, hash(&key)), |present| {
            attempts += 1;
            let value = present.map(|(_, value)| std::mem::take(value)).unwrap_or_default();
            Decision::Store(Change { value: value.into(), expiry_ms: None, version: None })
        });
        assert!(attempts <= 16, "{attempts} attempts, though nobody else is there");
    }
}
