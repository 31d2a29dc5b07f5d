//! What each operation promises, with several processes at once where it makes a difference: counts are exact, of several
//! takers one gets it, nothing that was cleared comes back, iteration gives what is there once.

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common::board::Board;
use common::worker::{Args, Worker, serve};
use common::{Scratch, lengths, wait_until};
use shmemo::{Action, Cache, SetError, Updated};

const WORKERS: usize = 6;
/// Words of the board.
const READY: usize = 0;
const DONE: usize = 1;
const SUM: usize = 2;
const WINS: usize = 8;

#[test]
fn worker_entry() {
    serve(&[
        ("increment", increment),
        ("append", append),
        ("swap", swap),
        ("take", take),
        ("add", add),
        ("evict", evict),
        ("clear reader", clear_reader),
        ("changer", changer),
    ]);
}

/// A cache, a board, and so many workers that begin at the same moment; `meanwhile` runs beside them.
fn crowd(role: &str, capacity: u64, workers: usize, meanwhile: impl FnOnce(&Cache, &Board)) {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let cache = Cache::builder().capacity(capacity).create_new(&path).expect("a cache");
    let board = Board::create(&board_path);
    let text = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (path, board_path, count) = (text(&path), text(&board_path), workers.to_string());
    let workers: Vec<Worker> =
        (0..workers).map(|number| Worker::spawn(role, &[&path, &board_path, &number.to_string(), &count])).collect();
    meanwhile(&cache, &board);
    workers.into_iter().for_each(Worker::success);
    cache.verify().unwrap_or_else(|corruption| panic!("{corruption}"));
}

/// What a worker begins with: the cache, the board and its number, once all are there.
fn begin(args: &Args) -> (Cache, Board, u64) {
    let (cache, board) = (Cache::open(args.text(0)).expect("the cache"), Board::open(args.text(1).as_ref()));
    board.add(READY, 1);
    wait_until("the others", || board.get(READY) >= args.number(3));
    (cache, board, args.number(2))
}

fn number(value: Option<Vec<u8>>) -> i64 {
    value.map_or(0, |value| i64::from_le_bytes(value.try_into().expect("8 bytes")))
}

/// Two counters that all share, by steps of different size; none may be evicted, as there is room for all.
fn increment(args: &Args) {
    let (cache, board, worker) = begin(args);
    for step in 0..lengths(4000, 200_000) {
        let delta = if step % 3 == 0 { -1 } else { worker as i64 + 1 };
        let key = if step % 2 == 0 { "even" } else { "odd" };
        cache.increment(key, delta, 1000, None).unwrap_or_else(|error| panic!("{error}"));
        board.add(SUM + usize::from(step % 2 == 1), delta as u64);
    }
}

#[test]
fn increments_by_many_are_exact() {
    crowd("increment", 8 << 20, WORKERS, |cache, board| {
        wait_until("the workers", || board.get(READY) == WORKERS as u64);
        // Segments come and go meanwhile: other keys wrap the log, and the counters are moved, not lost.
        (0..2000u32).for_each(|i| cache.set(i.to_le_bytes(), [1; 100]).expect("set"));
    });
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let cache = Cache::builder().capacity(8 << 20).create_new(&path).expect("a cache");
    let board = Board::create(&board_path);
    let args = |worker: usize| [path.display().to_string(), board_path.display().to_string(), worker.to_string(), "6".into()];
    let workers: Vec<Worker> =
        (0..WORKERS).map(|worker| Worker::spawn("increment", &args(worker).each_ref().map(String::as_str))).collect();
    workers.into_iter().for_each(Worker::success);
    assert_eq!(cache.stats().evicted_unused + cache.stats().evicted_used, 0, "there was room");
    assert_eq!(number(cache.get("even")), 1000 + board.get(SUM) as i64);
    assert_eq!(number(cache.get("odd")), 1000 + board.get(SUM + 1) as i64);
}

