//! The cache beside a map: every get is a miss or exactly the value of the map, and what the map has lost never comes
//! back.
//!
//! In three cases a miss is an error too: while all that was stored since the file was empty fits many times over
//! (`Bound::None`), and for caches with few entries, whose order of eviction is part of what they promise (`Bound::Lru`).

mod checks;
mod writes;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use shmemo::{Cache, SetError, Version};

use crate::ops::{self, Op, key_of, len_of, ttl_of, value_of};
use crate::rig::{CAPACITY, KINDS, Rig};

/// Keys of inputs that want few: no bucket of the index is filled by them.
const FEW_KEYS: u8 = 40;
/// Until so many bytes were stored nothing needs to be evicted.
const FITS: usize = CAPACITY as usize / 4;
/// How far a time to live may be off: it is counted in whole milliseconds.
const GRAIN: Duration = Duration::from_millis(1);
/// Times to live of at least this are for ever.
const FOR_EVER: Duration = Duration::from_millis(1 << 40);
const MOST_WAITS: u32 = 2;

/// What may be missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    /// Nothing.
    None,
    /// What was used least recently, if there are more than so many.
    Lru(usize),
    /// Anything.
    Any,
}

/// Between these moments an entry expires.
type Expiry = Option<(Instant, Instant)>;

#[derive(Clone, Debug)]
struct Entry {
    value: Vec<u8>,
    expiry: Expiry,
    /// If it was asked for since the value was stored.
    version: Option<Version>,
    /// The turn of its last use.
    used: u64,
}

/// Whether an entry must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    Yes,
    Maybe,
    No,
}

/// The cache, and what should be in it.
pub struct Model<'a> {
    rig: &'a Rig,
    caches: [Cache; 2],
    /// Whether the second handle was ever used.
    both: bool,
    default_ttl: Option<Duration>,
    few: bool,
    bound: Bound,
    entries: HashMap<Vec<u8>, Entry>,
    /// All versions that were ever given out.
    versions: Vec<Version>,
    serial: u32,
    turn: u64,
    stored: usize,
    waits: u32,
    hits: u64,
    misses: u64,
}

impl<'a> Model<'a> {
    /// A model of the empty file of a rig.
    pub fn new(rig: &'a Rig, kind: u8, few: bool) -> Self {
        let attach = || rig.attach().expect("attach to a sound file");
        let bound = match kind % KINDS {
            1 => Bound::Lru(8),
            _ if few => Bound::None,
            _ => Bound::Any,
        };
        let default_ttl = (kind % KINDS == 3).then_some(Duration::from_secs(3600));
        let caches = [attach(), attach()];
        let (hits, misses) = (caches[0].stats().hits, caches[0].stats().misses);
        Self {
            rig,
            caches,
            both: false,
            default_ttl,
            few,
            bound,
            entries: HashMap::new(),
            versions: Vec::new(),
            serial: 0,
            turn: 0,
            stored: 0,
            waits: 0,
            hits,
            misses,
        }
    }

    fn cache(&self) -> Cache {
        self.caches[0].clone()
    }

    fn key(&self, number: u16) -> Vec<u8> {
        key_of(if self.few && number < 250 { number % u16::from(FEW_KEYS) } else { number })
    }

    fn value(&mut self, len: usize) -> Vec<u8> {
        self.serial += 1;
        value_of(self.serial, len)
    }

    /// Times to live that are tiny would make the order of use depend on the clock.
    fn ttl(&self, number: u8) -> Option<Duration> {
        let ttl = ttl_of(number);
        let is_tiny = ttl.is_some_and(|ttl| !ttl.is_zero() && ttl < Duration::from_secs(1));
        if matches!(self.bound, Bound::Lru(_)) && is_tiny { None } else { ttl }
    }

