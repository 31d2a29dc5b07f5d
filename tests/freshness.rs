//! Workers are killed and stopped at random moments, and no value comes back: each key has one worker that writes it, who knows
//! what it wrote last, and all read all keys. What a worker that died was about to write or to remove counts as done or as not begun.

mod common;

use std::time::Duration;

use common::board::Board;
use common::crowd::{Crowd, is_like_new};
use common::worker::{Args, Worker, serve};
use common::{Rng, Scratch, lengths, value};
use shmemo::{Action, Builder, Cache, SetError};

#[test]
fn worker_entry() {
    serve(&[("owner", owner)]);
}

const WORKERS: usize = 4;
const KEYS: usize = 1500;
/// Where the numbers of the keys begin on the board; the steps of the workers stand before them.
const NUMBERS: usize = 64;
/// Numbers grow by two with each write; an odd one says that the key was removed.
const REMOVED: u64 = 1;

/// A worker and the keys that it alone writes.
struct Owner {
    cache: Cache,
    board: Board,
    place: usize,
    rng: Rng,
}

impl Owner {
    /// What was done with a key last, and what was begun.
    fn numbers(&self, key: usize) -> [u64; 2] {
        [0, 1].map(|which| self.board.get(NUMBERS + key * 2 + which))
    }

    fn begin(&self, key: usize, number: u64) {
        self.board.set(NUMBERS + key * 2 + 1, number);
    }

    fn done(&self, key: usize, number: u64) {
        self.begin(key, number);
        self.board.set(NUMBERS + key * 2, number);
    }

    fn number_of(key: usize, found: &[u8]) -> u64 {
        value::check(key as u64, found).unwrap_or_else(|wrong| panic!("{wrong}"))
    }

    /// What this worker finds of a key of its own is what it wrote last.
    fn is_last(key: usize, last: u64, found: &[u8]) {
        assert_eq!(last & REMOVED, 0, "key {key} was removed, and is there");
        assert_eq!(Self::number_of(key, found), last, "key {key}");
    }

    /// The one before this one died in the middle of something: that is done, or was not begun, and nothing else.
    fn settle(&self) {
        for key in (self.place..KEYS).step_by(WORKERS) {
            let [last, begun] = self.numbers(key);
            if last != begun {
                if let Some(found) = self.cache.get(key.to_le_bytes()) {
                    let number = Self::number_of(key, &found);
                    assert!([last, begun].contains(&number), "key {key}: {number}, and was {last} or {begun}");
                }
                self.cache.remove(key.to_le_bytes());
                self.done(key, (begun | REMOVED) + 2);
            }
        }
    }

    fn step(&mut self) {
        let all = self.rng.skewed(KEYS as u64) as usize;
        let key = (all / WORKERS * WORKERS + self.place).min(KEYS - WORKERS + self.place);
        match self.rng.below(100) {
            0..30 => self.read_any(all),
            30..55 => self.cache.get(key.to_le_bytes()).iter().for_each(|found| Self::is_last(key, self.numbers(key)[0], found)),
            55..82 => self.write(key),
            82..92 => self.remove(key),
            92..96 => _ = self.cache.touch(key.to_le_bytes(), Some(Duration::from_millis(300 + self.rng.below(1000)))),
            96..99 => self.swap(key),
            _ if self.rng.below(200) == 0 => self.clear(),
            _ => {}
        }
    }

    /// Not older than what its worker had done before this read, and not newer than what it had begun after it.
    fn read_any(&self, key: usize) {
        let before = self.numbers(key)[0];
        if let Some(found) = self.cache.get(key.to_le_bytes()) {
            let number = Self::number_of(key, &found);
            // What was begun and came to nothing is taken back on the board, but had not been stored.
            let [done, begun] = self.numbers(key);
            assert!(
                number >= before && number <= done.max(begun),
                "key {key}: {number} after {before}, before {done} or {begun}"
            );
        }
    }

