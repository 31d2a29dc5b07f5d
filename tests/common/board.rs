//! Counters in a mapped file, which the processes of a test share beside the cache under test.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const WORDS: usize = 4096;

/// The counters. Each starts at 0.
pub struct Board(memmap2::MmapRaw);

impl Board {
    pub fn create(path: &Path) -> Self {
        let file = std::fs::File::options().read(true).write(true).create_new(true).open(path).expect("a new board");
        file.set_len(WORDS as u64 * 8).expect("the board's length");
        Self(memmap2::MmapRaw::map_raw(&file).expect("the board's mapping"))
    }

    pub fn open(path: &Path) -> Self {
        let file = std::fs::File::options().read(true).write(true).open(path).expect("the board");
        Self(memmap2::MmapRaw::map_raw(&file).expect("the board's mapping"))
    }

    pub fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < WORDS);
        // SAFETY: the mapping is aligned to pages, has room for this word, is never cut short, lives as long as the
        // reference, and is used as atomics alone.
        unsafe { &*self.0.as_mut_ptr().cast::<AtomicU64>().add(index) }
    }

    pub fn get(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::SeqCst)
    }

    pub fn set(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::SeqCst);
    }

    pub fn add(&self, index: usize, value: u64) -> u64 {
        self.word(index).fetch_add(value, Ordering::SeqCst)
    }
}
