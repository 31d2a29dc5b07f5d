//! Capacities, keys and values from the least to the greatest; what cannot be stored is refused and said; and how much of a
//! full file is the user's own bytes.

mod common;

#[path = "../examples/sizes.rs"]
#[allow(dead_code, reason = "the program's main is not for the tests")]
mod program;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

use common::value::{check, value};
use common::{Rng, lengths};
use shmemo::{Action, Builder, Cache, IncrementError, OpenError, SetError};

fn cache(builder: Builder) -> Cache {
    builder.anonymous().expect("a cache")
}

/// A key of this length that no other length and number share.
fn key(number: u64, len: usize) -> Vec<u8> {
    let mut key = vec![number as u8; len];
    let bytes = (number << 20 | len as u64).to_le_bytes();
    let part = len.min(8);
    key[..part].copy_from_slice(&bytes[..part]);
    key
}

/// Bytes that may be used without harm to the machine.
fn spare_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").expect("/proc/meminfo");
    let line = text.lines().find(|line| line.starts_with("MemAvailable:")).expect("MemAvailable");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("a number");
    kib * 1024 / 3
}

/// 4 GiB, or half of it where the machine has no room for that, which is said even if the test passes.
fn greatest() -> u64 {
    let spare = spare_memory();
    let bytes = if spare >= 4 << 30 { 4 << 30 } else { 2 << 30 };
    assert!(spare >= bytes, "{spare} bytes are to spare, a third of what is free: too few for a file of {bytes}");
    if bytes < 4 << 30 {
        // Not by `println`, which the harness swallows.
        let note = format!("NOTE: the greatest capacity is tested with {bytes} bytes, as only {spare} are to spare\n");
        std::io::stderr().write_all(note.as_bytes()).expect("standard error");
    }
    bytes
}

/// Fills a cache for more than a lap: the file is used to its far end, and nothing is lost on the way there.
fn fill_to_the_end(cache: &Cache, file: &File) {
    const LEN: usize = 1 << 20;
    let value = vec![0x5a; LEN];
    let count = cache.capacity() / LEN as u64 * 5 / 4;
    for number in 0..count {
        cache.set(number.to_le_bytes(), &value).expect("set");
    }
    assert!(cache.get((count - 1).to_le_bytes()).is_some_and(|got| got == value), "the last one that was stored");
    let report = cache.verify().expect("no corruption");
    let share = report.payload_bytes as f64 / cache.capacity() as f64;
    assert!(share >= 0.85, "{share:.3} of the file is in use");
    // Up to two segments are kept free for the next in need, those at the end of the file if nobody needed them yet.
    let reserve = 3 * cache.capacity() / cache.stats().segments;
    let mut last = vec![0; LEN];
    let is_written = (1..=reserve / LEN as u64).any(|step| {
        file.read_exact_at(&mut last, cache.capacity() - step * LEN as u64).expect("the end of the file");
        last.contains(&0x5a)
    });
    assert!(is_written, "nothing was written to the last {reserve} bytes");
}

#[test]
fn capacities_from_the_least_to_four_gibibytes() {
    let greatest = greatest();
    for capacity in [1 << 20, (1 << 20) + 4096, (3 << 20) + 12_345, 64 << 20, greatest] {
        let cache = cache(Cache::builder().capacity(capacity));
        assert_eq!(cache.capacity(), capacity / 4096 * 4096, "whole pages");
        let file = File::from(cache.as_fd().try_clone_to_owned().expect("a descriptor"));
        let metadata = file.metadata().expect("metadata");
        assert_eq!(metadata.len(), cache.capacity());
        let allocated = std::os::unix::fs::MetadataExt::blocks(&metadata) * 512;
        assert!(allocated >= cache.capacity(), "{allocated} of {capacity} bytes are allocated");
        // Values of very different lengths, the longest one among them.
        let longest = cache.max_value_len();
        assert_eq!(longest as u64, (cache.capacity() / 64).min(1 << 30));
        for step in 0..24u64 {
            let len = longest >> step;
            cache.set(step.to_le_bytes(), value(step, capacity, len)).expect("set");
            check(step, &cache.get(step.to_le_bytes()).expect("it was just stored")).unwrap_or_else(|wrong| panic!("{wrong}"));
        }
        let sum: usize = (0..24).map(|step| longest >> step).sum();
        assert!(sum < cache.capacity() as usize / 16);
        assert_eq!(cache.len(), 24, "there is room for all of them");
        if capacity <= 64 << 20 || common::is_long() {
            assert_eq!(cache.verify().expect("no corruption").entries, 24);
        }
        if capacity == greatest {
            fill_to_the_end(&cache, &file);
        }
    }
}

