//! What becomes of entries, and whether the counts say so; what is dead, and whether the tallies know.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::super::{Core, Decision, Event, Found, Key, Kind, Op, Outcome, Put};
use super::{Bench, Dice, Hand, core, geometry, hash, rounds, some_under_miri};
use crate::layout::{Geometry, SLOTS, segment};
use crate::memory::HeapMemory;

/// All that an entry can come to.
const ENDS: [Event; 7] = [
    Event::Replaced,
    Event::Removed,
    Event::EvictedUnused,
    Event::EvictedUsed,
    Event::EvictedByFullBucket,
    Event::Expired,
    Event::Cleared,
];

/// Entries that have a slot, and how many of them count for nothing; for each segment, the units of those that count.
fn census(op: &Op<'_, HeapMemory>) -> (u64, u64, Vec<usize>) {
    let core = op.core;
    let (mut all, mut dead, mut live) = (0, 0, vec![0; core.layout.segments]);
    for slot_at in (0..core.layout.buckets).flat_map(|bucket| (0..SLOTS).map(move |slot| (bucket, slot))) {
        let slot_at = core.layout.slot_at(slot_at.0, slot_at.1);
        if core.slot(slot_at).kind() == Kind::Live
            && let Found::Yes(probe) = op.examine_slot(slot_at, None)
        {
            all += 1;
            dead += u64::from(op.is_dead(&probe));
            live[probe.place().segment] += if op.is_dead(&probe) { 0 } else { probe.header.units() };
        }
    }
    (all, dead, live)
}

/// Every entry that was stored has a slot, or was counted once when it lost it.
pub(super) fn check_ends(hand: &Hand<'_>) {
    let ends: u64 = ENDS.iter().map(|&end| hand.world.counted(end)).sum();
    let (in_slots, ..) = census(&hand.op());
    assert_eq!(hand.world.counted(Event::Stored), ends + in_slots, "{:?}", ENDS.map(|end| (end, hand.world.counted(end))));
}

fn pass(world: &Bench, ms: u64) -> u64 {
    world.now.fetch_add(ms, Ordering::Relaxed) + ms + 1
}

/// Where there is room for all, each cause is what the caller did.
#[test]
fn every_end_has_its_cause() {
    for max_entries in some_under_miri([0, 100, 300], 2) {
        let core = core(Geometry { buckets: 64, ..geometry(max_entries) });
        let world = Bench::default();
        let hand = Hand::new(&core, &world, 0);
        let mut dice = Dice(11 + max_entries);
        // When each expires that has not gone yet; what was overwritten or removed alive; what died.
        let (mut model, mut replaced, mut removed, mut died) = (HashMap::<u64, Option<u64>>::new(), 0, 0, 0);
        for round in 0..rounds(20_000) {
            let (key, now) = (dice.roll(60), pass(&world, dice.roll(2)));
            let before = model.len() as u64;
            model.retain(|_, expiry| expiry.is_none_or(|at| at > now));
            died += before - model.len() as u64;
            let bytes = key.to_le_bytes();
            match dice.roll(8) {
                0..=4 => {
                    let expiry = (dice.roll(2) == 0).then(|| now + 1 + dice.roll(300));
                    assert_eq!(hand.set(&bytes, &[0; 20], expiry), Put::Stored);
                    replaced += u64::from(model.insert(key, expiry).is_some());
                }
                5 => {
                    let there = model.remove(&key).is_some();
                    assert_eq!(hand.remove(&bytes), there, "key {key}");
                    removed += u64::from(there);
                }
                6 => {
                    let there = model.remove(&key).is_some();
                    let outcome = hand.op().modify(&Key::new(&bytes, hash(&bytes)), |_| Decision::Remove);
                    assert_eq!(outcome, if there { Outcome::Removed } else { Outcome::Kept });
                    removed += u64::from(there);
                }
                _ if dice.roll(50) == 0 => {
                    core.clear();
                    died += model.len() as u64;
                    model.clear();
                }
                _ => assert_eq!(hand.get(&bytes).is_some(), model.contains_key(&key), "key {key}"),
            }
            if round % 64 == 0 {
                check_ends(&hand);
                let (_, dead, _) = census(&hand.op());
                assert_eq!((world.counted(Event::Replaced), world.counted(Event::Removed)), (replaced, removed));
                assert_eq!(world.counted(Event::Expired) + world.counted(Event::Cleared) + dead, died);
            }
        }
        let evicted = [Event::EvictedUnused, Event::EvictedUsed, Event::EvictedByFullBucket, Event::Dropped];
        assert_eq!(evicted.map(|event| world.counted(event)), [0; 4], "max_entries {max_entries}");
        assert!(cfg!(miri) || world.counted(Event::Expired) > 100 && world.counted(Event::Cleared) > 100);
    }
}

