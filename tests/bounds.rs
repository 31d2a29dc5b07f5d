//! `max_entries`: never more entries than that once no call is under way, whoever stores them and whoever dies; and with at most
//! 64, exactly the least recently used one goes.

mod common;

use std::path::Path;

use common::board::Board;
use common::worker::{Args, Worker, serve};
use common::{Rng, Scratch, lengths, wait_until};
use shmemo::{Action, Cache};

#[test]
fn worker_entry() {
    serve(&[("rounds", rounds), ("busy", busy)]);
}

fn bounded(most: u64) -> Cache {
    Cache::builder().capacity(1 << 20).max_entries(most).anonymous().expect("a cache")
}

#[test]
fn of_ten_the_last_five_stay() {
    let cache = bounded(5);
    for number in 0..10u8 {
        cache.set([number], [number]).expect("set");
        assert_eq!(cache.len(), (usize::from(number) + 1).min(5));
    }
    assert!((0..10u8).all(|number| cache.contains([number]) == (number >= 5)));
    assert_eq!((cache.max_entries(), cache.iter().count()), (Some(5), 5));
}

/// What the cache must do: keys in order of their last use, the least recent first.
#[derive(Default)]
struct Model {
    most: usize,
    order: Vec<(u64, Vec<u8>)>,
}

impl Model {
    fn find(&self, key: u64) -> Option<usize> {
        self.order.iter().position(|entry| entry.0 == key)
    }

    fn value(&self, key: u64) -> Option<&Vec<u8>> {
        self.find(key).map(|at| &self.order[at].1)
    }

    fn use_it(&mut self, key: u64) -> Option<Vec<u8>> {
        let entry = self.order.remove(self.find(key)?);
        self.order.push(entry.clone());
        Some(entry.1)
    }

    fn store(&mut self, key: u64, value: Vec<u8>) {
        self.remove(key);
        if self.order.len() == self.most {
            self.order.remove(0);
        }
        self.order.push((key, value));
    }

    fn remove(&mut self, key: u64) -> Option<Vec<u8>> {
        self.find(key).map(|at| self.order.remove(at).1)
    }
}

/// One operation on both. A get, and whatever stores, is a use; a look and a refusal are none.
fn step(cache: &Cache, model: &mut Model, rng: &mut Rng, number: u64) {
    let key = rng.below(model.most as u64 * 2 + 2);
    let name = key.to_le_bytes();
    let value = [number.to_le_bytes().to_vec(), vec![7; rng.below(300) as usize]].concat();
    let is_there = model.find(key).is_some();
    let what = rng.below(16);
    match what {
        0..4 => assert_eq!(cache.get(name), model.use_it(key), "get"),
        4..8 => {
            cache.set(name, &value).expect("set");
            model.store(key, value);
        }
        8 => assert_eq!(cache.remove(name), model.remove(key).is_some(), "remove"),
        9 => assert_eq!(cache.take(name), model.remove(key), "take"),
        10 => {
            assert_eq!(cache.add(name, &value, None).expect("add"), !is_there, "add");
            if !is_there {
                model.store(key, value);
            }
        }
        11 => {
            assert_eq!(cache.replace(name, &value, None).expect("replace"), is_there, "replace");
            if is_there {
                model.store(key, value);
            }
        }
        12 => {
            // Sometimes another time to live, so that something is stored; sometimes maybe the one that it has.
            let ttl = std::time::Duration::from_secs(1000 + number % 1_000_000);
            assert_eq!(cache.touch(name, (!number.is_multiple_of(3)).then_some(ttl)), model.use_it(key).is_some(), "touch");
        }
        13 => {
            cache.update(name, |old| Action::Set([old.unwrap_or(b"new"), b"!"].concat())).expect("update");
            let old = model.value(key).map_or(b"new".to_vec(), Clone::clone);
            model.store(key, [old, b"!".to_vec()].concat());
        }
        14 => {
            let (got, expected) = (cache.get_versioned(name).map(|(value, _)| value), model.use_it(key));
            assert_eq!(got, expected, "get_versioned");
        }
        _ => {
            assert_eq!(cache.contains(name), is_there, "contains");
            assert_eq!(cache.time_to_live(name).is_some(), is_there, "time_to_live");
        }
    }
}

#[test]
fn the_least_recently_used_goes() {
    for most in 1..=64usize {
        let cache = bounded(most as u64);
        let mut model = Model { most, ..Model::default() };
        let seed = Rng::from_time().next();
        let mut rng = Rng::new(seed);
        for number in 0..lengths(1200, 100_000) {
            step(&cache, &mut model, &mut rng, number);
            assert_eq!(cache.len(), model.order.len(), "max_entries {most}, seed {seed}, step {number}");
            if number % 8 == 0 {
                let expected = |key: &u64| cache.contains(key.to_le_bytes()) == model.find(*key).is_some();
                let wrong = (0..most as u64 * 2 + 2).find(|key| !expected(key));
                assert_eq!(wrong, None, "max_entries {most}, seed {seed}, step {number}");
            }
        }
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = cache.iter().collect();
        let mut expected: Vec<_> = model.order.iter().map(|(key, value)| (key.to_le_bytes().to_vec(), value.clone())).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "max_entries {most}, seed {seed}");
        let stats = cache.stats();
        assert_eq!((stats.dropped, stats.evicted_by_full_bucket), (0, 0), "max_entries {most}, seed {seed}: {stats:?}");
        assert_eq!(cache.verify().expect("no corruption").count_drift, 0);
    }
}