/// Each worker counts its own steps in a common list, by `update`.
fn append(args: &Args) {
    let (cache, _, worker) = begin(args);
    for _ in 0..lengths(1500, 30_000) {
        let bump = |old: Option<&[u8]>| {
            let mut list = old.map_or_else(|| vec![0; WORKERS * 8], <[u8]>::to_vec);
            let place = &mut list[worker as usize * 8..][..8];
            let count = u64::from_le_bytes(place.try_into().expect("8 bytes")) + 1;
            place.copy_from_slice(&count.to_le_bytes());
            Action::Set(list)
        };
        assert_eq!(cache.update("list", bump).unwrap_or_else(|error| panic!("{error}")), Updated::Stored);
    }
}

#[test]
fn updates_by_many_lose_nothing() {
    crowd("append", 4 << 20, WORKERS, |cache, board| {
        let steps = lengths(1500u64, 30_000);
        wait_until("the workers", || board.get(READY) == WORKERS as u64);
        wait_until("all steps", || {
            let list = cache.get("list").unwrap_or_else(|| vec![0; 8]);
            list.chunks(8).all(|count| count == steps.to_le_bytes())
        });
    });
}

fn swap(args: &Args) {
    let (cache, board, _) = begin(args);
    let mut won = 0;
    while won < lengths(1000, 20_000) {
        let Some((value, version)) = cache.get_versioned("n") else {
            cache.add("n", 0i64.to_le_bytes(), None).unwrap_or_else(|error| panic!("{error}"));
            continue;
        };
        let next = number(Some(value)) + 1;
        match cache.compare_and_swap("n", version, next.to_le_bytes(), None) {
            Ok(true) => won += 1,
            Ok(false) => {}
            Err(error) => panic!("{error}"),
        }
    }
    board.add(WINS, won);
}

#[test]
fn swaps_by_many_lose_nothing() {
    crowd("swap", 4 << 20, WORKERS, |cache, board| {
        let total = WORKERS as u64 * lengths(1000, 20_000);
        wait_until("the workers", || board.get(WINS) == total);
        assert_eq!(number(cache.get("n")), total as i64);
    });
}

/// Rounds in which the first worker offers, and all try to take.
fn take(args: &Args) {
    let (cache, board, worker) = begin(args);
    for round in 0..lengths(1500u64, 30_000) {
        let key = round.to_le_bytes();
        if worker == 0 {
            cache.set(key, round.to_le_bytes()).expect("set");
            board.add(SUM, 1);
        }
        wait_until_hot(&board, SUM, round + 1);
        if let Some(value) = cache.take(key) {
            assert_eq!(value, round.to_le_bytes());
            board.add(WINS, 1);
        }
        assert!(!cache.contains(key), "it was taken");
        let count = args.number(3);
        board.add(DONE, 1);
        wait_until_hot(&board, DONE, (round + 1) * count);
        assert_eq!(board.get(WINS), round + 1, "one gets it");
        board.add(DONE + 2, 1);
        wait_until_hot(&board, DONE + 2, (round + 1) * count);
    }
}

/// Waits without sleeping long, so that the processes meet at the same moment.
fn wait_until_hot(board: &Board, word: usize, value: u64) {
    let start = Instant::now();
    while board.get(word) < value {
        assert!(start.elapsed() < common::PATIENCE, "the others never came");
        std::thread::yield_now();
    }
}

#[test]
fn of_many_takers_one_gets_it() {
    crowd("take", 4 << 20, 4, |_, _| {});
}

fn add(args: &Args) {
    let (cache, board, worker) = begin(args);
    for round in 0..lengths(1500u64, 30_000) {
        let (key, count) = (round.to_le_bytes(), args.number(3));
        if cache.add(key, worker.to_le_bytes(), None).unwrap_or_else(|error| panic!("{error}")) {
            board.add(WINS, 1);
            board.set(SUM, worker);
        }
        board.add(DONE, 1);
        wait_until_hot(&board, DONE, (round + 1) * count);
        assert_eq!(board.get(WINS), round + 1, "one succeeds");
        assert_eq!(cache.get(key).as_deref(), Some(&board.get(SUM).to_le_bytes()[..]), "its value is there");
        assert!(!cache.add(key, "late", None).expect("add"));
        board.add(DONE + 2, 1);
        wait_until_hot(&board, DONE + 2, (round + 1) * count);
    }
}

