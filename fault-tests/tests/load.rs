//! Others are at work on the same file all the time. Whoever dies or stops, at whatever step, they go on.
#![cfg(shmemo_fault)]

use std::time::Instant;

use fault_tests::common::board::Board;
use fault_tests::common::forked::Forked;
use fault_tests::common::load::{Driver, Load};
use fault_tests::common::{Scratch, lengths, now_ns, wait_until};
use fault_tests::fixture::LONGEST;
use fault_tests::harness::{alone, attach, count_steps, die_at, stop_at};
use fault_tests::scenario::{LONG_RUNS, SINGLE, Scenario};
use shmemo::Cache;
use shmemo::fault::{Action, arm, disarm, steps_taken};

const WORKERS: usize = 2;
/// Words of the board: operations of each worker, and the longest of each in nanoseconds.
const DONE: usize = 0;
const LONGEST_NS: usize = 64;

fn work(cache: &Cache, board: &Board, place: usize) {
    let load = Load {
        keys: 4000,
        usual_len: 300,
        longest_key: 200,
        longest_value: cache.max_value_len(),
        one_long_in: 100,
        one_clear_in: 20_000,
    };
    let mut driver = Driver::new(cache, load, place as u64 + 1);
    loop {
        let begin = now_ns();
        driver.step();
        let took = now_ns() - begin;
        if took > board.get(LONGEST_NS + place) {
            board.set(LONGEST_NS + place, took);
        }
        board.add(DONE + place, 1);
    }
}

fn done(board: &Board) -> [u64; WORKERS] {
    std::array::from_fn(|place| board.get(DONE + place))
}

/// Waits until each worker has done something since.
fn everybody_goes_on(board: &Board, since: [u64; WORKERS]) {
    wait_until("the others to go on", || done(board).iter().zip(since).all(|(now, then)| *now > then));
}

fn check(name: &str, board: &Board, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    let rates: Vec<u64> = done(board).iter().map(|done| (*done as f64 / seconds) as u64).collect();
    let longest = (0..WORKERS).map(|place| board.get(LONGEST_NS + place)).max().unwrap_or(0);
    println!("{name}: operations each second of each worker {rates:?}, the longest took {:.3} ms", longest as f64 / 1e6);
    assert!(u128::from(longest) < LONGEST.as_nanos(), "an operation took {longest} ns");
}

/// Runs a disturbance at some steps of every scenario, beside the workers.
fn beside_workers(name: &str, disturb: impl Fn(&Scenario, &Cache, u64, &Board)) {
    let _turn = alone();
    let scratch = Scratch::new();
    let board = Board::create(&scratch.path("board"));
    let cache = Cache::builder().capacity(4 << 20).max_processes(64).create_new(scratch.path("cache")).expect("a cache");
    let workers: Vec<Forked> = (0..WORKERS).map(|place| Forked::spawn(|| work(&cache, &board, place))).collect();
    everybody_goes_on(&board, [0; WORKERS]);
    let began = Instant::now();
    for scenario in SINGLE.iter().chain(LONG_RUNS) {
        let steps = count_steps(scenario, &scratch.path("count")).len() as u64;
        for step in (0..steps).step_by((steps as usize / lengths(6, 100)).max(1)) {
            // The file of the workers is of one kind: what matters here is only that somebody stands in the middle.
            cache.set("target", "old").expect("set");
            disturb(scenario, &cache, step, &board);
        }
    }
    check(name, &board, began);
    workers.into_iter().for_each(Forked::kill);
    cache.verify().expect("no corruption");
}

#[test]
fn deaths() {
    beside_workers("deaths", |scenario, cache, step, board| {
        die_at(step, || attach(cache), || (scenario.act)(cache));
        everybody_goes_on(board, done(board));
    });
}

#[test]
fn stops() {
    beside_workers("stops", |scenario, cache, step, board| {
        if let Some(stopped) = stop_at(step, || attach(cache), || (scenario.act)(cache)) {
            everybody_goes_on(board, done(board));
            stopped.kill();
        }
    });
}

/// Several stand still in the middle of a write, more than there are processors.
#[test]
fn ten_stop_at_once() {
    beside_workers("ten stopped at once", |scenario, cache, step, board| {
        if step != 0 {
            return;
        }
        let stopped: Vec<Forked> = (0..10).filter_map(|more| stop_at(more, || attach(cache), || (scenario.act)(cache))).collect();
        everybody_goes_on(board, done(board));
        stopped.into_iter().for_each(Forked::kill);
    });
}

/// How many steps one operation of this process takes in the mean. No clock: others on the machine cannot disturb it.
fn steps_of_one(cache: &Cache, from: u64) -> f64 {
    const OPERATIONS: u64 = 40_000;
    arm(0, Action::Count);
    for number in from..from + OPERATIONS {
        cache.set(number.to_le_bytes(), [number as u8; 500]).expect("set");
        cache.get((number - number % 7).to_le_bytes());
    }
    disarm();
    steps_taken() as f64 / OPERATIONS as f64
}

/// The others go on at full speed: an operation takes as many steps as before, while ten stand still in the middle of a write, and
/// after they died there.
#[test]
fn the_others_take_no_more_steps() {
    let _turn = alone();
    let scratch = Scratch::new();
    let cache = Cache::builder().capacity(16 << 20).max_value_len(32 << 10).create_new(scratch.path("cache")).expect("a cache");
    let stand_still = |scenario: &Scenario| -> Vec<Forked> {
        let steps = 2..12;
        steps.filter_map(|step| stop_at(step, || attach(&cache), || (scenario.act)(&cache))).collect()
    };
    // The whole file is in use, so that whoever stores makes room, too.
    steps_of_one(&cache, 0);
    let mut tried = 0;
    for scenario in SINGLE.iter().chain(LONG_RUNS).filter(|scenario| scenario.name.starts_with("set")) {
        let before = steps_of_one(&cache, 1_000_000);
        let stopped = stand_still(scenario);
        let beside = steps_of_one(&cache, 2_000_000);
        let count = stopped.len();
        stopped.into_iter().for_each(Forked::kill);
        let after = steps_of_one(&cache, 3_000_000);
        println!(
            "{}: {before:.3} steps, {beside:.3} beside {count} who stand still, {after:.3} after their deaths",
            scenario.name
        );
        assert!(beside < before * 1.15 && after < before * 1.15, "{}", scenario.name);
        tried += usize::from(count == 10);
    }
    assert!(tried > 5, "{tried} scenarios in which ten stood still");
    assert_eq!(cache.stats().segments_held, 0);
    cache.verify().expect("no corruption");
}
