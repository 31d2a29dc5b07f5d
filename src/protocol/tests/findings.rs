//! Each kind of inconsistency that `verify` looks for, made by hand in a file that is sound otherwise, is found and named.

use std::sync::atomic::Ordering;

use super::super::sweep::RETAINED;
use super::super::verify::Finding;
use super::super::{Content, Core, Key, Kind, Log, Memory, Owner, Phase, SlotWord, StateWord, Word};
use super::{Bench, FACTS, Hand, core, geometry, hash};
use crate::layout::{PINS, SLOTS, header, line, segment};
use crate::memory::HeapMemory;

/// A core with some full segments.
fn filled() -> Core<HeapMemory> {
    let core = core(geometry(0));
    let world = Bench::default();
    let hand = Hand::new(&core, &world, 0);
    for key in 0..60u64 {
        hand.set(&key.to_le_bytes(), &[1; 100], None);
    }
    hand.verify();
    core
}

fn put(core: &Core<HeapMemory>, at: usize, bits: u64) {
    core.memory.word(at).store(bits, Ordering::Relaxed);
}

fn findings(core: &Core<HeapMemory>) -> Vec<Finding> {
    let mut findings = Vec::new();
    core.verify(&FACTS, &mut |finding| {
        findings.push(finding);
        true
    });
    findings
}

fn expect(core: &Core<HeapMemory>, is_it: impl Fn(&Finding) -> bool) {
    let findings = findings(core);
    assert!(findings.iter().any(is_it), "{findings:?}");
    // Whoever is content with the first gets one.
    let mut count = 0;
    core.verify(&FACTS, &mut |_| {
        count += 1;
        false
    });
    assert_eq!(count, 1);
}

fn in_phase(core: &Core<HeapMemory>, phase: Phase) -> usize {
    (0..core.layout.segments).find(|&segment| core.state(segment).phase() == phase).expect("such a segment")
}

/// The offset of the slot that holds a key.
fn slot_of(core: &Core<HeapMemory>, key: &[u8]) -> usize {
    let key = Key::new(key, hash(key));
    let bucket = core.layout.bucket_of(key.hash32);
    let slots = (0..SLOTS).map(|slot| core.layout.slot_at(bucket, slot));
    let is_its = |&at: &usize| {
        core.slot(at).is_live_with(key.tag) && {
            let mut found = Vec::new();
            core.examine_any(at, &mut found, None);
            found == key.bytes
        }
    };
    slots.into_iter().find(is_its).expect("the key is there")
}

/// The slots of live entries in full segments, with their words.
fn live_in_full(core: &Core<HeapMemory>) -> impl Iterator<Item = (usize, SlotWord)> + '_ {
    let all = (0..core.layout.buckets).flat_map(move |bucket| (0..SLOTS).map(move |slot| core.layout.slot_at(bucket, slot)));
    all.map(|at| (at, core.slot(at)))
        .filter(|(_, word)| word.kind() == Kind::Live && core.state(word.place().segment).phase() == Phase::Sealed)
}

#[test]
fn states_and_bounds_of_segments() {
    let core = filled();
    let full = in_phase(&core, Phase::Sealed);
    let state_at = core.layout.segment_at(full, segment::STATE);
    let state = core.state(full);
    put(&core, state_at, u64::MAX);
    expect(&core, |found| *found == Finding::State { segment: full });
    put(&core, state_at, state.bits());
    put(&core, core.layout.segment_at(full, segment::TAIL), core.layout.segment_units as u64 + 1);
    expect(&core, |found| *found == Finding::Bounds { segment: full });
}

#[test]
fn an_owner_that_cannot_be() {
    let core = filled();
    let free = in_phase(&core, Phase::Free);
    let owner = Owner { line: core.layout.lines as u16, incarnation: 1 };
    let claimed = core.state(free).transition_to_claimed(Log::Newcomers, owner);
    put(&core, core.layout.segment_at(free, segment::STATE), claimed.bits());
    expect(&core, |found| *found == Finding::State { segment: free });
}

#[test]
fn what_is_no_entry_in_the_log() {
    let core = filled();
    let full = in_phase(&core, Phase::Sealed);
    put(&core, core.layout.unit_at(full, 0), u64::MAX);
    expect(&core, |found| *found == Finding::Log { segment: full, unit: 0 });
}