#[test]
fn of_many_adders_one_succeeds() {
    crowd("add", 4 << 20, 4, |_, _| {});
}

/// Writes the number of the last clear that it knew to have ended before it began to write.
fn evict(args: &Args) {
    let (cache, board, worker) = begin(args);
    let mut step = worker;
    while board.get(DONE) == 0 {
        step += 7;
        let cleared = board.get(SUM);
        cache.set((step % 3000).to_le_bytes(), [cleared.to_le_bytes(), [0; 8]].concat().repeat(10)).expect("set");
    }
}

/// After a clear has ended, whatever is read was written after it began: values carry the number of clears that had begun.
fn clear_reader(args: &Args) {
    if args.number(2).is_multiple_of(2) {
        return evict(args);
    }
    let (cache, board, _) = begin(args);
    let mut reads = 0u64;
    let mut step = 0u64;
    while board.get(DONE) == 0 {
        step += 1;
        // Entries of the mark are written by none but the clearer, before each clear: gone once the clear is over.
        let ended = board.get(SUM + 1);
        if let Some(mark) = cache.get("mark") {
            let mark = number(Some(mark)) as u64;
            assert!(mark >= ended, "a mark from before clear {mark} was read after clear {ended} had ended");
            reads += 1;
        }
        let ended = board.get(SUM + 1);
        for (key, mark) in [("a", cache.get("a")), ("b", cache.get("b"))] {
            let Some(mark) = mark else { continue };
            assert!(number(Some(mark)) as u64 >= ended, "{key} came back");
        }
        // Within one clear all go at the same instant: once one is seen to be gone the other is gone too.
        if step.is_multiple_of(16) && ended.is_multiple_of(2) {
            std::thread::yield_now();
        }
    }
    board.add(WINS, reads);
}

#[test]
fn what_was_cleared_never_comes_back() {
    crowd("clear reader", 2 << 20, 4, |cache, board| {
        wait_until("the workers", || board.get(READY) == 4);
        for clear in 0..lengths(3000u64, 60_000) {
            // The mark says how many clears had ended when it was written.
            for key in ["mark", "a", "b"] {
                cache.set(key, clear.to_le_bytes()).expect("set");
            }
            board.set(SUM, clear + 1);
            cache.clear();
            assert_eq!(["mark", "a", "b"].map(|key| cache.contains(key)), [false; 3]);
            board.set(SUM + 1, clear + 1);
        }
        board.set(DONE, 1);
    });
}

/// Changes and adds keys of its own for as long as the parent looks.
fn changer(args: &Args) {
    let (cache, board, worker) = begin(args);
    let mut step = 0u64;
    while board.get(DONE) == 0 {
        step += 1;
        let key = format!("changing {worker} {}", step % 500);
        match step % 3 {
            0 => drop(cache.remove(&key)),
            _ => cache.set(&key, vec![1; (step % 200) as usize]).expect("set"),
        }
    }
}

#[test]
fn iteration_gives_what_is_there_throughout_once() {
    crowd("changer", 8 << 20, 3, |cache, board| {
        let keys = 5000u64;
        for key in 0..keys {
            cache.set(format!("stays {key}"), key.to_le_bytes()).expect("set");
        }
        wait_until("the workers", || board.get(READY) == 3);
        for round in 0..lengths(20u64, 400) {
            let mut seen: HashMap<Vec<u8>, u32> = HashMap::new();
            for (key, value) in cache {
                if let Some(id) = key.strip_prefix(b"stays ") {
                    let id: u64 = std::str::from_utf8(id).expect("UTF-8").parse().expect("a number");
                    assert!(value == id.to_le_bytes() || value == (id + 1).to_le_bytes(), "{id}");
                    *seen.entry(key).or_default() += 1;
                }
            }
            assert_eq!(seen.len() as u64, keys, "some are missing");
            assert!(seen.values().all(|&times| times == 1), "some came twice");
            assert_eq!(cache.keys().filter(|key| key.starts_with(b"stays ")).count() as u64, keys);
            // A value that is replaced stays in its place.
            cache.set(format!("stays {round}"), (round + 1).to_le_bytes()).expect("set");
        }
        board.set(DONE, 1);
        assert_eq!(cache.stats().evicted_unused + cache.stats().evicted_used + cache.stats().evicted_by_full_bucket, 0);
    });
}