#[test]
fn impossible_sizes_are_refused() {
    let refuse = |builder: Builder| builder.anonymous().expect_err("it should have been refused");
    for capacity in [0, 1, 4096, (1 << 20) - 1] {
        let error = refuse(Cache::builder().capacity(capacity));
        assert!(matches!(error, OpenError::CapacityTooSmall { given, min } if given == capacity && min == 1 << 20), "{error:?}");
    }
    for capacity in [(1 << 40) + 1, u64::MAX] {
        let error = refuse(Cache::builder().capacity(capacity));
        assert!(matches!(error, OpenError::CapacityTooLarge { given, max } if given == capacity && max == 1 << 40), "{error:?}");
    }
    for len in [0, (1 << 20) / 16 + 1, usize::MAX] {
        let error = refuse(Cache::builder().capacity(1 << 20).max_value_len(len));
        assert!(matches!(error, OpenError::InvalidOption { option: "max_value_len", .. }), "{error:?}");
    }
    for size in [0, 31, usize::MAX] {
        let error = refuse(Cache::builder().capacity(1 << 20).expected_entry_size(size));
        assert!(matches!(error, OpenError::InvalidOption { option: "expected_entry_size", .. }), "{error:?}");
    }
    for count in [0, 1 << 32, u64::MAX] {
        let error = refuse(Cache::builder().capacity(1 << 20).max_entries(count));
        assert!(matches!(error, OpenError::InvalidOption { option: "max_entries", .. }), "{error:?}");
    }
}