    /// The expiry of what was stored between two moments.
    fn expiry(&self, ttl: Option<Duration>, before: Instant, after: Instant) -> Expiry {
        let ttl = ttl.or(self.default_ttl).filter(|&ttl| ttl < FOR_EVER)?;
        let ttl = Duration::from_millis(ttl.as_nanos().div_ceil(1_000_000) as u64);
        Some((before + ttl - GRAIN, after + ttl))
    }

    /// Whether the key must have been there for an operation between two moments.
    fn there(&self, key: &[u8], before: Instant, after: Instant) -> There {
        match self.entries.get(key).map(|entry| entry.expiry) {
            None => There::No,
            Some(Some((_, latest))) if before >= latest => There::No,
            Some(Some((earliest, _))) if after >= earliest => There::Maybe,
            Some(_) if self.bound == Bound::Any => There::Maybe,
            Some(_) => There::Yes,
        }
    }

    /// What an operation saw of a key must be possible. What was not seen will never be seen again.
    fn judge(&mut self, key: &[u8], saw: bool, before: Instant, after: Instant) {
        let there = self.there(key, before, after);
        if saw {
            assert_ne!(there, There::No, "{} came back", key.escape_ascii());
        } else {
            assert_ne!(there, There::Yes, "{} is lost, {:?}", key.escape_ascii(), self.bound);
            self.entries.remove(key);
        }
    }

