//! The files that scenarios begin with, and what is checked of them afterwards.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shmemo::{Builder, Cache};

use crate::common::Scratch;

/// The key that a scenario is about, and what it holds at first.
pub const TARGET: &[u8] = b"target";
pub const OLD: &[u8] = &[b'o'; 300];
/// What scenarios store there.
pub const NEW: &[u8] = &[b'n'; 400];
/// What the others store there in the end.
pub const ADDED: &[u8] = b"added";
/// A key that holds a counter, and its first value.
pub const COUNTER: &[u8] = b"counter";
pub const COUNT: i64 = 5;

/// Entries beside the target.
const OTHERS: u64 = 60;
const CAPACITY: u64 = 1 << 20;
/// The bound on the entries of a bounded file.
const BOUND: u64 = 200;
/// Length of what fills a file.
const FILL: usize = 1000;
/// After a death, so many times the capacity has to be stored until all of it can be used again, and all counts are right.
pub const LAPS: u64 = 2;
/// No call of those who live takes longer, on a machine however loaded.
pub const LONGEST: Duration = Duration::from_secs(10);

/// What kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing has to go.
    Roomy,
    /// Every segment was used, some entries more than once.
    Full,
    /// As many entries as `max_entries` lets be.
    Bounded,
    /// The same, few enough for exact LRU.
    Exact,
    /// As many, all of which have expired.
    Stale,
    /// Full of entries that have expired.
    Expired,
    /// Full of entries from before a `clear`.
    Cleared,
    /// An index far too small for its entries.
    Crowded,
    /// Full of entries that were used and are too long to be copied.
    Long,
}

impl Kind {
    fn builder(self) -> Builder {
        let builder = Cache::builder().capacity(CAPACITY).max_processes(64);
        match self {
            Kind::Bounded | Kind::Stale => builder.max_entries(BOUND),
            Kind::Exact => builder.max_entries(OTHERS + 3),
            Kind::Crowded => builder.expected_entry_size(4096),
            Kind::Long => builder.max_value_len(CAPACITY as usize / 16),
            _ => builder,
        }
    }

    /// Whether entries may go that nobody removed.
    pub fn evicts(self) -> bool {
        self != Kind::Roomy
    }

    /// Whether the bytes of the file bound what it holds, so that all of it is filled in the end.
    fn is_bound_by_bytes(self) -> bool {
        matches!(self, Kind::Roomy | Kind::Full | Kind::Expired | Kind::Cleared)
    }
}

/// A new file of some kind, with the handle of the process that made it.
pub struct Fixture {
    pub kind: Kind,
    pub cache: Cache,
    pub path: PathBuf,
    fresh_share: f64,
}

fn other_key(number: u64) -> Vec<u8> {
    format!("other{number}").into_bytes()
}

fn other_value(number: u64) -> Vec<u8> {
    vec![number as u8; 40 + (number as usize * 37) % 700]
}

fn fill(cache: &Cache, from: u64, count: u64, ttl: Option<Duration>) {
    for number in from..from + count {
        let (key, value) = (format!("fill{number}"), [(number % 251) as u8; FILL]);
        match ttl {
            Some(ttl) => cache.set_with_ttl(key, value, ttl).expect("a value that fits is stored"),
            None => cache.set(key, value).expect("a value that fits is stored"),
        }
        if number % 3 == 0 {
            let again = format!("fill{}", number.saturating_sub(20));
            let _ = (cache.get(&again), cache.get(&again));
        }
    }
}

impl Fixture {
    pub fn new(kind: Kind, path: &Path) -> Self {
        let cache = kind.builder().create_new(path).expect("a new file");
        let lap = CAPACITY / FILL as u64;
        match kind {
            Kind::Roomy | Kind::Exact => {}
            Kind::Full => fill(&cache, 0, lap * 3, None),
            Kind::Bounded => fill(&cache, 0, 300, None),
            Kind::Stale => {
                fill(&cache, 0, BOUND, Some(Duration::from_millis(1)));
                std::thread::sleep(Duration::from_millis(2));
            }
            Kind::Cleared => {
                fill(&cache, 0, lap * 2, None);
                cache.clear();
            }
            Kind::Expired => {
                fill(&cache, 0, lap * 2, Some(Duration::from_millis(1)));
                std::thread::sleep(Duration::from_millis(2));
            }
            Kind::Long => {
                for number in 0..100u64 {
                    let key = format!("long{number}");
                    cache.set(&key, vec![1; 30_000]).expect("set");
                    (0..3).for_each(|_| _ = cache.get(&key));
                }
            }
            Kind::Crowded => {
                for number in 0..1000u64 {
                    cache.set(number.to_le_bytes(), number.to_le_bytes()).expect("set");
                }
            }
        }
        for number in 0..OTHERS {
            cache.set(other_key(number), other_value(number)).expect("set");
        }
        cache.set(TARGET, OLD).expect("set");
        cache.increment(COUNTER, COUNT, 0, None).expect("a counter");
        Self { kind, cache, path: path.to_owned(), fresh_share: 0.0 }
    }

