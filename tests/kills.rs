//! Workers are killed and stopped at random moments of their traffic. Whatever one was in the middle of: the others go on at
//! once, no value is torn, and afterwards the whole file can be used as if it were new.

mod common;

use std::time::{Duration, Instant};

use common::board::Board;
use common::crowd::{Crowd, is_like_new};
use common::load::{Driver, Load, check_all};
use common::worker::{Args, serve};
use common::{Scratch, lengths};
use shmemo::{Builder, Cache};

#[test]
fn worker_entry() {
    serve(&[("busy", busy)]);
}

/// Short entries, so that nearly all of a worker's time is spent inside the cache.
fn load(cache: &Cache) -> Load {
    let longest_value = cache.max_value_len();
    Load { keys: cache.capacity() >> 8, usual_len: 300, longest_key: 200, longest_value, one_long_in: 100, one_clear_in: 20_000 }
}

fn busy(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    let board = Board::open(args.text(1).as_ref());
    let (place, number) = (args.number(2) as usize, args.number(3));
    let mut driver = Driver::new(&cache, load(&cache), number);
    loop {
        driver.step();
        board.add(place, 1);
    }
}

/// A few large segments: one that is lost is missed.
fn few_segments() -> Builder {
    Cache::builder().capacity(1 << 20)
}

/// Many small ones.
fn many_segments() -> Builder {
    Cache::builder().capacity(4 << 20).max_value_len(8 << 10)
}

fn survives_kills(builder: Builder, kills: u32) {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let cache = builder.clone().create_new(&path).expect("a cache");
    let mut crowd = Crowd::new("busy", &scratch, &path, 4);
    let mut observer = Driver::new(&cache, load(&cache), 1 << 20);
    for kill in 0..kills {
        let place = crowd.any_place();
        if kill % 4 != 0 {
            // In the middle of its traffic; otherwise perhaps while it attaches.
            let before = crowd.board.get(place);
            common::wait_until("a worker's first step", || crowd.board.get(place) > before);
        }
        std::thread::sleep(Duration::from_micros(crowd.rng.below(6_000)));
        crowd.workers[place].take().expect("a worker").kill();
        // Somebody who was there all the time goes on, too.
        (0..20).for_each(|_| observer.step());
        crowd.start(place);
        if kill % 50 == 0 {
            cache.verify().unwrap_or_else(|corruption| panic!("after {kill} kills: {corruption}"));
            crowd.everybody_goes_on(&[]);
        }
    }
    crowd.everybody_goes_on(&[]);
    crowd.kill_all();
    drop((cache, observer));
    check_all(&Cache::open(&path).expect("the cache"));
    is_like_new(builder, &path);
}

#[test]
fn kills_with_few_segments() {
    survives_kills(few_segments(), lengths(250, 5_000));
}

#[test]
fn kills_with_many_segments() {
    survives_kills(many_segments(), lengths(250, 5_000));
}

#[test]
fn stopped_workers_block_nobody() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    // A stopped writer may hold two of the segments.
    let builder = many_segments();
    let cache = builder.clone().create_new(&path).expect("a cache");
    let mut crowd = Crowd::new("busy", &scratch, &path, 5);
    let mut observer = Driver::new(&cache, load(&cache), 1 << 20);
    for round in 0..lengths(150, 3_000) {
        let count = 1 + round % 4;
        let mut stopped: Vec<usize> = (0..count).map(|_| crowd.any_place()).collect();
        stopped.sort_unstable();
        stopped.dedup();
        std::thread::sleep(Duration::from_micros(crowd.rng.below(3_000)));
        stopped.iter().for_each(|&place| crowd.worker(place).stop());
        crowd.everybody_goes_on(&stopped);
        let start = Instant::now();
        (0..300).for_each(|_| observer.step());
        assert!(start.elapsed() < Duration::from_secs(10), "300 steps took {:?} while {stopped:?} stood still", start.elapsed());
        if round % 3 == 0 {
            // Some never go on.
            for &place in &stopped {
                crowd.workers[place].take().expect("a worker").kill();
                crowd.start(place);
            }
        } else {
            stopped.iter().for_each(|&place| crowd.worker(place).go_on());
        }
    }
    crowd.everybody_goes_on(&[]);
    let stats = cache.stats();
    assert_eq!(stats.dropped, 0, "four stopped processes hold at most eight of the segments: {stats:?}");
    crowd.kill_all();
    drop((cache, observer));
    check_all(&Cache::open(&path).expect("the cache"));
    is_like_new(builder, &path);
}

/// With few segments the stopped may hold them all: writes are then dropped, but nothing is wrong and nobody waits.
#[test]
fn all_but_one_stopped_with_few_segments() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let builder = few_segments();
    let cache = builder.clone().create_new(&path).expect("a cache");
    let mut crowd = Crowd::new("busy", &scratch, &path, 12);
    for round in 0..lengths(25, 500) {
        let free = crowd.any_place();
        let stopped: Vec<usize> = (0..12).filter(|&place| place != free).collect();
        stopped.iter().for_each(|&place| crowd.worker(place).stop());
        crowd.everybody_goes_on(&stopped);
        if round % 5 == 0 {
            let killed = stopped[round as usize % stopped.len()];
            crowd.workers[killed].take().expect("a worker").kill();
            crowd.start(killed);
        }
        stopped.iter().filter(|&&place| crowd.workers[place].is_some()).for_each(|&place| {
            crowd.workers[place].as_ref().expect("a worker").go_on();
        });
        crowd.everybody_goes_on(&[]);
    }
    crowd.kill_all();
    drop(cache);
    check_all(&Cache::open(&path).expect("the cache"));
    is_like_new(builder, &path);
}
