//! Iteration while other processes insert, remove and replace. What `Cache::iter` promises: an entry that is there
//! throughout is given exactly once, one that comes, goes or changes meanwhile at most once, what is absent throughout
//! not at all, no value is torn, none that was replaced before the iteration began comes back, and nothing counts as a
//! use.

mod common;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use common::board::Board;
use common::value::{check, id_of, key, value};
use common::worker::{Args, Worker, serve};
use common::{Rng, Scratch, lengths, wait_until};
use shmemo::Cache;

/// Keys are numbered: those that stand still, those that one worker each replaces all the time, those that come and go,
/// those that were removed before anyone looked, and those that never were.
const STILL: std::ops::Range<u64> = 1..2001;
const REPLACED: std::ops::Range<u64> = 2001..2401;
const MOVING: std::ops::Range<u64> = 10_001..12_001;
const GONE: std::ops::Range<u64> = 20_001..21_001;

const WORKERS: u64 = 2;
/// Words of the board: whether to end, what each worker has done, and for each key that is replaced the stamps of the
/// store that was begun last and of the one that was done last.
const END: usize = 0;
const DONE: usize = 1;
const STAMPS: usize = 16;

#[test]
fn worker_entry() {
    serve(&[("change", change)]);
}

fn stamps(id: u64) -> (usize, usize) {
    let at = STAMPS + (id - REPLACED.start) as usize * 2;
    (at, at + 1)
}

fn stored(cache: &Cache, id: u64, stamp: u64, len: u64) {
    cache.set(key(id, 64), value(id, stamp, 24 + len as usize)).expect("a value that fits is stored");
}

/// Replaces its share of the keys, in turn, and lets others come and go.
fn change(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    let board = Board::open(args.text(1).as_ref());
    let (number, longest) = (args.number(2), args.number(3));
    let mut rng = Rng::new(number);
    let mine: Vec<u64> = REPLACED.filter(|id| id % WORKERS == number).collect();
    for round in 1.. {
        for &id in &mine {
            let (begun, done) = stamps(id);
            board.set(begun, round);
            stored(&cache, id, round, rng.below(longest));
            board.set(done, round);
            let id = MOVING.start + rng.below(MOVING.end - MOVING.start);
            match rng.below(4) {
                0 => drop(cache.remove(key(id, 64))),
                1 => drop(cache.add(key(id, 64), value(id, round, 40), Some(Duration::from_millis(1 + rng.below(50))))),
                _ => stored(&cache, id, round, rng.below(longest)),
            }
        }
        board.set(DONE + number as usize, round);
        if board.get(END) > 0 {
            return;
        }
    }
}

struct Scene {
    cache: Cache,
    board: Board,
    workers: Vec<Worker>,
    // Goes last.
    _scratch: Scratch,
}

impl Scene {
    /// A cache with entries of all kinds, and workers that are at it.
    fn new(capacity: u64, longest: u64) -> Self {
        let scratch = Scratch::new();
        let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
        let cache = Cache::builder().capacity(capacity).create_new(&path).expect("a cache");
        let board = Board::create(&board_path);
        for id in GONE.chain(STILL).chain(REPLACED) {
            stored(&cache, id, 0, id % 200);
        }
        assert!(GONE.filter(|&id| cache.remove(key(id, 64))).count() > 0);
        let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let workers: Vec<Worker> = (0..WORKERS)
            .map(|number| Worker::spawn("change", &[&text(&path), &text(&board_path), &number.to_string(), &longest.to_string()]))
            .collect();
        for number in 0..WORKERS as usize {
            wait_until("the workers to begin", || board.get(DONE + number) > 0);
        }
        Self { cache, board, workers, _scratch: scratch }
    }

    fn stamps(&self, which: impl Fn((usize, usize)) -> usize) -> Vec<u64> {
        REPLACED.map(|id| self.board.get(which(stamps(id)))).collect()
    }

    fn end(&mut self) {
        self.board.set(END, 1);
        self.workers.drain(..).for_each(Worker::success);
        self.cache.verify().unwrap_or_else(|corruption| panic!("{corruption}"));
    }
}

