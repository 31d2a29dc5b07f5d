//! What is dead makes room before anything alive goes, and what is saved is not copied round and round.

mod common;

use std::thread::sleep;
use std::time::Duration;

use common::{Rng, lengths};
use shmemo::{Cache, Stats};

const CAPACITY: u64 = 4 << 20;
const VALUE: [u8; 200] = [7; 200];
/// Bytes of an entry: header, key of 8 bytes, value, rounded up.
const ENTRY: u64 = 224;

/// A cache with room for so many entries, and an index in which hardly ever a bucket fills up.
fn cache() -> (Cache, u64) {
    cache_with(None)
}

fn cache_with(max_entries: Option<u64>) -> (Cache, u64) {
    let builder = Cache::builder().capacity(CAPACITY).max_value_len(VALUE.len()).max_processes(16).expected_entry_size(64);
    let cache = max_entries.map_or(builder.clone(), |most| builder.max_entries(most)).anonymous().expect("a cache");
    let room = cache.stats().log_bytes / ENTRY;
    (cache, room)
}

fn evicted(stats: &Stats) -> u64 {
    stats.evicted_unused + stats.evicted_used
}

fn fill(cache: &Cache, keys: std::ops::Range<u64>) {
    keys.into_iter().for_each(|key| cache.set(key.to_le_bytes(), VALUE).expect("set"));
}

/// Keys that are there, and those that had to go because their bucket of the index was full, which has nothing to do with
/// room.
fn present(cache: &Cache, keys: std::ops::Range<u64>) -> usize {
    let present = keys.into_iter().filter(|key| cache.contains(key.to_le_bytes())).count();
    present + cache.stats().evicted_by_full_bucket as usize
}

#[test]
fn a_counter_that_is_raised_for_ever_evicts_nothing() {
    let (cache, room) = cache();
    let others = room * 9 / 10;
    fill(&cache, 1..others);
    for _ in 0..300_000 {
        cache.increment(0u64.to_le_bytes(), 1, 0, None).expect("increment");
    }
    assert_eq!(present(&cache, 0..others), others as usize);
    assert_eq!(evicted(&cache.stats()), 0);
}

/// What lies in the segment where the others end and the counter begins is saved, however much longer the counter is than they
/// are: its room is not given away before.
#[test]
fn a_long_value_that_is_overwritten_for_ever_evicts_nothing() {
    for (len, others_len) in [(1000, 100), (5000, 200), (20_000, 8)] {
        for percent in (76..=86).step_by(lengths(2, 1)) {
            let builder = Cache::builder().capacity(CAPACITY).max_processes(16).expected_entry_size(others_len / 2 + 32);
            let cache = builder.anonymous().expect("a cache");
            let log = cache.stats().log_bytes;
            let others = log * percent / 100 / (24 + others_len as u64).next_multiple_of(16);
            (1..others).for_each(|key| cache.set(key.to_le_bytes(), vec![7; others_len]).expect("set"));
            (0..log * 8 / len as u64).for_each(|_| cache.set(0u64.to_le_bytes(), vec![8; len]).expect("set"));
            let case = format!("{len} bytes among {others} of {others_len}, {percent} % full");
            assert_eq!(evicted(&cache.stats()), 0, "{case}");
            assert_eq!(present(&cache, 0..others), others as usize, "{case}");
        }
    }
}

/// Keys come back one by one while nothing is in the main log. Each of them has a ghost, and one of 256 opens a segment.
#[test]
fn one_of_many_keys_that_come_back_opens_the_main_log() {
    let rounds = lengths(12, 60);
    let mut came_back = 0;
    for _ in 0..rounds {
        let cache = Cache::builder().capacity(CAPACITY).expected_entry_size(ENTRY as usize).anonymous().expect("a cache");
        let room = cache.stats().log_bytes / ENTRY;
        fill(&cache, 0..room + room / 4);
        assert_eq!(cache.stats().segments_main, 0, "no key came twice");
        let gone = (0..room / 4).filter(|key| !cache.contains(key.to_le_bytes()));
        for key in gone {
            cache.set(key.to_le_bytes(), VALUE).expect("set");
            came_back += 1;
            if cache.stats().segments_main > 0 {
                break;
            }
        }
        assert_eq!(cache.stats().segments_main, 1, "it is opened at last");
    }
    let each = came_back as f64 / f64::from(rounds);
    assert!((60.0..800.0).contains(&each), "{each:.1} keys came back for each that opened it");
}

