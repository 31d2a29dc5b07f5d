//! One participant beside a plain model: the cache may have let go of anything, but what it gives is what was stored
//! last.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::super::policy::PROMOTION;
use super::super::{Change, Content, Decision, Event, FREQ_MAX, Found, Key, Log, Outcome, Put};
use crate::layout::Geometry;

use super::ends::check_ends;
use super::{Bench, Dice, Hand, core, geometry, hash, rounds, some_under_miri};

type Model = HashMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn check(hand: &Hand<'_>, model: &mut Model, key: &[u8]) -> bool {
    let now = hand.world.now.load(Ordering::Relaxed) + 1;
    let expected = model.get(key).filter(|(_, expiry)| expiry.is_none_or(|at| at > now)).map(|(value, _)| value.clone());
    match hand.get(key) {
        None => {
            model.remove(key); // evicted: it must not come back
            false
        }
        Some(value) => {
            assert_eq!(Some(value), expected, "key {key:?}");
            true
        }
    }
}

fn one_step(hand: &Hand<'_>, model: &mut Model, dice: &mut Dice) -> bool {
    let key = format!("key{:width$}", dice.roll(200), width = 1 + dice.roll(2) as usize * 20).into_bytes();
    let now = hand.world.now.load(Ordering::Relaxed) + 1;
    match dice.roll(20) {
        0..=6 => {
            let most = if dice.roll(10) == 0 { 512 } else { 60 };
            let value = vec![dice.roll(256) as u8; dice.roll(most) as usize];
            let expiry = (dice.roll(3) == 0).then(|| now + dice.roll(20));
            assert_eq!(hand.set(&key, &value, expiry), Put::Stored);
            model.insert(key, (value, expiry));
        }
        7 => {
            let removed = hand.remove(&key);
            let present = model.remove(&key).is_some_and(|(_, expiry)| expiry.is_none_or(|at| at > now));
            assert!(!removed || present);
        }
        8 => {
            let outcome = hand.op().modify(&Key::new(&key, hash(&key)), |present| match present {
                None => Decision::Keep,
                Some((probe, value)) => {
                    value.push(b'+');
                    value.truncate(512);
                    let (expiry_ms, version) = (probe.expiry_ms, probe.version);
                    Decision::Store(Change { value: std::mem::take(value).into(), expiry_ms, version })
                }
            });
            if outcome == Outcome::Stored {
                let (value, _) = model.get_mut(&key).expect("only a key that is there is changed");
                value.push(b'+');
                value.truncate(512);
            }
        }
        9 if dice.roll(100) == 0 => {
            hand.core.clear();
            model.clear();
        }
        10 => {
            hand.world.now.fetch_add(dice.roll(5), Ordering::Relaxed);
        }
        _ => return check(hand, model, &key),
    }
    false
}

fn run(geometry: Geometry, many: u32) {
    let max_entries = geometry.max_entries;
    let core = core(geometry);
    let world = Bench::default();
    let hand = Hand::new(&core, &world, 0);
    let (mut model, mut dice) = (Model::new(), Dice(42 + max_entries));
    let mut hits = 0;
    for round in 0..rounds(many) {
        hits += u32::from(one_step(&hand, &mut model, &mut dice));
        if max_entries > 0 && (!cfg!(miri) || round % 32 == 0) {
            assert!(hand.core.count_entries() as u64 <= max_entries);
            assert_eq!(hand.core.counted().iter().sum::<u64>(), hand.core.count_entries() as u64, "round {round}");
        }
        if round % 512 == 0 {
            let summary = hand.verify();
            assert_eq!((summary.tentative, summary.count_drift), (0, 0));
            check_ends(&hand);
        }
    }
    assert!(cfg!(miri) || hits > many / 200, "only {hits} hits");
    let keys: Vec<_> = model.keys().cloned().collect();
    for key in keys {
        check(&hand, &mut model, &key);
    }
}

#[test]
fn gives_what_was_stored_last() {
    run(geometry(0), 60_000);
}

#[test]
fn and_with_a_bound_on_the_entries() {
    run(geometry(70), 40_000);
    // The log is full before there are so many.
    assert!(geometry(70).layout().is_ok_and(|layout| layout.counts_entries));
    assert!(geometry(200).layout().is_ok_and(|layout| !layout.counts_entries));
    run(geometry(200), 40_000);
}

#[test]
fn and_with_full_buckets() {
    run(Geometry { buckets: 12, ..geometry(0) }, 40_000);
    run(Geometry { buckets: 12, ..geometry(70) }, 40_000);
}

#[test]
fn and_with_exact_order_of_use() {
    run(geometry(9), 40_000);
}