#[test]
fn versions_are_kept_by_touch_and_changed_by_everything_else() {
    let cache = Cache::builder().capacity(1 << 20).anonymous().expect("a cache");
    let version = |cache: &Cache| cache.get_versioned("k").expect("there").1;
    cache.set("k", "0").expect("set");
    let first = version(&cache);
    assert_eq!(version(&cache), first, "reading changes nothing");
    assert!(cache.touch("k", Some(Duration::from_secs(50))) && cache.touch("k", None));
    assert_eq!(version(&cache), first, "a touch keeps it");
    let mut seen = vec![first];
    let changes: [&dyn Fn(&Cache); 6] = [
        &|cache| cache.set("k", "0").expect("set"),
        &|cache| assert!(cache.replace("k", "0", None).expect("replace")),
        &|cache| assert_eq!(cache.update("k", |_| Action::Set(b"0".to_vec())).expect("update"), Updated::Stored),
        &|cache| {
            cache.remove("k");
            cache.set("k", "0").expect("set");
        },
        &|cache| {
            let (_, version) = cache.get_versioned("k").expect("there");
            assert!(cache.compare_and_swap("k", version, "0", None).expect("cas"));
        },
        &|cache| {
            cache.set("k", 0i64.to_le_bytes()).expect("set");
            let _ = cache.get_versioned("k");
            cache.increment("k", 1, 0, None).expect("increment");
        },
    ];
    for (index, change) in changes.iter().enumerate() {
        let old = version(&cache);
        change(&cache);
        assert!(!cache.compare_and_swap("k", old, "stale", None).expect("cas"), "change {index}");
        let new = version(&cache);
        assert!(!seen.contains(&new), "change {index} gave a version that there was before");
        seen.push(new);
    }
    // Moves by the cache keep it, too.
    let kept = version(&cache);
    for i in 0..20_000u32 {
        cache.set(i.to_le_bytes(), [0; 400]).expect("set");
        let _ = cache.get("k");
    }
    assert_eq!(cache.get_versioned("k").map(|(_, version)| version), Some(kept));
    assert!(cache.compare_and_swap("k", kept, "new", None).expect("cas"));
}

#[test]
fn many_at_once() {
    let cache = Cache::builder().capacity(4 << 20).anonymous().expect("a cache");
    let pairs: Vec<(String, Vec<u8>)> = (0..1000).map(|i| (format!("key {i}"), vec![i as u8; i % 300])).collect();
    cache.set_many(pairs.iter().filter(|(key, _)| !key.ends_with('7')).map(|(key, value)| (key, value))).expect("set_many");
    let mut calls = 0;
    cache.get_many(pairs.iter().map(|(key, _)| key), |index, value| {
        assert_eq!(index, calls, "in order, each once");
        calls += 1;
        let (key, expected) = &pairs[index];
        assert_eq!(value, (!key.ends_with('7')).then_some(expected.as_slice()), "{key}");
    });
    assert_eq!(calls, pairs.len());
    cache.get_many(std::iter::empty::<&str>(), |_, _| panic!("there is no key"));
    // One that does not fit is told of, and the others are stored all the same.
    let long = vec![0; cache.max_value_len() + 1];
    let result = cache.set_many([("x", &b"1"[..]), ("key 1", &long), ("y", b"2")]);
    assert!(matches!(result, Err(SetError::ValueTooLarge { .. })), "{result:?}");
    assert_eq!((cache.get("x").is_some(), cache.get("key 1"), cache.get("y").is_some()), (true, None, true));
}