/// One store or get with values so large that bytes run out before the entries do. What is there is what was used last: a tail
/// of the order of use, whose length only the cache knows.
fn step_of_large_values(cache: &Cache, order: &mut Vec<u64>, rng: &mut Rng, keys: u64) {
    let key = rng.below(keys);
    let longest = cache.max_value_len() as u64;
    let len = if rng.below(4) == 0 { longest } else { rng.skewed(longest) };
    let is_use = rng.below(3) > 0 && {
        cache.set(key.to_le_bytes(), vec![key as u8; len as usize]).expect("set");
        true
    };
    if is_use || cache.get(key.to_le_bytes()).is_some() {
        order.retain(|&other| other != key);
        order.push(key);
    }
    let first = order.iter().position(|key| cache.contains(key.to_le_bytes()));
    order.drain(..first.unwrap_or(0));
}

#[test]
fn the_least_recently_used_goes_for_want_of_bytes_too() {
    for (most, parts) in [(64, 16), (33, 16), (64, 32), (64, 64), (2, 16)] {
        let builder = Cache::builder().capacity(1 << 20).max_entries(most).max_value_len((1 << 20) / parts);
        let cache = builder.anonymous().expect("a cache");
        let seed = Rng::from_time().next();
        let (mut order, mut rng) = (vec![], Rng::new(seed));
        for number in 0..lengths(3000, 100_000) {
            step_of_large_values(&cache, &mut order, &mut rng, most * 2);
            let gone: Vec<&u64> = order.iter().filter(|key| !cache.contains(key.to_le_bytes())).collect();
            assert!(gone.is_empty(), "{gone:?} went before {}, seed {seed}, step {number}", order[0]);
            assert_eq!(cache.len(), order.len(), "1/{parts}, max_entries {most}, seed {seed}, step {number}");
        }
        let stats = cache.stats();
        assert_eq!((stats.dropped, stats.evicted_by_full_bucket), (0, 0), "1/{parts}, seed {seed}: {stats:?}");
        assert_eq!(cache.verify().expect("no corruption").count_drift, 0);
    }
}

#[test]
fn what_has_expired_goes_before_anything_alive() {
    for most in [2, 5, 64] {
        let cache = bounded(most);
        for round in 0..20u64 {
            // The one that expires is the youngest.
            (1..most).for_each(|key| cache.set(key.to_le_bytes(), "alive").expect("set"));
            let dead = (1 << 40 | round).to_le_bytes();
            cache.set_with_ttl(dead, "dead", std::time::Duration::from_millis(1)).expect("set");
            wait_until("the end of its life", || !cache.contains(dead));
            cache.set(most.to_le_bytes(), "new").expect("set");
            assert!((1..=most).all(|key| cache.contains(key.to_le_bytes())), "{most} entries, round {round}");
            assert_eq!(cache.len() as u64, most);
            cache.remove(most.to_le_bytes());
        }
        let stats = cache.stats();
        assert_eq!((stats.expired, stats.evicted_unused + stats.evicted_used), (20, 0), "{stats:?}");
    }
}

#[test]
fn after_a_clear_there_is_room_for_all_again() {
    for most in [1, 5, 64, 65, 1000] {
        let cache = bounded(most);
        for round in 0..5u64 {
            for key in 0..most {
                cache.set((round << 32 | key).to_le_bytes(), "v").expect("set");
            }
            let stats = cache.stats();
            let lost = stats.evicted_by_full_bucket as usize;
            assert!(cache.len() + lost >= most as usize, "{} of {most} in round {round}: {stats:?}", cache.len());
            assert!(cache.len() <= most as usize);
            cache.clear();
            assert_eq!(cache.len(), 0);
        }
    }
}

/// Words of the board.
const READY: usize = 0;
const ARRIVED: usize = 1;
const ROUND: usize = 2;
const DONE: usize = 3;
const STEPS: usize = 16;

fn traffic(cache: &Cache, rng: &mut Rng, keys: u64) {
    let key = rng.below(keys).to_le_bytes();
    match rng.below(16) {
        0..5 => drop(cache.get(key)),
        5 => drop(cache.remove(key)),
        6 => drop(cache.take(key)),
        7 => drop(cache.add(key, [1; 40], None)),
        8 => drop(cache.increment([&key[..], b"n"].concat(), 1, 0, None)),
        9 => drop(cache.update(key, |_| Action::Set(vec![2; 60]))),
        10 => drop(cache.touch(key, Some(std::time::Duration::from_millis(rng.below(20) + 1)))),
        11 if rng.below(50) == 0 => cache.clear(),
        _ => cache.set(key, vec![3; rng.below(200) as usize]).expect("set"),
    }
}

