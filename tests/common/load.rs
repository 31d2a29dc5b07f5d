//! The traffic of a worker: every operation there is, on keys that all workers share, with values that are checked.

use shmemo::{Action, Cache, SetError};

use super::Rng;
use super::value::{check, id_of, key, value};

/// What the traffic of a test is made of.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Keys are numbered below this.
    pub keys: u64,
    /// The longest key and value of the usual entries.
    pub usual_len: u64,
    /// The longest of all.
    pub longest_key: usize,
    pub longest_value: usize,
    /// One in so many values may be as long as `longest_value`; 0 for none.
    pub one_long_in: u64,
    /// One in so many operations is a `clear`; 0 for none.
    pub one_clear_in: u64,
}

/// What a worker counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub gets: u64,
    pub hits: u64,
    pub writes: u64,
    pub busy: u64,
}

/// One worker's traffic.
pub struct Driver {
    cache: Cache,
    load: Load,
    rng: Rng,
    stamp: u64,
    buffer: Vec<u8>,
    pub tally: Tally,
}

impl Driver {
    /// `number` tells the writers apart: it is part of every stamp.
    pub fn new(cache: &Cache, load: Load, number: u64) -> Self {
        let rng = Rng::new(Rng::from_time().next() ^ number);
        Self { cache: cache.clone(), load, rng, stamp: number << 40, buffer: Vec::new(), tally: Tally::default() }
    }

    fn fresh(&mut self, id: u64) -> Vec<u8> {
        self.stamp += 1;
        let is_long = self.load.one_long_in > 0 && self.rng.below(self.load.one_long_in) == 0;
        let most = if is_long { self.load.longest_value as u64 + 1 } else { self.load.usual_len };
        let len = match self.rng.below(16) {
            0 => self.rng.below(32),
            1 if is_long => self.load.longest_value as u64,
            _ => self.rng.below(most),
        };
        value(id, self.stamp, len as usize)
    }

    fn checked(&mut self, id: u64, bytes: &[u8]) {
        if let Err(wrong) = check(id, bytes) {
            panic!("{wrong}");
        }
    }

    /// One operation, as a cache is used: look, and store what is missing; now and then any other operation.
    pub fn step(&mut self) {
        let id = self.rng.skewed(self.load.keys);
        let key = key(id, self.load.longest_key);
        if self.load.one_clear_in > 0 && self.rng.below(self.load.one_clear_in) == 0 {
            self.cache.clear();
        }
        match self.rng.below(100) {
            0..70 => self.look(id, &key),
            70..85 => self.store(id, &key),
            85..88 => self.remove(id, &key),
            88..90 => self.take(id, &key),
            90..92 => {
                let value = self.fresh(id);
                let done = self.cache.add(&key, &value, None);
                self.conditional(done);
            }
            92..94 => {
                let value = self.fresh(id);
                let done = self.cache.replace(&key, &value, None);
                self.conditional(done);
            }
            94..96 => self.swap(id, &key),
            96..98 => self.update(id, &key),
            _ => self.touch_or_count(id, &key),
        }
    }

    fn look(&mut self, id: u64, key: &[u8]) {
        let mut buffer = std::mem::take(&mut self.buffer);
        self.tally.gets += 1;
        if self.cache.get_into(key, &mut buffer) {
            self.tally.hits += 1;
            self.checked(id, &buffer);
        } else {
            self.store(id, key);
        }
        self.buffer = buffer;
    }

    fn store(&mut self, id: u64, key: &[u8]) {
        let value = self.fresh(id);
        self.tally.writes += 1;
        self.cache.set(key, &value).expect("a value that fits is stored");
    }

    fn remove(&mut self, _id: u64, key: &[u8]) {
        self.cache.remove(key);
    }

    fn take(&mut self, id: u64, key: &[u8]) {
        if let Some(taken) = self.cache.take(key) {
            self.checked(id, &taken);
        }
    }

    fn conditional(&mut self, done: Result<bool, SetError>) {
        match done {
            Ok(true) => self.tally.writes += 1,
            Ok(false) => {}
            Err(SetError::Busy) => self.tally.busy += 1,
            Err(error) => panic!("{error}"),
        }
    }

    fn swap(&mut self, id: u64, key: &[u8]) {
        if let Some((old, version)) = self.cache.get_versioned(key) {
            self.checked(id, &old);
            let value = self.fresh(id);
            let done = self.cache.compare_and_swap(key, version, &value, None);
            self.conditional(done);
        }
    }

    fn update(&mut self, id: u64, key: &[u8]) {
        let value = self.fresh(id);
        let done = self.cache.update(key, |old| {
            if let Some(Err(wrong)) = old.map(|old| check(id, old)) {
                panic!("{wrong}");
            }
            Action::Set(value.clone())
        });
        self.conditional(done.map(|_| true));
    }

    fn touch_or_count(&mut self, id: u64, key: &[u8]) {
        if id.is_multiple_of(2) {
            self.cache.touch(key, Some(std::time::Duration::from_millis(id % 64 + 1)));
        } else {
            // Counters have keys of their own: their values are no values of ours.
            let counter = [b"counter ".as_slice(), &id.to_le_bytes()].concat();
            match self.cache.increment(counter, 1, 0, None) {
                Ok(sum) => assert!(sum >= 1, "a counter of {sum} that only grows"),
                Err(error) => assert!(matches!(error, shmemo::IncrementError::Set(SetError::Busy)), "{error}"),
            }
        }
    }
}

/// Checks every entry of the traffic that iteration gives. Tests have other keys of their own beside them.
pub fn check_all(cache: &Cache) {
    for (bytes, value) in cache {
        let id = id_of(&bytes);
        if bytes == key(id, bytes.len()) {
            check(id, &value).unwrap_or_else(|wrong| panic!("iteration gave {wrong}"));
        }
    }
}

/// Stores values of the same length under new keys until everything is theirs, and gives the share of keys and values in
/// the capacity.
pub fn payload_share_when_full(cache: &Cache, value_len: usize) -> f64 {
    let value = vec![0xa5u8; value_len];
    let enough = 3 * cache.capacity() / value_len as u64;
    for number in 0..enough {
        cache.set(format!("fill{number:012}"), &value).expect("a value that fits is stored");
    }
    let report = cache.verify().expect("no corruption");
    report.payload_bytes as f64 / cache.capacity() as f64
}
