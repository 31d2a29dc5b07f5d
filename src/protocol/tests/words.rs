//! Each word of header, registry and segment table that changes: if it is wrong then `verify` says so, or it does not matter.

use std::sync::atomic::Ordering;

use super::super::verify::Finding;
use super::super::{Core, Event, Key, Kind, Memory, Phase, Word};
use super::{Bench, FACTS, Hand, core, geometry, hash, some_under_miri};
use crate::layout::{SLOTS, header, line, segment};
use crate::memory::HeapMemory;

/// What comes of a wrong word.
enum Wrong {
    /// `verify` names it, in the test with this name.
    Found(&'static str),
    /// Whatever it is, values are right, the room is used and the bound is kept.
    Hint,
    /// The protocol never looks at it; the layer above does, and its tests.
    Above(&'static str),
}
use Wrong::{Above, Found, Hint};

/// All of them, by the names in `layout/fields.rs`.
const WORDS: [(&str, usize, Wrong); 35] = [
    ("header::ERA", header::ERA, Found("entries_of_the_future")),
    ("header::CLOCK_BASE", header::CLOCK_BASE, Above("tests/verify.rs")),
    ("header::CLOCK_MIRROR", header::CLOCK_MIRROR, Above("tests/verify.rs")),
    ("header::BOOT_ID", header::BOOT_ID, Above("tests/restart.rs: another one is believed only when nobody is attached")),
    ("header::COUNT", header::COUNT, Found("a_count_that_is_too_low")),
    ("header::COUNT_MAIN", header::COUNT_MAIN, Hint),
    ("header::RECOUNT", header::RECOUNT, Hint),
    ("header::USE_CLOCK", header::USE_CLOCK, Hint),
    ("header::INCARNATIONS", header::INCARNATIONS, Found("the_registry")),
    ("header::STAMP_BLOCKS", header::STAMP_BLOCKS, Found("entries_of_the_future")),
    ("header::LINES_USED", header::LINES_USED, Found("the_registry")),
    ("header::POLICY_SHARE", header::POLICY_SHARE, Hint),
    ("header::POLICY_EVICTED", header::POLICY_EVICTED, Hint),
    ("header::PRESSURE", header::PRESSURE, Hint),
    ("header::BIRTHS", header::BIRTHS, Hint),
    ("header::SPENT_ON_MOVES", header::SPENT_ON_MOVES, Hint),
    ("header::EVICTED_AGE", header::EVICTED_AGE, Hint),
    ("header::LATE", header::LATE, Hint),
    ("header::EPOCH_ENDS", header::EPOCH_ENDS, Hint),
    ("line::INCARNATION", line::INCARNATION, Found("the_registry")),
    ("line::PID", line::PID, Hint),
    ("line::COUNTING", line::COUNTING, Found("pins_and_marks_of_a_line_that_nobody_has")),
    ("line::PINS", line::PINS, Found("pins_and_marks_of_a_line_that_nobody_has")),
    ("line::COUNTERS", line::COUNTERS, Hint),
    ("segment::STATE", segment::STATE, Found("slots_that_point_where_others_may_write")),
    ("segment::TAIL", segment::TAIL, Found("slots_that_point_where_others_may_write")),
    ("segment::HAND", segment::HAND, Found("a_hand_that_is_further_than_the_sweep_was")),
    ("segment::BIRTH", segment::BIRTH, Hint),
    ("segment::OPENED", segment::OPENED, Hint),
    ("segment::ADDED", segment::ADDED, Hint),
    ("segment::ADDED_UNITS", segment::ADDED_UNITS, Hint),
    ("segment::GONE", segment::GONE, Hint),
    ("segment::GONE_UNITS", segment::GONE_UNITS, Hint),
    ("segment::FORECAST_OF", segment::FORECAST_OF, Hint),
    ("segment::FORECAST", segment::FORECAST, Hint),
];

#[test]
fn none_is_forgotten() {
    let mut module = "";
    let mut named = Vec::new();
    for text in include_str!("../../layout/fields.rs").lines().map(str::trim) {
        if let Some(name) = text.strip_prefix("pub mod ") {
            module = name.trim_end_matches(" {");
        } else if let Some((name, _)) = text.strip_prefix("pub const ").and_then(|text| text.split_once(": usize")) {
            named.push(format!("{module}::{name}"));
        }
    }
    assert!(named.len() > 30, "{named:?}");
    for name in &named {
        assert_eq!(WORDS.iter().filter(|word| word.0 == name).count(), 1, "{name}");
    }
    assert_eq!(WORDS.iter().count(), named.len());
    for (name, _, wrong) in WORDS.iter() {
        if let Found(test) | Above(test) = wrong {
            let is_there = matches!(wrong, Above(_)) || include_str!("findings.rs").contains(&format!("fn {test}()"));
            assert!(is_there, "{name}: {test}");
        }
    }
}

/// More than the log has room for; under Miri about as many.
const KEYS: u64 = if cfg!(miri) { 130 } else { 300 };

fn value(key: u64) -> Vec<u8> {
    vec![key as u8; 40 + key as usize % 90]
}

/// Every key that is there has its value. How many are.
fn there(hand: &Hand<'_>) -> usize {
    let is_there = |key: &u64| {
        let found = hand.get(&key.to_le_bytes());
        assert!(found.as_ref().is_none_or(|found| *found == value(*key)), "{found:?}");
        found.is_some()
    };
    (0..KEYS).filter(is_there).count()
}

/// Some laps of the log, with entries that are used meanwhile.
fn traffic(hand: &Hand<'_>) {
    for key in some_under_miri([(); 2], 2).flat_map(|()| 0..KEYS) {
        hand.set(&key.to_le_bytes(), &value(key), None);
        hand.get(&(key / 2).to_le_bytes());
    }
}

/// How much is there in the end if a word is wrong from some time on.
fn with_wrong(max_entries: u64, spoil: &dyn Fn(&Core<HeapMemory>)) -> usize {
    let core = core(geometry(max_entries));
    let world = Bench::default();
    let hand = Hand::new(&core, &world, 0);
    traffic(&hand);
    spoil(&core);
    there(&hand);
    traffic(&hand);
    let count = there(&hand);
    let summary = hand.verify();
    assert!(max_entries == 0 || summary.entries as u64 <= max_entries, "{summary:?}");
    assert_eq!((summary.entries, world.counted(Event::Dropped)), (count, 0));
    count
}

#[test]
fn a_wrong_hint_costs_neither_values_nor_room() {
    for max_entries in some_under_miri([70, 0, 5], 3) {
        let right = with_wrong(max_entries, &|_| ());
        for (name, field, _) in some_under_miri(WORDS.iter().filter(|word| matches!(word.2, Hint)), 40) {
            let places: Vec<usize> = (0..8)
                .map(|i| match name.split_once("::").expect("a module").0 {
                    "header" => *field,
                    "line" => core(geometry(0)).layout.line_at(0, *field),
                    _ => core(geometry(0)).layout.segment_at(i, *field),
                })
                .collect();
            for bits in some_under_miri([u64::MAX, 0, 1, u64::MAX / 2, 0x5555_5555_5555_5555, 1 << 63], 6) {
                let spoil = |core: &Core<HeapMemory>| {
                    places.iter().for_each(|&at| core.memory.word(at).store(bits, Ordering::Relaxed));
                };
                let count = with_wrong(max_entries, &spoil);
                assert!(count * 10 >= right * 8, "{name} = {bits:#x}: {count} entries, and {right} without that");
            }
        }
    }
}

/// Whatever a word that is not a hint says: if `verify` finds nothing wrong then values are right.
#[test]
fn what_is_not_found_does_not_matter() {
    let mut found = 0;
    let mut silent = 0;
    for (name, field, _) in some_under_miri(WORDS.iter().filter(|word| matches!(word.2, Found(_))), 10) {
        for place in some_under_miri(0..8, 8) {
            for bits in some_under_miri([0, 1, 2, 3, 8, 11, 40, u64::MAX, u64::MAX / 2, 1 << 62, 1 << 63], 11) {
                let core = core(geometry(70));
                let world = Bench::default();
                let hand = Hand::new(&core, &world, 0);
                traffic(&hand);
                let at = match name.split_once("::").expect("a module").0 {
                    "header" => *field,
                    "line" => core.layout.line_at(place % 4, *field),
                    _ => core.layout.segment_at(place, *field),
                };
                core.memory.word(at).store(bits, Ordering::Relaxed);
                let mut is_found = false;
                core.verify(&FACTS, &mut |_: Finding| {
                    is_found = true;
                    false
                });
                if is_found {
                    found += 1;
                    continue;
                }
                silent += 1;
                there(&hand);
                traffic(&hand);
                assert!(there(&hand) <= 70, "{name} = {bits:#x}: more than the bound");
                check_slots(&core, &hand);
            }
        }
    }
    assert!(cfg!(miri) || found > 300 && silent > 50, "{found} found, {silent} not");
}

/// No live word points at what is another key's, or where anybody may write.
fn check_slots(core: &Core<HeapMemory>, hand: &Hand<'_>) {
    for (bucket, slot) in (0..core.layout.buckets).flat_map(|bucket| (0..SLOTS).map(move |slot| (bucket, slot))) {
        let word = core.slot(core.layout.slot_at(bucket, slot));
        if word.kind() == Kind::Live {
            let state = core.state(word.place().segment);
            assert_ne!(state.phase(), Phase::Free);
        }
    }
    for key in 0..KEYS {
        let bytes = key.to_le_bytes();
        let is_there = hand.op().peek(&Key::new(&bytes, hash(&bytes))).is_some();
        assert_eq!(hand.remove(&bytes), is_there);
        assert_eq!(hand.get(&bytes), None, "a removed value is gone");
    }
}