    fn use_one(&mut self, key: &[u8]) {
        self.turn += 1;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.used = self.turn;
        }
    }

    /// A value was stored.
    fn store(&mut self, key: &[u8], value: Vec<u8>, expiry: Expiry) {
        self.turn += 1;
        self.account(key.len() + value.len());
        if let Bound::Lru(most) = self.bound
            && !self.entries.contains_key(key)
            && self.entries.len() == most
        {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.entries.remove(&oldest));
        }
        self.entries.insert(key.to_vec(), Entry { value, expiry, version: None, used: self.turn });
    }

    /// Counts bytes that were appended.
    fn account(&mut self, bytes: usize) {
        self.stored += bytes + 64;
        if self.bound == Bound::None && self.stored > FITS {
            self.bound = Bound::Any;
        }
    }

    fn value_there(&self, key: &[u8]) -> &[u8] {
        self.entries.get(key).map_or(&[], |entry| &entry.value)
    }

    /// A value that was got.
    fn check_got(&mut self, key: &[u8], got: Option<&[u8]>, before: Instant, after: Instant) {
        self.judge(key, got.is_some(), before, after);
        match got {
            Some(value) => {
                assert_eq!(value, self.value_there(key), "the value of {}", key.escape_ascii());
                self.hits += 1;
                self.use_one(key);
            }
            None => self.misses += 1,
        }
    }

    /// The error that must come of a key, a length and a time to live.
    fn refusal(&self, key: &[u8], len: usize, ttl: Option<Duration>) -> Option<SetError> {
        let (most_key, most) = (self.caches[0].max_key_len(), self.caches[0].max_value_len());
        match () {
            () if key.len() > most_key => Some(SetError::KeyTooLarge { len: key.len(), max: most_key }),
            () if len > most => Some(SetError::ValueTooLarge { len, max: most }),
            () if ttl == Some(Duration::ZERO) => Some(SetError::ZeroTtl),
            () => None,
        }
    }

    /// Whether a write did what it should as far as errors go: `None` if it was refused, as it had to be, or nothing was
    /// changed for want of room.
    fn accepted<T>(&self, result: Result<T, SetError>, refusal: Option<SetError>) -> Option<T> {
        match (result, refusal) {
            (Ok(done), None) => Some(done),
            (Err(SetError::Busy), None) if self.bound == Bound::Any => None,
            (Err(error), Some(refusal)) => {
                assert_eq!(error.to_string(), refusal.to_string());
                None
            }
            (Err(error), None) => panic!("refused: {error}"),
            (Ok(_), Some(refusal)) => panic!("not refused: {refusal}"),
        }
    }

    /// Does one operation, and judges what comes of it.
    pub fn apply(&mut self, op: &Op) {
        let most = self.caches[0].max_value_len();
        let len = |len: u8| len_of(len, most);
        match *op {
            Op::Get { key } => {
                let key = self.key(key.into());
                let before = Instant::now();
                let got = self.cache().get(&key);
                self.check_got(&key, got.as_deref(), before, Instant::now());
            }
            Op::GetMany { first, count } => {
                let keys: Vec<_> = (0..u16::from(count % 40)).map(|more| self.key(u16::from(first) + more)).collect();
                let before = Instant::now();
                let mut got = Vec::new();
                self.cache().get_many(&keys, |at, value| {
                    assert_eq!(at, got.len());
                    got.push(value.map(<[u8]>::to_vec));
                });
                let after = Instant::now();
                assert_eq!(got.len(), keys.len());
                keys.iter().zip(got).for_each(|(key, value)| self.check_got(key, value.as_deref(), before, after));
            }
            Op::Contains { key } => {
                let key = self.key(key.into());
                let before = Instant::now();
                let is_there = self.cache().contains(&key);
                self.judge(&key, is_there, before, Instant::now());
            }
            Op::TimeToLive { key } => self.time_to_live(&self.key(key.into())),
            Op::Set { key, len: number } => self.set(&self.key(key.into()), len(number), None),
            Op::SetWithTtl { key, len: number, ttl } => self.set(&self.key(key.into()), len(number), self.ttl(ttl)),
            Op::SetMany { first, count, len: number } => {
                (0..u16::from(count % 40)).for_each(|more| self.set(&self.key(u16::from(first) + more), len(number), None));
            }
            Op::Remove { key } => {
                let key = self.key(key.into());
                let before = Instant::now();
                let removed = self.cache().remove(&key);
                self.judge(&key, removed, before, Instant::now());
                self.entries.remove(&key);
            }
            Op::Take { key } => {
                let key = self.key(key.into());
                let before = Instant::now();
                let taken = self.cache().take(&key);
                self.judge(&key, taken.is_some(), before, Instant::now());
                assert!(taken.is_none_or(|value| value == self.value_there(&key)));
                self.entries.remove(&key);
            }
            Op::Touch { key, ttl } => self.touch(&self.key(key.into()), self.ttl(ttl)),
            Op::Add { key, len: number, ttl } => self.store_if(&self.key(key.into()), len(number), self.ttl(ttl), false),
            Op::Replace { key, len: number, ttl } => self.store_if(&self.key(key.into()), len(number), self.ttl(ttl), true),
            Op::GetVersioned { key } => self.get_versioned(&self.key(key.into())),
            Op::CompareAndSwap { key, version, len: number, ttl } => {
                self.compare_and_swap(&self.key(key.into()), version, len(number), self.ttl(ttl));
            }
            Op::Increment { key, delta, initial, ttl } => {
                self.increment(&self.key(key.into()), delta.into(), initial, self.ttl(ttl));
            }
            Op::Update { key, action, len: number, ttl } => {
                self.update(&self.key(key.into()), action, len(number), self.ttl(ttl));
            }
            Op::Clear => {
                self.cache().clear();
                self.entries.clear();
            }
            Op::Iter => self.check_all(),
            Op::Keys => assert!(ops::are_different(&self.cache().keys().collect::<Vec<_>>())),
            Op::Len => self.check_len(),
            Op::Stats => self.check_stats(),
            Op::Verify => self.check_file(),
            Op::Wait => {
                self.waits += 1;
                if self.waits <= MOST_WAITS {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            Op::Reattach => self.caches[0] = self.rig.attach().expect("attach again"),
            Op::Switch => {
                self.caches.swap(0, 1);
                self.both = true;
            }
        }
    }

    /// The end: all is looked at once more.
    pub fn finish(mut self) {
        for op in [Op::Stats, Op::Iter, Op::Len, Op::Verify, Op::GetMany { first: 0, count: 39 }, Op::Iter] {
            self.apply(&op);
        }
    }
}
