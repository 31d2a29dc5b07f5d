//! Several threads on one file, with values that tell their key.

use std::sync::atomic::{AtomicI64, Ordering};

use super::super::{Change, Decision, Key, Outcome};
use crate::layout::Geometry;

use super::{Bench, Dice, Hand, core, geometry, hash, rounds};

fn value_of(key: u64, dice: &mut Dice) -> Vec<u8> {
    let mut value = vec![0; 16 + dice.roll(100) as usize];
    let filler = dice.roll(256) as u8;
    value[16..].fill(filler);
    value[..8].copy_from_slice(&key.to_le_bytes());
    let sum = value[16..].iter().map(|&byte| u64::from(byte)).sum::<u64>();
    value[8..16].copy_from_slice(&sum.to_le_bytes());
    value
}

fn check_value(key: u64, value: &[u8]) {
    assert_eq!(value[..8], key.to_le_bytes(), "a foreign value");
    let sum = value[16..].iter().map(|&byte| u64::from(byte)).sum::<u64>();
    assert_eq!(value[8..16], sum.to_le_bytes(), "a torn value");
}

fn traffic(max_entries: u64) {
    let core = core(geometry(max_entries));
    let world = Bench::default();
    std::thread::scope(|scope| {
        for line in 0..3 {
            let (core, world) = (&core, &world);
            scope.spawn(move || {
                let hand = Hand::new(core, world, line);
                let mut dice = Dice(line as u64 + 99);
                for _ in 0..rounds(20_000) {
                    let key = dice.roll(150);
                    let bytes = key.to_le_bytes();
                    match dice.roll(10) {
                        0..=3 => drop(hand.set(&bytes, &value_of(key, &mut dice), None)),
                        4 => drop(hand.remove(&bytes)),
                        5 if dice.roll(200) == 0 => core.clear(),
                        _ => hand.get(&bytes).iter().for_each(|value| check_value(key, value)),
                    }
                }
            });
        }
    });
    let hand = Hand::new(&core, &world, 3);
    let summary = hand.verify();
    assert_eq!((summary.tentative, summary.count_drift), (0, 0));
    if max_entries > 0 {
        assert!(summary.entries as u64 <= max_entries);
    }
}

#[test]
fn no_torn_or_foreign_value() {
    traffic(0);
}

#[test]
fn nor_with_a_bound_on_the_entries() {
    traffic(80);
}

#[test]
fn nor_with_exact_order_of_use() {
    traffic(20);
}

#[test]
fn increments_are_exact() {
    // Room enough that the hottest key stays, and little enough that segments are recycled under it.
    let core = core(Geometry { segments: 24, ..geometry(0) });
    let world = Bench::default();
    let (added, begun) = (AtomicI64::new(0), AtomicI64::new(0));
    std::thread::scope(|scope| {
        for line in 0..3 {
            let (core, world, added, begun) = (&core, &world, &added, &begun);
            scope.spawn(move || {
                let hand = Hand::new(core, world, line);
                for i in 0..rounds(3_000) {
                    let mut fresh = false;
                    let outcome = hand.op().modify(&Key::new(b"n", hash(b"n")), |present| {
                        fresh = present.is_none();
                        let old = present.map_or(0, |(_, value)| i64::from_le_bytes(value[..].try_into().expect("8 bytes")));
                        let value = (old + 1).to_le_bytes().to_vec().into();
                        Decision::Store(Change { value, expiry_ms: None, version: None })
                    });
                    if outcome == Outcome::Stored {
                        added.fetch_add(1, Ordering::Relaxed);
                        begun.fetch_add(i64::from(fresh), Ordering::Relaxed);
                    }
                    if i % 8 == 0 {
                        hand.set(&i.to_le_bytes(), &[0; 200], None);
                        hand.get(b"n");
                    }
                }
            });
        }
    });
    assert_eq!(begun.load(Ordering::Relaxed), 1, "it was never evicted");
    let hand = Hand::new(&core, &world, 3);
    let value = hand.get(b"n").expect("it is the hottest key");
    assert_eq!(value, added.load(Ordering::Relaxed).to_le_bytes());
}