#[test]
fn slots_that_point_nowhere_or_are_in_the_wrong_place_or_twice() {
    let core = filled();
    let (at, word) = live_in_full(&core).next().expect("an entry");
    let mut place = word.place();
    place.unit = core.layout.segment_units - 1;
    put(&core, at, SlotWord::live(place, core.generation(place.segment), word.tag(), 0).bits());
    expect(&core, |found| matches!(found, Finding::Dangling { .. }));
    put(&core, at, word.bits());
    assert_eq!(findings(&core), []);

    let free_in =
        |bucket: usize| (0..SLOTS).map(|slot| core.layout.slot_at(bucket, slot)).find(|&at| core.slot(at) == SlotWord::EMPTY);
    let own = (0..core.layout.buckets).find(|&bucket| (0..SLOTS).any(|slot| core.layout.slot_at(bucket, slot) == at));
    let twin_at = own.and_then(free_in).expect("a free slot");
    put(&core, twin_at, word.bits());
    expect(&core, |found| matches!(found, Finding::Duplicate { .. }));
    put(&core, twin_at, 0);
    let other = (0..core.layout.buckets).filter(|&bucket| Some(bucket) != own).find_map(free_in).expect("a free slot");
    put(&core, other, word.bits());
    expect(&core, |found| matches!(found, Finding::Misplaced { .. }));
}

/// Bytes inside a value that look like an entry with everything that belongs to it.
#[test]
fn a_slot_that_points_into_the_midst_of_an_entry() {
    let core = core(geometry(0));
    let world = Bench::default();
    let hand = Hand::new(&core, &world, 0);
    hand.set(b"insider!", &[9; 8], None);
    let inner_slot = slot_of(&core, b"insider!");
    let inner = core.slot(inner_slot).place();
    // Its key has 8 bytes and so has that of the outer one: 24 bytes come before the value, which begins with 8 more.
    let image = core.memory.words::<4>(core.layout.unit_at(inner.segment, inner.unit)).map(|word| word.load(Ordering::Relaxed));
    let value: Vec<u8> = [0].into_iter().chain(image).flat_map(u64::to_le_bytes).collect();
    hand.set(b"outsider", &value, None);
    for key in 0..200u64 {
        let outer = core.slot(slot_of(&core, b"outsider")).place();
        if core.state(outer.segment).phase() == Phase::Sealed {
            break;
        }
        hand.set(&key.to_le_bytes(), &[1; 100], None);
    }
    let mut place = core.slot(slot_of(&core, b"outsider")).place();
    assert_eq!(core.state(place.segment).phase(), Phase::Sealed);
    assert_eq!(findings(&core), []);
    place.unit += 2;
    let tag = Key::new(b"insider!", hash(b"insider!")).tag;
    put(&core, inner_slot, SlotWord::live(place, core.generation(place.segment), tag, 0).bits());
    assert_eq!(hand.get(b"insider!").as_deref(), Some(&[9; 8][..]), "it looks like an entry");
    expect(&core, |found| matches!(found, Finding::Dangling { .. }));
}

#[test]
fn the_registry() {
    let core = filled();
    let two = core.take_line(2, 1);
    put(&core, header::LINES_USED, 2);
    expect(&core, |found| *found == Finding::Registry);
    put(&core, header::LINES_USED, core.layout.lines as u64 + 1);
    expect(&core, |found| *found == Finding::Registry);
    put(&core, header::LINES_USED, 3);
    assert_eq!(findings(&core), []);
    put(&core, core.layout.line_at(1, line::INCARNATION), two.incarnation);
    expect(&core, |found| *found == Finding::Incarnation { line: 2 });
    put(&core, core.layout.line_at(1, line::INCARNATION), two.incarnation + 1);
    expect(&core, |found| *found == Finding::Incarnation { line: 1 });
}

/// What nobody holds is given back by whoever takes the line next.
#[test]
fn pins_and_marks_of_a_line_that_nobody_has() {
    for field in [line::PINS, line::PINS + 8 * (PINS - 1), line::COUNTING] {
        let core = filled();
        let at = core.layout.line_at(3, field);
        put(&core, at, 1);
        expect(&core, |found| *found == Finding::Leftover { line: 3 });
        core.take_line(3, 1);
        assert_eq!((core.memory.word(at).load(Ordering::Relaxed), findings(&core)), (0, vec![]));
    }
}