#[test]
fn overwriting_at_random_evicts_nothing_while_a_quarter_is_dead() {
    let (cache, room) = cache();
    let (keys, mut random) = (room * 3 / 4, Rng::new(1));
    fill(&cache, 0..keys);
    for _ in 0..room * 4 {
        cache.set(random.below(keys).to_le_bytes(), VALUE).expect("set");
    }
    assert_eq!(present(&cache, 0..keys), keys as usize);
    let stats = cache.stats();
    assert_eq!(evicted(&stats), 0);
    assert!(stats.moved_bytes <= stats.appended_bytes * 2, "{stats:?}");
}

#[test]
fn what_was_removed_makes_room_for_as_much() {
    let (cache, room) = cache();
    let filled = room * 95 / 100;
    fill(&cache, 0..filled);
    // One in a hundred files has a bucket that is full all the same; what it lost cannot be removed.
    let removed = (0..filled).filter(|key| key % 5 < 2 && cache.remove(key.to_le_bytes())).count();
    let new = filled / 5;
    fill(&cache, filled..filled + new);
    assert_eq!(evicted(&cache.stats()), 0);
    assert_eq!(present(&cache, 0..filled + new), (filled + new) as usize - removed);
}

/// What is dead is spread all over the log, and of a segment there is little: to free the room of one entry several are moved.
#[test]
fn a_little_that_was_removed_everywhere_makes_room_for_half_as_much() {
    for percent in [12, 15, 20, 30] {
        for max_entries in [None, Some(1_000_000)] {
            let (cache, room) = cache_with(max_entries);
            let (filled, mut random) = (room * 95 / 100, Rng::new(2));
            fill(&cache, 0..filled);
            let removed = (0..filled).filter(|key| random.below(100) < percent && cache.remove(key.to_le_bytes())).count();
            let new = removed as u64 / 2;
            fill(&cache, filled..filled + new);
            let stats = cache.stats();
            assert_eq!(evicted(&stats), 0, "{percent} % removed, max_entries {max_entries:?}");
            assert!(stats.moved_bytes <= room * ENTRY / 2 + new * ENTRY * 3 / 2, "{stats:?}");
        }
    }
}

/// `max_entries` far above what there is room for is no bound: as little is moved as without, and as much is found.
#[test]
fn a_bound_that_is_never_reached_changes_nothing() {
    let hits = [None, Some(1_000_000)].map(|max_entries| {
        let (cache, room) = cache_with(max_entries);
        let (mut random, mut hits, mut value) = (Rng::new(7), 0, Vec::new());
        for _ in 0..room * 8 {
            // Half of all requests are for a fifth of the keys, of which there are twice as many as there is room for.
            let keys = if random.below(2) == 0 { room * 2 } else { room * 2 / 5 };
            let key = random.below(keys).to_le_bytes();
            if cache.get_into(key, &mut value) {
                hits += 1;
            } else {
                cache.set(key, VALUE).expect("set");
            }
        }
        let stats = cache.stats();
        assert!(stats.moved_bytes <= stats.appended_bytes * 3 / 2, "max_entries {max_entries:?}: {stats:?}");
        hits * 100 / (room * 8)
    });
    assert!(hits[0].abs_diff(hits[1]) <= 2, "{hits:?} of a hundred are found");
}

