//! Workers are killed and stopped at random moments of their traffic. Whatever one was in the middle of: the others go on at
//! once, no value is torn, and afterwards the whole file can be used as if it were new.

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::board::Board;
use common::load::{Driver, Load, check_all, payload_share_when_full};
use common::worker::{Args, Worker, serve};
use common::{PATIENCE, Rng, Scratch, lengths};
use shmemo::{Builder, Cache};

const FILL_LEN: usize = 1000;

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

/// The workers of one file, each at its place on the board.
struct Crowd {
    path: PathBuf,
    board_path: PathBuf,
    board: Board,
    workers: Vec<Option<Worker>>,
    started: u64,
    rng: Rng,
}

impl Crowd {
    fn new(scratch: &Scratch, path: &Path, size: usize) -> Self {
        let board_path = scratch.path("board");
        let board = Board::create(&board_path);
        let workers = (0..size).map(|_| None).collect();
        let mut crowd = Self { path: path.into(), board_path, board, workers, started: 0, rng: Rng::from_time() };
        (0..size).for_each(|place| crowd.start(place));
        crowd.everybody_goes_on(&[]);
        crowd
    }

    fn start(&mut self, place: usize) {
        self.started += 1;
        let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let args = [text(&self.path), text(&self.board_path), place.to_string(), self.started.to_string()];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.workers[place] = Some(Worker::spawn("busy", &args));
    }

    fn worker(&mut self, place: usize) -> &mut Worker {
        self.workers[place].as_mut().expect("a worker")
    }

    fn any_place(&mut self) -> usize {
        self.rng.below(self.workers.len() as u64) as usize
    }

    /// Each worker but those at the given places does something from now on.
    fn everybody_goes_on(&mut self, stopped: &[usize]) {
        let before: Vec<u64> = (0..self.workers.len()).map(|place| self.board.get(place)).collect();
        let start = Instant::now();
        for (place, before) in before.iter().enumerate().filter(|(place, _)| !stopped.contains(place)) {
            while self.board.get(place) < before + 3 {
                assert!(start.elapsed() < PATIENCE, "worker {place} does nothing while {stopped:?} are stopped");
                assert!(self.worker(place).is_running());
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn kill_all(self) {
        self.workers.into_iter().flatten().for_each(Worker::kill);
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

/// The file is in order and can be filled like a new one.
fn is_like_new(builder: Builder, path: &Path) {
    let cache = Cache::open(path).expect("the cache");
    cache.verify().unwrap_or_else(|corruption| panic!("{corruption}"));
    check_all(&cache);
    let fresh = builder.anonymous().expect("a cache");
    let expected = payload_share_when_full(&fresh, FILL_LEN);
    // Entries that proved worth keeping would stay, and they are small.
    cache.clear();
    let share = payload_share_when_full(&cache, FILL_LEN);
    let stats = cache.stats();
    println!("payload {share:.3}, in a new file {expected:.3}; {stats:?}");
    // Where the lap ends, one segment more or less may be being swept.
    let tolerance = 0.03 + 1.0 / stats.segments as f64;
    assert!(share > expected - tolerance, "{share:.3} of the file can be used, and {expected:.3} of a new one: {stats:?}");
    // The lap has set the counts right.
    let report = cache.verify().expect("no corruption");
    assert_eq!(report.entries, cache.iter().count());
    assert_eq!((report.count_drift, report.entries), (0, cache.len()), "{report:?}");
    assert_eq!(stats.segments_held, 0, "what the dead held was given back");
    assert_eq!(stats.processes, 1, "lines of the dead are free");
}

fn survives_kills(builder: Builder, kills: u32) {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let cache = builder.clone().create_new(&path).expect("a cache");
    let mut crowd = Crowd::new(&scratch, &path, 4);
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
    let mut crowd = Crowd::new(&scratch, &path, 5);
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
    is_like_new(builder, &path);
}

/// With few segments the stopped may hold them all: writes are then dropped, but nothing is wrong and nobody waits.
#[test]
fn all_but_one_stopped_with_few_segments() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let builder = few_segments();
    let cache = builder.clone().create_new(&path).expect("a cache");
    let mut crowd = Crowd::new(&scratch, &path, 12);
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
    is_like_new(builder, &path);
}