#[test]
fn an_owner_whose_line_is_anothers() {
    let core = filled();
    let owner = core.take_line(2, 1);
    let full = in_phase(&core, Phase::Sealed);
    let held = core.state(full).transition_to_sweeping(owner);
    put(&core, core.layout.segment_at(full, segment::STATE), held.bits());
    assert_eq!(findings(&core), [], "a line says so");
    let next = core.take_line(3, 1);
    let held = StateWord::sealed(Log::Main).transition_to_sweeping(Owner { line: 2, ..next });
    put(&core, core.layout.segment_at(full, segment::STATE), held.bits());
    expect(&core, |found| *found == Finding::State { segment: full });
    assert!(core.recover_former(Owner { line: 2, ..next }));
    assert_eq!((core.state(full).phase(), findings(&core)), (Phase::Sealed, vec![]));
}

/// Room that would be given out although entries are there: below the tail of a segment that is free, or above a tail that was
/// lower.
#[test]
fn slots_that_point_where_others_may_write() {
    let core = filled();
    let (_, word) = live_in_full(&core).next().expect("an entry");
    let state_at = core.layout.segment_at(word.place().segment, segment::STATE);
    put(&core, state_at, StateWord::FREE.bits());
    expect(&core, |found| matches!(found, Finding::Dangling { .. }));
    put(&core, state_at, StateWord::open(Log::Newcomers).bits());
    assert_eq!(findings(&core), []);
    put(&core, core.layout.segment_at(word.place().segment, segment::TAIL), word.place().unit as u64);
    expect(&core, |found| matches!(found, Finding::Dangling { .. }));
}

#[test]
fn a_hand_that_is_further_than_the_sweep_was() {
    let core = filled();
    let (_, word) = live_in_full(&core).last().expect("an entry");
    let hand_at = core.layout.segment_at(word.place().segment, segment::HAND);
    put(&core, hand_at, word.place().unit as u64 + 1);
    expect(&core, |found| matches!(found, Finding::Swept { .. }));
    // Unless the sweep left something on purpose.
    put(&core, hand_at, (word.place().unit as u64 + 1) | RETAINED);
    assert_eq!(findings(&core), []);
}

#[test]
fn entries_of_the_future() {
    let core = filled();
    let world = Bench::default();
    let hand = Hand::new(&core, &world, 1);
    core.clear();
    put(&core, header::STAMP_BLOCKS, 7);
    let content = |expiry_ms, version| Content { value: b"v", expiry_ms, version };
    let store = |content: &Content<'_>| _ = hand.op().set(&Key::new(b"k", hash(b"k")), content);
    for (at, wrong, right) in [(header::ERA, 0, 1), (header::STAMP_BLOCKS, 6, 7)] {
        store(&content(Some(1 << 41), Some(7)));
        assert_eq!(findings(&core), []);
        put(&core, at, wrong);
        expect(&core, |found| matches!(found, Finding::Future { .. }));
        put(&core, at, right);
    }
    store(&content(Some((1 << 41) + 1), None));
    expect(&core, |found| matches!(found, Finding::Future { .. }));
}

#[test]
fn a_count_that_is_too_low() {
    let core = core(geometry(70));
    let world = Bench::default();
    let hand = Hand::new(&core, &world, 0);
    (0..50u64).for_each(|key| _ = hand.set(&key.to_le_bytes(), b"v", None));
    let right = core.memory.word(header::COUNT).load(Ordering::Relaxed);
    assert_eq!((hand.verify().entries, hand.verify().bound_drift), (50, 0));
    // One less, none, and of a `clear` that was not.
    for wrong in [right - 1, 0, right + (1 << 56)] {
        put(&core, header::COUNT, wrong);
        expect(&core, |found| *found == Finding::Count);
    }
    put(&core, header::COUNT, right + 3);
    assert_eq!(hand.verify().bound_drift, 3, "the dead may have left it too high");
    // Somebody is in the middle of a change: then it may be anything for a while.
    put(&core, header::COUNT, right - 1);
    put(&core, core.layout.line_at(0, line::COUNTING), 1);
    assert_eq!(findings(&core), []);
}