/// Where the number of entries is what bounds the cache, an expired one goes before one that is alive, wherever it is.
#[test]
fn what_has_expired_is_not_counted_against_what_is_alive() {
    const TTL: Duration = Duration::from_secs(1);
    for most in [40, 10_000] {
        let builder = Cache::builder().capacity(CAPACITY * 2).max_value_len(VALUE.len()).max_processes(16).max_entries(most);
        let (cache, mut random) = (builder.expected_entry_size(64).anonymous().expect("a cache"), Rng::new(4));
        let expires: Vec<bool> = (0..most).map(|_| random.below(3) == 0).collect();
        for (key, &expires) in expires.iter().enumerate() {
            let key = (key as u64).to_le_bytes();
            if expires { cache.set_with_ttl(key, VALUE, TTL) } else { cache.set(key, VALUE) }.expect("set");
        }
        sleep(TTL + Duration::from_millis(100));
        let expired = expires.iter().filter(|&&expires| expires).count() as u64;
        fill(&cache, most..most + expired * 3 / 4);
        let gone = evicted(&cache.stats());
        assert!(gone <= most / 1000, "{gone} live entries of {most} went, and {expired} had expired");
    }
}

#[test]
fn what_has_expired_makes_room_for_as_much() {
    const TTL: Duration = Duration::from_secs(2);
    for share in [2, 5, 10] {
        let (cache, room) = cache();
        let (filled, mut random) = (room * 92 / 100, Rng::new(3));
        let expires: Vec<bool> = (0..filled).map(|_| random.below(10) < share).collect();
        for (key, &expires) in expires.iter().enumerate() {
            let key = (key as u64).to_le_bytes();
            if expires { cache.set_with_ttl(key, VALUE, TTL) } else { cache.set(key, VALUE) }.expect("set");
        }
        assert_eq!(evicted(&cache.stats()), 0);
        sleep(TTL + Duration::from_millis(20));
        let alive = expires.iter().filter(|&&expires| !expires).count();
        // What its full bucket lost may have been one that expires.
        let lost = cache.stats().evicted_by_full_bucket as usize;
        assert!((alive..=alive + lost).contains(&present(&cache, 0..filled)), "{lost} lost");
        let new = (filled - alive as u64) / 2;
        fill(&cache, filled..filled + new);
        assert_eq!(evicted(&cache.stats()), 0, "live entries went for {new} new ones, {share} of 10 had expired");
    }
}

#[test]
fn a_cache_of_hot_entries_is_not_copied_round() {
    let (cache, room) = cache();
    let (keys, mut value) = (room * 96 / 100, Vec::new());
    fill(&cache, 0..keys);
    let mut read_all = || (0..keys).for_each(|key| _ = cache.get_into(key.to_le_bytes(), &mut value));
    (0..3).for_each(|_| read_all());
    for lap in 0..4 {
        let before = cache.stats();
        for part in 0..16 {
            let first = (lap * 16 + part + 1) << 32;
            fill(&cache, first..first + keys / 16);
            read_all();
        }
        let after = cache.stats();
        let (moved, stored) = (after.moved_bytes - before.moved_bytes, after.appended_bytes - before.appended_bytes);
        assert!(moved <= stored * 2, "{moved} bytes moved for {stored} stored");
    }
}

