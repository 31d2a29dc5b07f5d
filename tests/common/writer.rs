//! Processes that write all the time, and what must hold of the file after their ends.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use shmemo::Cache;

use super::board::Board;

/// The registry (`docs/design.md`, section 2): where it begins, bytes of a line, and the number of the process in a line.
pub const REGISTRY: u64 = 4096;
pub const LINE: u64 = 256;
pub const PID: u64 = 8;

pub fn small(path: &Path) -> Cache {
    Cache::builder().capacity(2 << 20).open(path).expect("the cache")
}

pub fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Stores until somebody ends it: at the latest, should a test fail and leave it behind, after longer than any test takes.
pub fn write_for_ever(cache: &Cache, board: &Board, place: usize) {
    let begun = Instant::now();
    for number in 0u64.. {
        assert!(number % 4096 != 0 || begun.elapsed() < Duration::from_secs(1200), "left behind");
        cache.set((number % 3000).to_le_bytes(), [number as u8; 500]).expect("set");
        board.add(place, 1);
    }
}

/// Everything can be used, and nobody dead holds a part of it. A death in the middle of a call leaves the count of its
/// segment wrong by one until that segment is recycled, which can be long after for what proved worth keeping; a
/// `clear` ends all of them.
pub fn check_all_is_usable(cache: &Cache) {
    let before = cache.stats().dropped;
    fill(cache);
    let stats = cache.stats();
    assert_eq!((stats.segments_held, stats.dropped), (0, before));
    cache.verify().expect("no corruption");
    cache.clear();
    fill(cache);
    assert_eq!(cache.verify().expect("no corruption").count_drift, 0);
}

pub fn fill(cache: &Cache) {
    for number in 0..8000u64 {
        cache.set(number.to_le_bytes(), [number as u8; 500]).expect("set");
    }
}

/// How many lines of the registry are locked.
pub fn locked_lines(path: &Path, lines: u64) -> usize {
    let file = File::options().read(true).write(true).open(path).expect("the file");
    let is_locked = |line: &u64| {
        // SAFETY: `flock` is a plain struct, for which all zero is a value; the descriptor is open, the pointer lives across the call.
        unsafe {
            let mut range: libc::flock = std::mem::zeroed();
            range.l_type = libc::F_WRLCK as libc::c_short;
            (range.l_start, range.l_len) = ((REGISTRY + line * LINE) as i64, 1);
            assert_eq!(libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut range), 0);
            i32::from(range.l_type) != libc::F_UNLCK
        }
    };
    (0..lines).filter(is_locked).count()
}
