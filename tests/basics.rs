//! Each operation once, in one process.

mod common;

use std::time::Duration;

use shmemo::{Action, Cache, IncrementError, SetError, TimeToLive, UpTo, Updated};

fn cache() -> Cache {
    Cache::builder().capacity(1 << 20).anonymous().expect("an anonymous cache")
}

#[test]
fn set_get_remove() {
    let cache = cache();
    assert_eq!(cache.get("a"), None);
    cache.set("a", "1").expect("set");
    assert_eq!(cache.get("a").as_deref(), Some(&b"1"[..]));
    cache.set("a", "22").expect("set");
    assert_eq!(cache.get("a").as_deref(), Some(&b"22"[..]));
    assert_eq!(cache.len(), 1);
    assert!(cache.contains("a") && !cache.contains("b"));
    assert!(cache.remove("a") && !cache.remove("a"));
    assert_eq!((cache.get("a"), cache.len(), cache.is_empty()), (None, 0, true));
    cache.set("", "").expect("empty key and value");
    assert_eq!(cache.get("").as_deref(), Some(&b""[..]));
}

/// What is longer than asked for is told of and not copied, with an expiry, with a version and without either.
#[test]
fn values_up_to_a_length() {
    let cache = cache();
    let mut value = b"before".to_vec();
    cache.set("plain", [1; 100]).expect("set");
    cache.set_with_ttl("expires", [2; 100], Duration::from_secs(60)).expect("set");
    cache.set("versioned", [3; 100]).expect("set");
    assert!(cache.get_versioned("versioned").is_some());
    for (key, byte) in [("plain", 1), ("expires", 2), ("versioned", 3)] {
        assert_eq!(cache.value_len(key), Some(100), "{key}");
        assert_eq!((cache.get_up_to(key, 99, &mut value), value.len()), (UpTo::Longer(100), 0), "{key}");
        assert_eq!(cache.get_up_to(key, 100, &mut value), UpTo::Copied, "{key}");
        assert_eq!(value, [byte; 100], "{key}");
        assert_eq!(cache.get_up_to(key, usize::MAX, &mut value), UpTo::Copied, "{key}");
    }
    assert_eq!((cache.get_up_to("absent", 9, &mut value), value.len()), (UpTo::Absent, 0));
    cache.set("empty", "").expect("set");
    assert_eq!((cache.get_up_to("empty", 0, &mut value), cache.value_len("empty")), (UpTo::Copied, Some(0)));
    assert_eq!(cache.value_len("absent"), None);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses), (8, 1), "a length alone is neither");
}

#[test]
fn default_ttl_of_builder_and_file() {
    let scratch = common::Scratch::new();
    let path = scratch.path("cache");
    let minute = Duration::from_secs(60);
    assert_eq!(cache().default_ttl(), None);
    let made = Cache::builder().capacity(1 << 20).default_ttl(minute).create_new(&path).expect("a cache");
    assert_eq!(made.default_ttl(), Some(minute));
    assert_eq!(Cache::builder().attach(&path).expect("attach").default_ttl(), Some(minute));
    assert_eq!(Cache::builder().default_ttl(minute / 2).attach(&path).expect("attach").default_ttl(), Some(minute / 2));
    assert_eq!(Cache::builder().default_ttl(Duration::MAX).attach(&path).expect("attach").default_ttl(), None);
}

#[test]
fn full_of_everything() {
    let cache = cache();
    let value = vec![7u8; 1000];
    for i in 0..20_000u32 {
        cache.set(i.to_le_bytes(), &value).expect("set");
        assert_eq!(cache.get(i.to_le_bytes()).as_deref(), Some(&value[..]), "key {i}");
    }
    let report = cache.verify().expect("no corruption");
    assert_eq!(report.entries, cache.len());
    assert_eq!(cache.iter().count(), cache.len());
    let share = report.payload_bytes as f64 / cache.capacity() as f64;
    assert!(share > 0.65, "{share} {:?}", cache.stats());
    cache.clear();
    assert_eq!((cache.len(), cache.iter().count(), cache.get(19_999u32.to_le_bytes())), (0, 0, None));
}

#[test]
fn conditional_operations() {
    let cache = cache();
    assert!(!cache.replace("k", "x", None).expect("replace"));
    assert!(cache.add("k", "1", None).expect("add"));
    assert!(!cache.add("k", "2", None).expect("add"));
    assert!(cache.replace("k", "3", None).expect("replace"));
    let (value, version) = cache.get_versioned("k").expect("there");
    assert_eq!(value, b"3");
    assert_eq!(cache.get_versioned("k").expect("there").1, version);
    assert!(cache.touch("k", Some(Duration::from_secs(60))));
    assert_eq!(cache.get_versioned("k").expect("there").1, version, "a touch keeps the version");
    assert!(cache.compare_and_swap("k", version, "4", None).expect("cas"));
    assert!(!cache.compare_and_swap("k", version, "5", None).expect("cas"));
    assert_eq!(cache.take("k").as_deref(), Some(&b"4"[..]));
    assert_eq!(cache.take("k"), None);
}