    fn write(&mut self, key: usize) {
        let last = self.numbers(key)[0];
        let number = (last & !REMOVED) + 2;
        let longest = if self.rng.below(50) == 0 { self.cache.max_value_len() as u64 } else { 1200 };
        let len = value::STAMPED + self.rng.below(longest - value::STAMPED as u64) as usize;
        let (name, new) = (key.to_le_bytes(), value::value(key as u64, number, len));
        self.begin(key, number);
        let is_stored = match self.rng.below(5) {
            0 => self.cache.add(name, new, None),
            1 => self
                .cache
                .update(name, |old| {
                    old.iter().for_each(|old| Self::is_last(key, last, old));
                    Action::Set(new.clone())
                })
                .map(|_| true),
            2 => self.cache.set_with_ttl(name, new, Duration::from_millis(1 + self.rng.below(200))).map(|()| true),
            _ => self.cache.set(name, new).map(|()| true),
        };
        match is_stored {
            Ok(true) => self.done(key, number),
            Ok(false) => {
                assert_eq!(last & REMOVED, 0, "key {key} was removed, and `add` found it");
                self.begin(key, last);
            }
            Err(SetError::Busy) => self.begin(key, last),
            Err(error) => panic!("{error}"),
        }
    }

    fn remove(&mut self, key: usize) {
        let (last, name) = (self.numbers(key)[0], key.to_le_bytes());
        self.begin(key, (last | REMOVED) + 2);
        if self.rng.below(2) == 0 {
            self.cache.remove(name);
        } else {
            self.cache.take(name).iter().for_each(|found| Self::is_last(key, last, found));
        }
        assert_eq!(self.cache.take(name), None, "key {key} was removed");
        self.done(key, (last | REMOVED) + 2);
    }

    fn swap(&self, key: usize) {
        let (last, name) = (self.numbers(key)[0], key.to_le_bytes());
        let Some((found, version)) = self.cache.get_versioned(name) else { return };
        Self::is_last(key, last, &found);
        let number = last + 2;
        self.begin(key, number);
        match self.cache.compare_and_swap(name, version, value::value(key as u64, number, 100), None) {
            Ok(true) => self.done(key, number),
            Ok(false) | Err(SetError::Busy) => self.begin(key, last),
            Err(error) => panic!("{error}"),
        }
    }

    fn clear(&self) {
        self.cache.clear();
        for key in (self.place..KEYS).step_by(WORKERS) {
            assert_eq!(self.cache.get(key.to_le_bytes()), None, "key {key} was cleared");
        }
    }
}

fn owner(args: &Args) {
    let (cache, board) = (Cache::open(args.text(0)).expect("the cache"), Board::open(args.text(1).as_ref()));
    let mut owner = Owner { cache, board, place: args.number(2) as usize, rng: Rng::from_time() };
    owner.settle();
    loop {
        owner.step();
        owner.board.add(owner.place, 1);
    }
}

fn nothing_comes_back(builder: Builder) {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let cache = builder.clone().create_new(&path).expect("a cache");
    let mut crowd = Crowd::new("owner", &scratch, &path, WORKERS);
    for round in 0..lengths(100u64, 2500) {
        let place = crowd.any_place();
        let pause = crowd.rng.below(5_000);
        std::thread::sleep(Duration::from_micros(pause));
        if round % 3 == 0 {
            let other = crowd.any_place();
            [place, other].iter().for_each(|&place| crowd.worker(place).stop());
            crowd.everybody_goes_on(&[place, other]);
            [place, other].iter().for_each(|&place| crowd.worker(place).go_on());
        } else {
            crowd.workers[place].take().map(Worker::kill).expect("a worker");
            crowd.start(place);
        }
        if round % 20 == 0 {
            crowd.everybody_goes_on(&[]);
            let report = cache.verify().unwrap_or_else(|corruption| panic!("after {round} rounds: {corruption}"));
            // Each looks at another moment than the last; a few may have come meanwhile.
            assert!(cache.max_entries().is_none_or(|most| report.entries as u64 <= most + 64), "{report:?}");
        }
    }
    crowd.everybody_goes_on(&[]);
    crowd.kill_all();
    drop(cache);
    is_like_new(builder, &path);
}

#[test]
fn where_segments_are_few() {
    nothing_comes_back(Cache::builder().capacity(1 << 20));
}

#[test]
fn where_entries_are_bounded() {
    nothing_comes_back(Cache::builder().capacity(2 << 20).max_entries(700).max_value_len(8 << 10));
}

#[test]
fn where_the_order_of_use_is_exact() {
    nothing_comes_back(Cache::builder().capacity(1 << 20).max_entries(50));
}

#[test]
fn where_everything_expires_and_buckets_are_full() {
    nothing_comes_back(Cache::builder().capacity(1 << 20).expected_entry_size(4096).default_ttl(Duration::from_millis(300)));
}
