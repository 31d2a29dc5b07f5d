//! Workers that are killed and stopped, and what must hold of their file afterwards.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shmemo::{Builder, Cache};

use super::board::Board;
use super::load::payload_share_when_full;
use super::worker::Worker;
use super::{PATIENCE, Rng, Scratch};

const FILL_LEN: usize = 1000;

/// The workers of one file, each at its place on the board.
pub struct Crowd {
    role: &'static str,
    path: PathBuf,
    board_path: PathBuf,
    pub board: Board,
    pub workers: Vec<Option<Worker>>,
    started: u64,
    pub rng: Rng,
}

impl Crowd {
    pub fn new(role: &'static str, scratch: &Scratch, path: &Path, size: usize) -> Self {
        let board_path = scratch.path("board");
        let board = Board::create(&board_path);
        let workers = (0..size).map(|_| None).collect();
        let mut crowd = Self { role, path: path.into(), board_path, board, workers, started: 0, rng: Rng::from_time() };
        (0..size).for_each(|place| crowd.start(place));
        crowd.everybody_goes_on(&[]);
        crowd
    }

    pub fn start(&mut self, place: usize) {
        self.started += 1;
        let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let args = [text(&self.path), text(&self.board_path), place.to_string(), self.started.to_string()];
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        self.workers[place] = Some(Worker::spawn(self.role, &args));
    }

    pub fn worker(&mut self, place: usize) -> &mut Worker {
        self.workers[place].as_mut().expect("a worker")
    }

    pub fn any_place(&mut self) -> usize {
        self.rng.below(self.workers.len() as u64) as usize
    }

    /// Each worker but those at the given places does something from now on.
    pub fn everybody_goes_on(&mut self, stopped: &[usize]) {
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

    pub fn kill_all(self) {
        self.workers.into_iter().flatten().for_each(Worker::kill);
    }
}

/// The file is in order and can be filled like a new one.
pub fn is_like_new(builder: Builder, path: &Path) {
    let cache = Cache::open(path).expect("the cache");
    cache.verify().unwrap_or_else(|corruption| panic!("{corruption}"));
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