#[test]
fn counters() {
    let cache = cache();
    assert_eq!(cache.increment("n", 2, 40, None).expect("increment"), 42);
    assert_eq!(cache.increment("n", -2, 0, None).expect("increment"), 40);
    cache.set("n", i64::MAX.to_le_bytes()).expect("set");
    assert!(matches!(cache.increment("n", 1, 0, None), Err(IncrementError::Overflow { current: i64::MAX, delta: 1 })));
    cache.set("n", "text").expect("set");
    assert!(matches!(cache.increment("n", 1, 0, None), Err(IncrementError::NotACounter { len: 4 })));
}

#[test]
fn updates() {
    let cache = cache();
    let append = |old: Option<&[u8]>| Action::Set([old.unwrap_or_default(), b"x"].concat());
    assert_eq!(cache.update("u", append).expect("update"), Updated::Stored);
    assert_eq!(cache.update("u", append).expect("update"), Updated::Stored);
    assert_eq!(cache.get("u").as_deref(), Some(&b"xx"[..]));
    assert_eq!(cache.update("u", |_| Action::Keep).expect("update"), Updated::Kept);
    assert_eq!(cache.update("u", |_| Action::Remove).expect("update"), Updated::Removed);
    assert_eq!(cache.update("u", |_| Action::Remove).expect("update"), Updated::Kept);
}

#[test]
fn expiry() {
    let cache = cache();
    cache.set_with_ttl("e", "1", Duration::from_millis(30)).expect("set");
    assert!(matches!(cache.time_to_live("e"), Some(TimeToLive::Left(left)) if left <= Duration::from_millis(30)));
    assert_eq!(cache.get("e").as_deref(), Some(&b"1"[..]));
    std::thread::sleep(Duration::from_millis(31));
    assert_eq!((cache.get("e"), cache.contains("e"), cache.time_to_live("e")), (None, false, None));
    assert!(matches!(cache.set_with_ttl("e", "1", Duration::ZERO), Err(SetError::ZeroTtl)));
    cache.set("e", "2").expect("set");
    assert_eq!(cache.time_to_live("e"), Some(TimeToLive::Never));
    assert!(cache.touch("e", Some(Duration::from_secs(5))));
    assert!(matches!(cache.time_to_live("e"), Some(TimeToLive::Left(left)) if left > Duration::from_secs(4)));
    assert!(cache.touch("e", None));
    assert_eq!(cache.time_to_live("e"), Some(TimeToLive::Never));
}

#[test]
fn sizes() {
    let cache = cache();
    let max = cache.max_value_len();
    cache.set("big", vec![1; max]).expect("the largest value");
    assert_eq!(cache.get("big").map(|value| value.len()), Some(max));
    assert!(matches!(cache.set("big", vec![1; max + 1]), Err(SetError::ValueTooLarge { .. })));
    assert_eq!(cache.get("big"), None, "the old value would be stale");
    let key = vec![2; cache.max_key_len()];
    cache.set(&key, "v").expect("the longest key");
    assert_eq!(cache.get(&key).as_deref(), Some(&b"v"[..]));
    assert!(matches!(cache.set(vec![2; cache.max_key_len() + 1], "v"), Err(SetError::KeyTooLarge { .. })));
}

#[test]
fn bounded_entries_in_order_of_use() {
    let cache = Cache::builder().capacity(1 << 20).max_entries(5).anonymous().expect("an anonymous cache");
    for i in 0..10 {
        cache.set([i], [i]).expect("set");
    }
    assert_eq!(cache.len(), 5);
    assert!((5..10).all(|i| cache.contains([i])));
    assert!(cache.get([5]).is_some());
    cache.set([10], [10]).expect("set");
    assert!(cache.contains([5]) && !cache.contains([6]));
}

#[test]
fn bounded_entries() {
    for most in [65, 100, 1000, 5000] {
        let cache = Cache::builder().capacity(4 << 20).max_entries(most).anonymous().expect("an anonymous cache");
        for i in 0..most as u32 * 5 {
            cache.set(i.to_le_bytes(), [0; 20]).expect("set");
            assert!(cache.len() <= most as usize);
            if i % 3 == 0 {
                cache.get((i / 2).to_le_bytes());
            }
        }
        assert!(cache.len() as u64 > most * 95 / 100, "{} of {most}", cache.len());
        let report = cache.verify().expect("no corruption");
        assert_eq!(report.entries, cache.len());
    }
}