fn begin(args: &Args) -> (Cache, Board, u64, Rng) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    let most = cache.max_entries().expect("a bound");
    (cache, Board::open(args.text(1).as_ref()), most * 3 + 8, Rng::from_time())
}

/// Rounds of traffic, each ended by a moment in which no call is under way.
fn rounds(args: &Args) {
    let (cache, board, keys, mut rng) = begin(args);
    board.add(READY, 1);
    while board.get(DONE) == 0 {
        let round = board.get(ROUND);
        (0..args.number(2)).for_each(|_| traffic(&cache, &mut rng, keys));
        board.add(ARRIVED, 1);
        wait_until("the next round", || board.get(ROUND) > round || board.get(DONE) > 0);
    }
}

fn busy(args: &Args) {
    let (cache, board, keys, mut rng) = begin(args);
    loop {
        traffic(&cache, &mut rng, keys);
        board.add(args.number(2) as usize, 1);
    }
}

struct Shared {
    cache: Cache,
    board: Board,
    args: [String; 2],
    _scratch: Scratch,
}

fn shared(most: u64) -> Shared {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let cache = Cache::builder().capacity(2 << 20).max_entries(most).create_new(&path).expect("a cache");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    Shared { cache, board: Board::create(&board_path), args: [text(&path), text(&board_path)], _scratch: scratch }
}

impl Shared {
    fn spawn(&self, role: &str, number: u64) -> Worker {
        Worker::spawn(role, &[&self.args[0], &self.args[1], &number.to_string()])
    }

    fn holds(&self, most: u64, when: &str) {
        let (len, there) = (self.cache.len() as u64, self.cache.iter().count() as u64);
        assert!(len <= most, "len() is {len} of {most} {when}");
        assert!(there <= most, "{there} entries are there, and {most} may be, {when}");
    }
}

#[test]
fn several_processes_together_keep_to_the_bound() {
    const WORKERS: u64 = 4;
    for most in [1, 2, 5, 64, 65, 1000, 10_000] {
        let shared = shared(most);
        let workers: Vec<Worker> = (0..WORKERS).map(|_| shared.spawn("rounds", 150.max(most / 4))).collect();
        wait_until("the workers", || shared.board.get(READY) == WORKERS);
        let rounds = if most > 1000 { lengths(10, 100) } else { lengths(40, 1000) };
        for round in 0..rounds {
            wait_until("the end of a round", || shared.board.get(ARRIVED) == WORKERS * (round + 1));
            shared.holds(most, &format!("after round {round}"));
            shared.board.add(ROUND, 1);
        }
        shared.board.set(DONE, 1);
        workers.into_iter().for_each(Worker::success);
        shared.holds(most, "in the end");
        assert_eq!(shared.cache.verify().unwrap_or_else(|corruption| panic!("{corruption}")).count_drift, 0);
        is_full_again(&shared, most);
    }
}

/// The bound is also reached: what the others left does not count twice, once the number of entries has been doubted.
fn is_full_again(shared: &Shared, most: u64) {
    for key in 0..most * 3 + 100 {
        shared.cache.set((1 << 40 | key).to_le_bytes(), [4; 20]).expect("set");
        assert!(shared.cache.len() as u64 <= most, "while it fills");
    }
    // Entries that have expired and were not met yet are entries too.
    let there = shared.cache.verify().unwrap_or_else(|corruption| panic!("{corruption}")).entries as u64;
    let stats = shared.cache.stats();
    let least = if most <= 64 { most } else { most * 95 / 100 };
    assert!(there >= least, "{there} of {most}: {stats:?}");
}

#[test]
fn deaths_leave_the_bound_as_it_is() {
    for most in [1, 5, 64, 65, 1000] {
        let shared = shared(most);
        let mut rng = Rng::from_time();
        let mut workers: Vec<Worker> = (0..3).map(|place| shared.spawn("busy", STEPS as u64 + place)).collect();
        for kill in 0..lengths(25u64, 1000) {
            let place = (kill % 3) as usize;
            let before = shared.board.get(STEPS + place);
            wait_until("some traffic", || shared.board.get(STEPS + place) > before + 20);
            std::thread::sleep(std::time::Duration::from_micros(rng.below(2000)));
            let killed = std::mem::replace(&mut workers[place], shared.spawn("busy", (STEPS + place) as u64));
            killed.kill();
        }
        workers.into_iter().for_each(Worker::kill);
        shared.holds(most, "after the last death");
        is_full_again(&shared, most);
        shared.holds(most, "after a lap");
        shared.cache.verify().unwrap_or_else(|corruption| panic!("{corruption}"));
    }
}