/// One who stood still in the middle of something, while the cache was cleared any number of times, leaves the number of
/// entries as it is.
#[test]
fn the_bound_holds_whatever_was_cleared_meanwhile() {
    for clears in some_under_miri([256, 0, 1, 127, 128, 200, 300, 40_000], 8) {
        let core = core(geometry(70));
        let world = Bench::default();
        let (hand, late) = (Hand::new(&core, &world, 0), Hand::new(&core, &world, 1));
        let op = late.op();
        (0..clears).for_each(|_| core.clear());
        (0..50u32).for_each(|number| _ = hand.set(&number.to_le_bytes(), b"v", None));
        op.set(&Key::new(b"late", hash(b"late")), &Content { value: b"v", expiry_ms: None, version: None });
        (0..200u32).for_each(|number| _ = hand.set(&number.to_le_bytes(), b"v", None));
        let summary = hand.verify();
        let counted = core.counted().iter().sum::<u64>();
        assert_eq!((summary.entries as u64, counted), (70, 70), "{clears} clears");
    }
}

/// Entries of some lengths leave no segment full enough to be sealed: what is dead in those is found all the same.
#[test]
fn with_exact_order_of_use_only_the_bound_evicts() {
    for len in some_under_miri([0, 100, 200, 240, 260, 300, 400, 500, 512], 4) {
        let core = core(geometry(3));
        let world = Bench::default();
        let hand = Hand::new(&core, &world, 0);
        for number in 0..u64::from(rounds(1_000)) {
            hand.set(&number.to_le_bytes(), &vec![1; len], None);
            for last in number.saturating_sub(2)..=number {
                assert!(hand.get(&last.to_le_bytes()).is_some(), "{last} of {number} with {len} bytes");
            }
        }
    }
}

/// R20: a count of each segment that is never less than nothing, and right after every call.
#[test]
fn dead_memory_is_found_without_evicting() {
    let core = core(geometry(0));
    let world = Bench::default();
    let hand = Hand::new(&core, &world, 0);
    for i in 0..20u8 {
        hand.set(&[b'k', i], &[i; 64], None);
    }
    for i in 0..rounds(20_000) {
        hand.set(b"counter", &i.to_le_bytes(), None);
    }
    assert_eq!((0..20u8).filter(|&i| hand.get(&[b'k', i]).is_some()).count(), 20);
    assert_eq!(world.counted(Event::EvictedUnused) + world.counted(Event::EvictedUsed), 0);
}

#[test]
fn entries_used_twice_move_to_the_main_log_and_stay() {
    let core = core(geometry(0));
    let world = Bench::default();
    let hand = Hand::new(&core, &world, 0);
    hand.set(b"hot", b"value", None);
    for i in 0..rounds(5_000) {
        assert!(hand.get(b"hot").is_some(), "round {i}");
        hand.set(&i.to_le_bytes(), &[0; 100], None);
    }
    let Found::Yes(probe) = hand.op().find(&Key::new(b"hot", hash(b"hot"))) else { panic!("it is there") };
    assert!(probe.word.freq() <= FREQ_MAX);
    if !cfg!(miri) {
        assert_eq!(core.state(probe.place().segment).log(), Log::Main);
        assert!(world.counted(Event::MovedUnits) > 0);
    }
}

/// Room for some hundred entries, a quarter of which is an age.
#[test]
fn a_late_use_counts_for_two_early_ones() {
    for max_entries in [0, 100] {
        let core = core(geometry(max_entries));
        let world = Bench::default();
        let hand = Hand::new(&core, &world, 0);
        let uses_after_one = |key: &[u8]| {
            assert!(hand.get(key).is_some());
            hand.op().peek(&Key::new(key, hash(key))).expect("it is there").word.freq()
        };
        let mut number = 0u32;
        let mut fill = |until: &dyn Fn(u64) -> bool| {
            while !until(world.counted(Event::EvictedUnused)) {
                hand.set(&number.to_le_bytes(), &[0; 64], None);
                number += 1;
            }
        };
        fill(&|gone| gone >= 20);
        let keys: [&[u8]; 3] = [b"at once", b"soon", b"late"];
        for key in keys {
            hand.set(key, &[0; 64], None);
        }
        let before = world.counted(Event::EvictedUnused);
        let uses = [0, 15, 40].into_iter().zip(keys).map(|(evicted, key)| {
            fill(&|gone| gone >= before + evicted);
            uses_after_one(key)
        });
        assert_eq!(uses.collect::<Vec<_>>(), [1, 1, PROMOTION], "max_entries {max_entries}");
        assert_eq!(uses_after_one(b"at once"), 2, "an early use is one more");
    }
}

#[test]
fn a_pinned_segment_is_not_recycled() {
    let core = core(geometry(0));
    let world = Bench::default();
    let (hand, other) = (Hand::new(&core, &world, 0), Hand::new(&core, &world, 1));
    hand.set(b"pinned", b"value", None);
    let op = hand.op();
    let Found::Yes(probe) = op.find(&Key::new(b"pinned", hash(b"pinned"))) else { panic!("it is there") };
    let pin = op.pin(&probe).expect("nobody else pins");
    for i in 0..rounds(5_000) {
        assert_eq!(other.set(&i.to_le_bytes(), &[0; 100], None), Put::Stored);
    }
    assert_eq!(core.generation(probe.place().segment), probe.generation);
    drop(pin);
    for i in 0..rounds(5_000) {
        other.set(&i.to_le_bytes(), &[0; 100], None);
    }
    assert!(cfg!(miri) || core.generation(probe.place().segment) > probe.generation);
}