    /// The same kind of file, with what a file that nobody died in holds when it is full.
    pub fn with_share(kind: Kind, path: &Path, fresh_share: f64) -> Self {
        Self { fresh_share, ..Self::new(kind, path) }
    }

    /// How many of the other entries are there. Each that is must be whole.
    pub fn others(&self) -> u64 {
        let is_there = |number: &u64| {
            let value = self.cache.get(other_key(*number));
            assert!(value.as_ref().is_none_or(|value| *value == other_value(*number)), "a foreign value: {value:?}");
            value.is_some()
        };
        (0..OTHERS).filter(is_there).count() as u64
    }

    /// What must hold the moment after: everybody else's entries are whole, and the file has nothing in it that should not be
    /// there.
    pub fn check_at_once(&self, all_or_nothing: bool) {
        let there = self.others();
        if !self.kind.evicts() {
            assert!(there == OTHERS || (all_or_nothing && there == 0), "{there} of {OTHERS} others are left");
        }
        self.cache.verify().expect("no corruption");
    }

    /// What others do next, on the same key first. No call hangs.
    pub fn others_go_on(&self) {
        let begin = Instant::now();
        let cache = &self.cache;
        cache.set(TARGET, b"later").expect("set");
        assert_eq!(cache.get(TARGET).as_deref(), Some(&b"later"[..]), "what was stored last");
        assert!(cache.remove(TARGET), "a remove finds it");
        assert_eq!(cache.get(TARGET), None, "a removed value is gone");
        assert!(cache.add(TARGET, ADDED, None).expect("an add"), "the key is free");
        let counted = cache.increment(COUNTER, 1, 0, None).expect("a counter");
        assert!((1..=COUNT + 9).contains(&counted), "a counter of {counted}");
        assert!(begin.elapsed() < LONGEST, "the others were held up for {:?}", begin.elapsed());
    }

    /// Others store so much that the target no longer lies in the segment that is written to.
    pub fn let_age(&self) {
        fill(&self.cache, 2_000_000, 50, None);
    }

    /// Others store so much that every segment, every slot and every key is used for something else.
    pub fn laps(&self, laps: u64) {
        let begin = Instant::now();
        fill(&self.cache, 1_000_000, laps * CAPACITY / FILL as u64, None);
        assert!(begin.elapsed() < LONGEST, "the others were held up for {:?}", begin.elapsed());
    }

    /// All of the capacity can be used again, and every count is right, once the stated number of bytes has been stored.
    /// Gives the share of the capacity that is keys and values then.
    pub fn recovers(&self) -> f64 {
        let cache = &self.cache;
        self.laps(LAPS);
        let stats = cache.stats();
        assert_eq!((stats.segments_held, stats.dropped), (0, 0), "a dead process holds something");
        let report = cache.verify().expect("no corruption");
        assert_eq!((report.count_drift, report.unfinished), (0, 0), "{report:?}");
        assert_eq!(cache.len(), report.entries);
        match self.kind {
            Kind::Exact => assert_eq!(cache.max_entries(), Some(report.entries as u64), "the bound is reached again"),
            Kind::Bounded | Kind::Stale => {
                assert!(report.entries as u64 >= BOUND * 97 / 100, "{} of {BOUND} entries", report.entries)
            }
            _ => {}
        }
        let share = report.payload_bytes as f64 / CAPACITY as f64;
        if self.kind.is_bound_by_bytes() {
            // Where the last lap ends, up to two segments more or less are being swept.
            assert!(share > self.fresh_share - 0.05, "{share:.3} of the file can be used, and was {:.3}", self.fresh_share);
        }
        share
    }
}

/// The share of a file that is keys and values when it is full and nobody has died.
pub fn fresh_share(kind: Kind, scratch: &Scratch) -> f64 {
    let fixture = Fixture::new(kind, &scratch.path("fresh"));
    fixture.others_go_on();
    let share = fixture.recovers();
    std::fs::remove_file(&fixture.path).expect("the file");
    share
}