#[test]
fn keys_and_values_of_any_length() {
    let cache = cache(Cache::builder().capacity(16 << 20));
    let (longest_key, longest) = (cache.max_key_len(), cache.max_value_len());
    assert_eq!((longest_key, longest), (64 << 10, 256 << 10));
    let edges = |most: usize| {
        let inner = [0, 1, 2, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 63, 64, 65, 255, 256, 257, 4095, 4096, 4097];
        inner.into_iter().chain([most / 2, most - 17, most - 16, most - 15, most - 9, most - 8, most - 7, most - 1, most])
    };
    for key_len in edges(longest_key) {
        for len in edges(longest) {
            let key = key(1, key_len);
            cache.set(&key, value(7, len as u64, len)).unwrap_or_else(|error| panic!("{key_len} and {len}: {error}"));
            let got = cache.get(&key).unwrap_or_else(|| panic!("{key_len} and {len}: it was just stored"));
            assert_eq!(got.len(), len, "key of {key_len}");
            check(7, &got).unwrap_or_else(|wrong| panic!("{key_len} and {len}: {wrong}"));
        }
    }
    // All short lengths, and many of the others.
    let mut rng = Rng::new(5);
    let lens = (0..1500).chain((0..lengths(500, 20_000)).map(|_| rng.below(longest as u64 + 1) as usize));
    let lens: Vec<usize> = lens.collect();
    for &len in &lens {
        let key = key(2, len % (longest_key + 1));
        cache.set(&key, value(len as u64, 3, len)).expect("set");
        check(len as u64, &cache.get(&key).expect("it was just stored")).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    let report = cache.verify().expect("no corruption");
    assert_eq!(report.entries, cache.iter().count());
}

/// Each way to store a value, all of which must refuse it in the same way; `true` for those that then leave the old one.
fn refusals(cache: &Cache, key: &[u8], long: &[u8]) -> Vec<(&'static str, SetError, bool)> {
    let version = cache.get_versioned("version").expect("there").1;
    let second = std::time::Duration::from_secs(1);
    vec![
        ("set", cache.set(key, long).expect_err("set"), false),
        ("set_with_ttl", cache.set_with_ttl(key, long, second).expect_err("set_with_ttl"), false),
        ("set_many", cache.set_many([(key, long)]).expect_err("set_many"), false),
        ("add", cache.add(key, long, None).expect_err("add"), true),
        ("replace", cache.replace(key, long, Some(second)).expect_err("replace"), true),
        ("compare_and_swap", cache.compare_and_swap(key, version, long, None).expect_err("compare_and_swap"), true),
        ("update", cache.update(key, |_| Action::Set(long.to_vec())).expect_err("update"), true),
        ("update", cache.update(key, |_| Action::SetWithTtl(long.to_vec(), second)).expect_err("update"), true),
    ]
}

#[test]
fn what_is_too_long_is_refused() {
    for builder in [Cache::builder().capacity(1 << 20), Cache::builder().capacity(4 << 20).max_value_len(1000)] {
        let cache = cache(builder);
        cache.set("version", "1").expect("set");
        let (max, max_key) = (cache.max_value_len(), cache.max_key_len());
        for extra in [1, 2, 7, max] {
            let long = vec![1; max + extra];
            for (what, error, _) in refusals(&cache, b"key", &long) {
                assert!(
                    matches!(error, SetError::ValueTooLarge { len, max: most } if len == long.len() && most == max),
                    "{what}"
                );
            }
            let long = vec![1; max_key + extra];
            for (what, error, _) in refusals(&cache, &long, b"v") {
                assert!(matches!(error, SetError::KeyTooLarge { len, max } if len == long.len() && max == max_key), "{what}");
            }
            assert!(cache.get(&long).is_none() && !cache.contains(&long) && !cache.remove(&long) && cache.take(&long).is_none());
            let error = cache.increment(&long, 1, 0, None).expect_err("increment");
            assert!(matches!(error, IncrementError::Set(SetError::KeyTooLarge { .. })), "{error:?}");
        }
        assert_eq!(cache.len(), 1, "nothing of it was stored");
    }
}

#[test]
fn after_a_refusal_set_leaves_nothing_stale_and_the_others_leave_all() {
    let cache = cache(Cache::builder().capacity(1 << 20));
    let long = vec![1; cache.max_value_len() + 1];
    cache.set("version", "1").expect("set");
    let rows = refusals(&cache, b"key", &long).len();
    for row in 0..rows {
        cache.set("key", "old").expect("set");
        let version = cache.get_versioned("key").expect("there").1;
        let second = std::time::Duration::from_secs(1);
        let (what, is_left) = match row {
            0 => (cache.set("key", &long).is_err(), false),
            1 => (cache.set_with_ttl("key", &long, second).is_err(), false),
            2 => (cache.set_many([("key", &long)]).is_err(), false),
            3 => (cache.add("key", &long, None).is_err(), true),
            4 => (cache.replace("key", &long, None).is_err(), true),
            5 => (cache.compare_and_swap("key", version, &long, None).is_err(), true),
            6 => (cache.update("key", |_| Action::Set(long.clone())).is_err(), true),
            _ => (cache.update("key", |_| Action::SetWithTtl(long.clone(), second)).is_err(), true),
        };
        assert!(what, "row {row} was not refused");
        assert_eq!(cache.get("key").as_deref(), is_left.then_some(&b"old"[..]), "row {row}");
        assert!(!is_left || cache.get_versioned("key").expect("there").1 == version, "row {row}");
    }
    // A counter has eight bytes, which is too long where four are the most.
    let small = Cache::builder().capacity(1 << 20).max_value_len(4).anonymous().expect("a cache");
    small.set("n", "four").expect("set");
    let error = small.increment("n", 1, 0, None).expect_err("increment");
    assert!(matches!(error, IncrementError::Set(SetError::ValueTooLarge { len: 8, max: 4 })), "{error:?}");
    assert_eq!(small.get("n").as_deref(), Some(&b"four"[..]));
    assert!(matches!(small.set("five!", "v"), Err(SetError::KeyTooLarge { len: 5, max: 4 })), "keys are no longer than values");
}

/// The share of keys and values in a full cache while it evicts for a lap.
fn shares(builder: Builder, value_len: usize) -> program::Shares {
    let cache = cache(builder);
    let shares = program::measure(&cache, value_len).unwrap_or_else(|error| panic!("{error}"));
    let capacity = cache.capacity();
    println!("{capacity} bytes, values of {value_len}: {:.4} at least, {:.4} in the mean", shares.least, shares.mean);
    // The count of entries was no empty promise.
    let bytes: usize = cache.iter().map(|(key, value)| key.len() + value.len()).sum();
    let report = cache.verify().expect("no corruption");
    assert_eq!(report.payload_bytes, bytes as u64);
    assert!(bytes as f64 / capacity as f64 >= shares.least - 0.001);
    assert_eq!(cache.len(), report.entries);
    assert_eq!(cache.stats().dropped, 0);
    shares
}

#[test]
fn most_of_a_full_file_is_the_users() {
    let mib = 1usize << 20;
    let of = |capacity: usize| Cache::builder().capacity(capacity as u64);
    let share = shares(of(mib), 1 << 10).least;
    // The goal is 0.65; it is 0.81 in the mean.
    assert!(share >= 0.70, "{share:.4} at 1 MiB");
    for capacity in lengths(vec![64 * mib], vec![64 * mib, 100 * mib, 1024 * mib]) {
        let share = shares(of(capacity), 1 << 10).least;
        assert!(share >= 0.85, "{share:.4} at {capacity}");
        let share = shares(of(capacity).max_value_len(capacity / 256), 1 << 10).mean;
        assert!(share >= 0.90, "{share:.4} at {capacity} with small segments");
    }
}

/// With all else as it is by default. The mean lies at 188.0 bytes (16 MiB) to 185.6 (1 GiB); the worst moment at 189.8 at most
/// in 40 files of 16 MiB, 188.3 in 40 of 64 MiB. Where a key is taken for one that was there before, which may open a segment
/// for it alone, it is up to that segment (3) more for a while: seen in one file of 80 when one key in sixteen might, and one in 256 may.
#[test]
fn a_small_entry_costs_little() {
    for mib in lengths(vec![16u64, 64], vec![16, 64, 256, 1024]) {
        let shares = shares(Cache::builder().capacity(mib << 20).expected_entry_size(160), 128);
        let (mean, worst) = (144.0 / shares.mean, 144.0 / shares.least);
        println!("an entry of 16 + 128 bytes costs {mean:.1} bytes at {mib} MiB, {worst:.1} at the worst moment");
        assert!(mean <= 188.5, "{mean:.1} bytes in the mean at {mib} MiB");
        assert!(worst <= if mib < 64 { 192.5 } else { 191.0 }, "{worst:.1} bytes at the worst moment at {mib} MiB");
    }
}

#[test]
fn the_readme_says_how_much_that_is() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).expect("README.md");
    for mib in lengths(vec![1, 64], vec![1, 64, 1024]) {
        let name = format!("| {} |", program::name(mib));
        let line = readme.lines().find(|line| line.starts_with(&name)).unwrap_or_else(|| panic!("no row {name}"));
        let said =
            line.split('|').filter_map(|cell| cell.trim().strip_suffix(" %")).map(|cell| cell.parse::<f64>().expect("a number"));
        let said: Vec<f64> = said.collect();
        let measured = program::row(mib).unwrap_or_else(|error| panic!("{error}"));
        println!("{name} said {said:?}, measured {measured:.2?}");
        assert_eq!(said.len(), measured.len(), "{line}");
        // How many segments small entries leave half empty differs by one from file to file: 1.9 % of it at 64 MiB.
        let tolerance = |column: usize| if column == 0 && mib > 1 { 2.0 } else { 1.0 };
        let is_true = |column: usize| (said[column] - measured[column]).abs() <= tolerance(column);
        assert!((0..said.len()).all(is_true), "{said:?} {measured:?}");
    }
}
