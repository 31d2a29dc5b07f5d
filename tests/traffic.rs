//! Several processes write and read one file while it evicts: no value is torn or another key's, nobody hangs, enough is
//! found again, and in the end the file is in order.

mod common;

use std::time::{Duration, Instant};

use common::board::Board;
use common::load::{Driver, Load, check_all};
use common::worker::{Args, Worker, serve};
use common::{PATIENCE, Scratch, lengths};
use shmemo::{Cache, Stats};

/// Words of the board for each worker.
const WORDS: usize = 4;

#[test]
fn worker_entry() {
    serve(&[("traffic", traffic)]);
}

fn load(cache: &Cache) -> Load {
    let longest_key = cache.max_key_len();
    let longest_value = cache.max_value_len();
    Load { keys: cache.capacity() >> 8, usual_len: 700, longest_key, longest_value, one_long_in: 150, one_clear_in: 0 }
}

fn has_wrapped(stats: &Stats) -> bool {
    stats.segments_freed > stats.segments * 5
}

fn traffic(args: &Args) {
    let (path, number, millis) = (args.text(0), args.number(2), args.number(3));
    let cache = Cache::open(path).expect("the cache");
    let board = Board::open(args.text(1).as_ref());
    let mut driver = Driver::new(&cache, load(&cache), number);
    let begin = Instant::now();
    // On a busy machine it takes longer until the file was used several times over.
    while begin.elapsed() < Duration::from_millis(millis) || !has_wrapped(&cache.stats()) && begin.elapsed() < PATIENCE {
        driver.step();
        let at = number as usize * WORDS;
        board.add(at, 1);
        board.set(at + 1, driver.tally.gets);
        board.set(at + 2, driver.tally.hits);
        board.set(at + 3, driver.tally.busy);
    }
}

/// Runs so many workers and checks what they leave.
fn run(processes: usize, capacity: u64, millis: u64) {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let cache = Cache::builder().capacity(capacity).create_new(&path).expect("a cache");
    let board = Board::create(&board_path);
    let text = |path: &std::path::Path| path.to_str().expect("a path in UTF-8").to_owned();
    let (path, board_path, millis) = (text(&path), text(&board_path), millis.to_string());
    let workers: Vec<Worker> =
        (0..processes).map(|number| Worker::spawn("traffic", &[&path, &board_path, &number.to_string(), &millis])).collect();
    workers.into_iter().for_each(Worker::success);

    let sum = |word: usize| (0..processes).map(|worker| board.get(worker * WORDS + word)).sum::<u64>();
    let (steps, gets, hits, busy) = (sum(0), sum(1), sum(2), sum(3));
    for worker in 0..processes {
        assert!(board.get(worker * WORDS) >= 20, "worker {worker} of {processes} hardly came to anything");
    }
    let stats = cache.stats();
    println!("{processes} processes: {steps} steps, {busy} busy, hits {:.3}, {stats:?}", hits as f64 / gets as f64);
    assert!(has_wrapped(&stats), "the file did not wrap: {stats:?}");
    assert!(hits * 100 > gets * 55, "{hits} hits of {gets}: {stats:?}");
    assert!(busy * 1000 <= steps, "{busy} of {steps} operations were refused as busy");
    let report = cache.verify().unwrap_or_else(|corruption| panic!("{corruption}"));
    check_all(&cache);
    assert_eq!(report.unfinished, 0, "nothing is under way, and nobody died");
    assert_eq!(report.count_drift, 0, "nobody died");
    assert_eq!(stats.segments_held, 0, "nobody holds anything between operations");
    assert_eq!(cache.stats().processes, 1, "those who left gave their lines back");
    assert_eq!(report.entries, cache.len());
    // What has expired counts until somebody meets it.
    assert!(cache.iter().count() <= cache.len());
    cache.clear();
    assert_eq!((cache.len(), cache.iter().count()), (0, 0));
    for number in 0..1000u64 {
        cache.set(number.to_le_bytes(), [1; 100]).expect("set");
    }
    assert_eq!(cache.len(), cache.iter().count());
}

#[test]
fn two_processes() {
    run(2, 1 << 20, lengths(3_000, 60_000));
}

#[test]
fn eight_processes() {
    run(8, 2 << 20, lengths(5_000, 120_000));
}

#[test]
fn thirty_two_processes() {
    run(32, 4 << 20, lengths(12_000, 240_000));
}