/// Iterates once and checks what must hold however much is evicted. Gives what was met.
fn look(scene: &Scene, slowly: bool) -> HashMap<u64, u64> {
    let done_before = scene.stamps(|at| at.1);
    let mut met: HashMap<u64, u64> = HashMap::new();
    for (bytes, found) in &scene.cache {
        let id = id_of(&bytes);
        assert_eq!(bytes, key(id, 64), "a whole key");
        let stamp = check(id, &found).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(met.insert(id, stamp).is_none(), "key {id} was given twice");
        if slowly && met.len().is_multiple_of(500) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let begun_after = scene.stamps(|at| at.0);
    for (&id, &stamp) in &met {
        assert!([STILL, REPLACED, MOVING].iter().any(|range| range.contains(&id)), "key {id} is absent, and was given");
        if REPLACED.contains(&id) {
            let at = (id - REPLACED.start) as usize;
            let possible = done_before[at]..=begun_after[at];
            assert!(possible.contains(&stamp), "key {id} had the values {possible:?} meanwhile, and {stamp} was given");
        }
        assert!(!STILL.contains(&id) || stamp == 0, "key {id} was never replaced");
    }
    met
}

/// The same of the keys alone.
fn look_at_keys(scene: &Scene) -> HashMap<u64, u64> {
    let mut met = HashMap::new();
    for bytes in scene.cache.keys() {
        let id = id_of(&bytes);
        assert_eq!(bytes, key(id, 64), "a whole key");
        assert!(met.insert(id, 0).is_none(), "key {id} was given twice");
        assert!([STILL, REPLACED, MOVING].iter().any(|range| range.contains(&id)), "key {id} is absent, and was given");
    }
    met
}

/// Looks again and again. Entries that stand still are stored once: those that are there afterwards were there
/// throughout.
fn looks(scene: &mut Scene, millis: u64) -> (u32, usize) {
    let end = Instant::now() + Duration::from_millis(millis);
    let mut count = 0;
    while Instant::now() < end || count < 5 {
        let met = if count % 4 == 3 { look_at_keys(scene) } else { look(scene, count % 4 == 1) };
        for id in STILL.filter(|&id| scene.cache.contains(key(id, 64))) {
            assert!(met.contains_key(&id), "key {id} was there throughout, and was not given");
        }
        count += 1;
    }
    let left = STILL.filter(|&id| scene.cache.contains(key(id, 64))).count();
    println!("{count} looks, {left} of {} stood still to the end, {:?}", STILL.end - STILL.start, scene.cache.stats());
    scene.end();
    (count, left)
}

#[test]
fn with_room_for_everything() {
    let mut scene = Scene::new(64 << 20, 300);
    let (_, left) = looks(&mut scene, 2_000);
    // As long as the log has not gone round.
    if scene.cache.stats().segments_freed == 0 {
        assert_eq!(left as u64, STILL.end - STILL.start, "nothing is evicted where there is room");
    }
    // Now that all stands still, everything that is there is given.
    let met = look(&scene, false);
    let there = STILL.chain(REPLACED).chain(MOVING).filter(|&id| scene.cache.contains(key(id, 64)));
    let there: Vec<u64> = there.collect();
    // What expires meanwhile was given, and is not there.
    assert!(there.iter().all(|id| met.contains_key(id)), "{} of {}", met.len(), there.len());
    assert!(met.len() > 1000, "{} entries", met.len());
}

/// Entries are moved while the log goes round: from segments that are mostly dead to others.
#[test]
fn while_entries_are_moved() {
    let mut scene = Scene::new(4 << 20, 600);
    let (_, left) = looks(&mut scene, lengths(3_000, 90_000));
    let stats = scene.cache.stats();
    assert!(stats.segments_freed > stats.segments, "the log went round: {stats:?}");
    assert!(
        left > 0 && stats.moved_bytes > 0,
        "{left} of those that stand still were there to the end, and were moved: {stats:?}"
    );
}

#[test]
fn while_entries_are_evicted() {
    let mut scene = Scene::new(1 << 20, 2000);
    looks(&mut scene, lengths(2_000, 60_000));
    let stats = scene.cache.stats();
    assert!(stats.evicted_unused + stats.evicted_used > 1000, "{stats:?}");
}

/// An iteration begun before a `clear` gives nothing that it has not met by then.
#[test]
fn a_clear_ends_what_an_iteration_gives() {
    let cache = Cache::builder().capacity(4 << 20).anonymous().expect("a cache");
    for id in STILL {
        stored(&cache, id, 0, 50);
    }
    let mut entries = cache.iter();
    assert!(entries.next().is_some());
    cache.clear();
    stored(&cache, 1, 1, 50);
    // Those of the bucket that was being looked at are copies already.
    let rest: Vec<_> = entries.by_ref().map(|(bytes, found)| (id_of(&bytes), check(id_of(&bytes), &found))).collect();
    assert!(rest.len() < 10, "{rest:?}");
    assert!(entries.next().is_none() && entries.next().is_none(), "it stays at its end");
    assert_eq!(cache.iter().count(), 1);
}

#[test]
fn iteration_is_no_use() {
    let cache = Cache::builder().capacity(1 << 20).max_entries(5).anonymous().expect("a cache");
    for id in 0..5u64 {
        cache.set(id.to_le_bytes(), "v").expect("set");
    }
    let before = cache.stats();
    for _ in 0..3 {
        assert_eq!((cache.iter().count(), cache.keys().count()), (5, 5));
    }
    assert_eq!((before.hits, before.misses), (cache.stats().hits, cache.stats().misses));
    assert!(cache.get(0u64.to_le_bytes()).is_some());
    // Had they been used in the order of iteration, another would be the oldest.
    for (number, oldest) in [(5u64, 1u64), (6, 2), (7, 3), (8, 4), (9, 0)] {
        assert_eq!(cache.iter().count(), 5);
        cache.set(number.to_le_bytes(), "v").expect("set");
        assert!(!cache.contains(oldest.to_le_bytes()), "{oldest} was the least recently used");
    }
}
