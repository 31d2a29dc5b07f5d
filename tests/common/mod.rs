//! What the tests with real processes share: processes that can be killed, stopped and waited for, counters that all of
//! them see, keys and values that tell whose they are.
#![allow(dead_code, reason = "each test file uses its own part of this")]

pub mod board;
pub mod crowd;
pub mod forked;
pub mod group;
pub mod load;
pub mod mounts;
pub mod refusal;
pub mod value;
pub mod worker;
pub mod writer;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A test that has waited this long for another process fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the long forms of the tests run: `SHMEMO_LONG=1`.
pub fn is_long() -> bool {
    std::env::var_os("SHMEMO_LONG").is_some_and(|value| value != "0" && !value.is_empty())
}

/// A length: the first in the usual form, the second in the long one.
pub fn lengths<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

/// A directory in shared memory that goes when the test ends.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new() -> Self {
        Self(tempfile::Builder::new().prefix("shmemo-test-").tempdir_in("/dev/shm").expect("a directory in /dev/shm"))
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The names of what lies in it, in order.
    pub fn names(&self) -> Vec<String> {
        names_in(self.dir())
    }
}

/// The names of what lies in a directory, in order.
pub fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Waits until the condition holds. A hang is a failure that says what was waited for.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Random numbers that a seed fixes (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Seeded by the process and the time: kills come at other moments in each run.
    pub fn from_time() -> Self {
        Self(now_ns() ^ u64::from(std::process::id()) << 40)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Small numbers are far more frequent than large ones, as keys are in real traffic.
    pub fn skewed(&mut self, bound: u64) -> u64 {
        let bound = self.below(bound) + 1;
        let bound = self.below(bound) + 1;
        self.below(bound)
    }
}

pub fn mix(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// Nanoseconds of a clock that all processes of the machine share.
pub fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a `timespec` that lives across the call.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) }, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