/// What was stored is there, or was counted once when it went; whoever it was that made it go.
#[test]
fn statistics_tell_what_became_of_every_entry() {
    for max_entries in [None, Some(40), Some(4000), Some(1_000_000)] {
        let (cache, room) = cache_with(max_entries);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let cache = &cache;
                scope.spawn(move || {
                    let mut random = Rng::new(thread + 1);
                    for _ in 0..room * 2 {
                        let key = random.below(room * 3 / 2).to_le_bytes();
                        match random.below(12) {
                            0 => _ = cache.remove(key),
                            1 => _ = cache.take(key),
                            2 => _ = cache.get(key),
                            3 => _ = cache.touch(key, None),
                            4..=6 => {
                                let ttl = Duration::from_millis(1 + random.below(400));
                                cache.set_with_ttl(key, VALUE, ttl).expect("set");
                            }
                            _ => cache.set(key, VALUE).expect("set"),
                        }
                    }
                });
            }
        });
        let stats = cache.stats();
        let evicted = stats.evicted_unused + stats.evicted_used + stats.evicted_by_full_bucket;
        let gone = stats.replaced + stats.removed + evicted + stats.expired + stats.cleared;
        assert_eq!(stats.stored, gone + stats.entries, "max_entries {max_entries:?}: {stats:?}");
        assert!(stats.expired > 0 && stats.removed > 0 && stats.replaced > 0 && evicted > 0, "{stats:?}");
        assert!(stats.evicted_too_early <= evicted && stats.cleared == 0, "{stats:?}");
    }
}

#[test]
fn statistics_tell_how_old_what_is_evicted_was() {
    for max_entries in [None, Some(1000)] {
        let builder = Cache::builder().capacity(1 << 20).max_processes(16);
        let cache = max_entries.map_or(builder.clone(), |most| builder.max_entries(most)).anonymous().expect("a cache");
        let keys = max_entries.unwrap_or(3000);
        fill(&cache, 0..keys);
        if evicted(&cache.stats()) == 0 {
            assert_eq!(cache.stats().evicted_age, Duration::ZERO);
        }
        sleep(Duration::from_millis(300));
        fill(&cache, keys..keys + keys / 2);
        let age = cache.stats().evicted_age;
        assert!(age >= Duration::from_millis(150), "{age:?}");
    }
}

/// Two writers, and a file of which next to nothing is alive: a call that finds no room while a long segment is swept must
/// not lose patience with what is alive in it.
#[test]
fn two_writers_who_overwrite_lose_nothing_that_lies_still() {
    let cache = Cache::builder().capacity(16 << 20).max_value_len(1 << 20).anonymous().expect("a cache");
    let still = 2000;
    for number in 0..still {
        cache.set(format!("still {number}"), vec![1; number % 200]).expect("set");
    }
    std::thread::scope(|scope| {
        for thread in 0..2u64 {
            let cache = cache.clone();
            scope.spawn(move || {
                let mut random = Rng::new(thread);
                for _ in 0..common::lengths(300_000, 5_000_000) {
                    let (key, len) = (random.below(2400), random.below(300) as usize);
                    cache.set(format!("moving {key}"), vec![2; len]).expect("set");
                }
            });
        }
    });
    let left = (0..still).filter(|number| cache.contains(format!("still {number}"))).count();
    let stats = cache.stats();
    // A writer that is held up between two steps may cost the other a few.
    assert!(left + stats.evicted_by_full_bucket as usize >= still - still / 50, "{left} of {still} are left: {stats:?}");
}

/// A call sweeps some ten thousand entries at the most, and the segments here have 65,000: one must not be waited for until it is
/// swept, in this log or in the other.
#[test]
fn with_many_entries_to_a_segment_no_write_is_dropped() {
    let builder = Cache::builder().capacity(32 << 20).max_value_len(2 << 20).expected_entry_size(32);
    let cache = builder.anonymous().expect("a cache");
    for number in 0..lengths(1_200_000u64, 30_000_000) {
        cache.set(number.to_le_bytes(), number.to_le_bytes()).expect("set");
        assert!(cache.contains(number.to_le_bytes()), "{number} is gone: {:?}", cache.stats());
        // One that went not long ago comes back now and then: it belongs to the main log.
        if number % 5000 == 0 {
            let key = number.saturating_sub(600_000).to_le_bytes();
            cache.set(key, "again").expect("set");
            assert!(cache.contains(key), "{number} brought one back, and it is gone: {:?}", cache.stats());
        }
    }
    let stats = cache.stats();
    assert!(stats.dropped == 0 && stats.evicted_too_early > 0, "{stats:?}");
}