/// Whoever was read is told from whoever was not; and what comes back is told from what is new.
#[test]
fn evicted_entries_were_used_or_not_and_some_come_back() {
    for max_entries in some_under_miri([0, 9, 100], 3) {
        let core = core(geometry(max_entries));
        let world = Bench::default();
        let hand = Hand::new(&core, &world, 0);
        // More than there is room for, by far; under Miri no more than is needed for that.
        let (many, laps) = if cfg!(miri) { (320, 2) } else { (3000, 3) };
        let fill = |first: u64, reads: bool| {
            for number in first..first + many {
                hand.set(&number.to_le_bytes(), &[0; 64], None);
                assert!(!reads || hand.get(&number.to_le_bytes()).is_some());
            }
        };
        fill(0, false);
        assert_eq!(world.counted(Event::EvictedUsed), 0, "max_entries {max_entries}");
        let unused = world.counted(Event::EvictedUnused);
        fill(many, true);
        let used = world.counted(Event::EvictedUsed);
        // Those of before have gone by now.
        assert!(used > many / 2 && world.counted(Event::EvictedUnused) - unused < 200, "max_entries {max_entries}: {used}");
        assert_eq!(world.counted(Event::GhostHit), 0, "nothing came back");
        // A quarter more than there is room for, again and again.
        let keys = core.count_entries() as u64 * 5 / 4;
        (0..keys * laps).for_each(|nth| _ = hand.set(&(nth % keys + many * 3).to_le_bytes(), &[0; 64], None));
        let came_back = world.counted(Event::GhostHit);
        assert_eq!(came_back > 0, max_entries != 9, "max_entries {max_entries}: exact order of use needs no ghosts");
        check_ends(&hand);
    }
}

fn units_in_doubt(core: &Core<HeapMemory>, op: &Op<'_, HeapMemory>, live: &[usize]) -> usize {
    // While a segment is walked to be freed, nobody asks what has expired in it.
    let is_begun = |segment: usize| core.load(core.layout.segment_at(segment, segment::HAND), Ordering::Relaxed) != 0;
    let known = (0..core.layout.segments).map(|segment| (segment, core.live_units(segment, op.era, || op.now())));
    let pairs = known.zip(live).filter(|((segment, _), _)| !is_begun(*segment));
    pairs.map(|((_, known), &live)| known.checked_sub(live).unwrap_or_else(|| panic!("{known} units known, {live} alive"))).sum()
}

/// A segment is never taken for deader than it is; and nearly all that is dead is known to be.
#[test]
fn the_tallies_know_what_is_dead() {
    let core = core(Geometry { segment_bytes: 4096, ..geometry(0) });
    let world = Bench::default();
    let hand = Hand::new(&core, &world, 0);
    // One time to live, a few, and many.
    let times: [&dyn Fn(&mut Dice) -> u64; 3] =
        [&|_| 300, &|dice| [40, 400, 4000][dice.roll(3) as usize], &|dice| 1 << dice.roll(12) | dice.roll(2000)];
    for (nth, time) in some_under_miri(times.into_iter().enumerate(), 2) {
        let mut dice = Dice(5 + nth as u64);
        let (mut in_doubt, mut dead_in_all, mut alive) = (0, 0, 0);
        for round in 0..rounds(20_000) {
            let now = pass(&world, dice.roll(8));
            let key = dice.roll(400).to_le_bytes();
            match dice.roll(10) {
                0..=7 => {
                    let expiry = (dice.roll(3) > 0).then(|| now + 1 + time(&mut dice));
                    hand.set(&key, &vec![0; dice.roll(100) as usize], expiry);
                }
                8 => _ = hand.remove(&key),
                _ => _ = hand.get(&key),
            }
            if round % 16 == 0 {
                let (op, (_, dead, live)) = (hand.op(), census(&hand.op()));
                in_doubt += units_in_doubt(&core, &op, &live);
                dead_in_all += dead;
                alive += live.iter().sum::<usize>();
            }
        }
        assert!(in_doubt * 40 <= alive, "set of times {nth}: {in_doubt} of {alive} units are thought to be alive");
        assert!(cfg!(miri) || dead_in_all > 1000, "{dead_in_all}");
    }
}
