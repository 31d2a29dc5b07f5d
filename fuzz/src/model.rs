//! The cache beside a map: every get is a miss or exactly the value of the map, and what the map has lost never comes
//! back.
//!
//! In three cases a miss is an error too: while all that was stored since the file was empty fits many times over
//! (`Bound::None`), and for caches with few entries, whose order of eviction is part of what they promise (`Bound::Lru`).

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use shmemo::{Action, Cache, IncrementError, SetError, TimeToLive, Updated, Version};

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

    fn set(&mut self, key: &[u8], len: usize, ttl: Option<Duration>) {
        let value = self.value(len);
        // Here the time to live is looked at first, and what is too long takes the old value away.
        let refusal = match ttl {
            Some(Duration::ZERO) => Some(SetError::ZeroTtl),
            _ => self.refusal(key, len, None),
        };
        let takes_away = matches!(refusal, Some(SetError::ValueTooLarge { .. } | SetError::KeyTooLarge { .. }));
        let before = Instant::now();
        let result = match ttl {
            None => self.cache().set(key, &value),
            Some(ttl) => self.cache().set_with_ttl(key, &value, ttl),
        };
        let after = Instant::now();
        if self.accepted(result, refusal).is_some() {
            let expiry = self.expiry(ttl, before, after);
            self.store(key, value, expiry);
        } else if takes_away {
            self.entries.remove(key);
        }
    }

    /// `add` or `replace`.
    fn store_if(&mut self, key: &[u8], len: usize, ttl: Option<Duration>, wants: bool) {
        let value = self.value(len);
        let refusal = self.refusal(key, len, ttl);
        let before = Instant::now();
        let cache = self.cache();
        let result = if wants { cache.replace(key, &value, ttl) } else { cache.add(key, &value, ttl) };
        let after = Instant::now();
        let Some(stored) = self.accepted(result, refusal) else { return };
        self.judge(key, stored == wants, before, after);
        if stored {
            let expiry = self.expiry(ttl, before, after);
            self.store(key, value, expiry);
        }
    }

    fn get_versioned(&mut self, key: &[u8]) {
        let before = Instant::now();
        let got = self.cache().get_versioned(key);
        let after = Instant::now();
        let Some((value, version)) = got else {
            // It may also be that there was no room for a stamp.
            if self.bound != Bound::Any {
                self.judge(key, false, before, after);
            }
            self.misses += 1;
            return;
        };
        self.check_got(key, Some(&value), before, after);
        let known = self.entries.get_mut(key).and_then(|entry| entry.version.replace(version));
        match known {
            Some(known) => assert_eq!(version, known, "the version changed by itself"),
            None => {
                assert!(!self.versions.contains(&version), "a version was given out twice");
                self.versions.push(version);
                self.account(key.len() + value.len());
            }
        }
    }

    fn compare_and_swap(&mut self, key: &[u8], number: u8, len: usize, ttl: Option<Duration>) {
        let Some(&version) = self.versions.iter().rev().nth(usize::from(number) % 8) else { return };
        let value = self.value(len);
        let refusal = self.refusal(key, len, ttl);
        let before = Instant::now();
        let result = self.cache().compare_and_swap(key, version, &value, ttl);
        let after = Instant::now();
        let Some(stored) = self.accepted(result, refusal) else { return };
        let matches = self.entries.get(key).is_some_and(|entry| entry.version == Some(version));
        assert!(matches || !stored, "a value of another version was swapped");
        if matches {
            self.judge(key, stored, before, after);
        }
        if stored {
            let expiry = self.expiry(ttl, before, after);
            self.store(key, value, expiry);
        }
    }

    fn increment(&mut self, key: &[u8], delta: i64, number: u8, ttl: Option<Duration>) {
        // A first sum is unlike all others, unless it cannot be stored at all.
        self.serial += 1;
        let is_extreme = number == 255 && delta > 0;
        let initial = if is_extreme { i64::MAX } else { i64::from(self.serial) << 32 | i64::from(number) };
        let refusal = self.refusal(key, 8, ttl);
        let before = Instant::now();
        let result = self.cache().increment(key, delta, initial, ttl);
        let after = Instant::now();
        let old = self.entries.get(key).map(|entry| (entry.value.clone(), entry.expiry));
        let counter = old.as_ref().and_then(|(value, _)| value.as_slice().try_into().ok().map(i64::from_le_bytes));
        match result {
            Err(IncrementError::Set(error)) => assert!(self.accepted(Err::<(), _>(error), refusal).is_none()),
            _ if refusal.is_some() => panic!("not refused"),
            Err(IncrementError::NotACounter { len }) => {
                self.judge(key, true, before, after);
                assert!(len == self.value_there(key).len() && len != 8);
            }
            Err(IncrementError::Overflow { current, delta: by }) => {
                assert!(by == delta && current.checked_add(by).is_none());
                let saw = counter == Some(current) && self.there(key, before, after) != There::No;
                assert!(saw || current == initial);
                self.judge(key, saw, before, after);
            }
            Ok(sum) => {
                let saw = counter.and_then(|counter| counter.checked_add(delta)) == Some(sum);
                assert!(saw || sum == initial.wrapping_add(delta), "{sum} is no sum");
                self.judge(key, saw, before, after);
                let kept = old.filter(|_| saw).map(|(_, expiry)| expiry);
                let expiry = kept.unwrap_or_else(|| self.expiry(ttl, before, after));
                self.store(key, sum.to_le_bytes().to_vec(), expiry);
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn update(&mut self, key: &[u8], action: u8, len: usize, ttl: Option<Duration>) {
        let value = self.value(len);
        let action = match (action % 4, ttl) {
            (0, _) | (1, None) => Action::Set(value.clone()),
            (1, Some(ttl)) => Action::SetWithTtl(value.clone(), ttl),
            (2, _) => Action::Remove,
            _ => Action::Keep,
        };
        let stores = matches!(action, Action::Set(_) | Action::SetWithTtl(..));
        let ttl = if matches!(action, Action::SetWithTtl(..)) { ttl } else { None };
        let refusal = if stores { self.refusal(key, len, ttl) } else { self.refusal(key, 0, None) };
        let mut seen = None;
        let before = Instant::now();
        let result = self.cache().update(key, |old| {
            seen = Some(old.map(<[u8]>::to_vec));
            action.clone()
        });
        let after = Instant::now();
        if let Some(old) = &seen {
            self.judge(key, old.is_some(), before, after);
            if let Some(old) = old {
                assert_eq!(old, self.value_there(key), "the value that was updated");
            }
        }
        let Some(updated) = self.accepted(result, refusal) else { return };
        let saw = seen.expect("it was asked").is_some();
        let expected = match action {
            Action::Remove if saw => Updated::Removed,
            Action::Remove | Action::Keep => Updated::Kept,
            _ => Updated::Stored,
        };
        assert_eq!(updated, expected);
        match updated {
            Updated::Removed => drop(self.entries.remove(key)),
            Updated::Kept => {}
            Updated::Stored => {
                let kept = self.entries.get(key).filter(|_| ttl.is_none()).map(|entry| entry.expiry);
                let expiry = kept.unwrap_or_else(|| self.expiry(ttl, before, after));
                self.store(key, value, expiry);
            }
        }
    }

    fn touch(&mut self, key: &[u8], ttl: Option<Duration>) {
        let before = Instant::now();
        let touched = self.cache().touch(key, ttl);
        let after = Instant::now();
        if ttl == Some(Duration::ZERO) {
            assert!(!touched);
            return;
        }
        // No room is an answer too.
        if touched || self.bound != Bound::Any {
            self.judge(key, touched, before, after);
        }
        if touched {
            // Nothing is written if the entry expires at that millisecond already.
            let is_kept = ttl.is_none() && self.entries.get(key).is_some_and(|entry| entry.expiry.is_none());
            let expiry = ttl.and_then(|ttl| self.expiry(Some(ttl), before, after));
            let is_for_ever = expiry.is_none() && self.entries.get(key).is_some_and(|entry| entry.expiry.is_none());
            let len = key.len() + self.value_there(key).len();
            if let Some(entry) = self.entries.get_mut(key) {
                entry.expiry = expiry;
            }
            if !is_kept && !is_for_ever {
                self.account(len);
                self.use_one(key);
            }
        }
    }

    fn time_to_live(&mut self, key: &[u8]) {
        let before = Instant::now();
        let left = self.cache().time_to_live(key);
        let after = Instant::now();
        self.judge(key, left.is_some(), before, after);
        let expiry = self.entries.get(key).and_then(|entry| entry.expiry);
        match (left, expiry) {
            (None, _) | (Some(TimeToLive::Never), None) => {}
            (Some(TimeToLive::Left(left)), Some((earliest, latest))) => {
                let most = latest.saturating_duration_since(before) + GRAIN;
                let least = earliest.saturating_duration_since(after).saturating_sub(GRAIN);
                assert!((least..=most).contains(&left), "{left:?} is not {least:?} to {most:?}");
            }
            (left, expiry) => panic!("{left:?} of {expiry:?}"),
        }
    }

    /// Looks at all entries, which is no use of them.
    fn check_all(&mut self) {
        let before = Instant::now();
        let all: Vec<_> = self.cache().iter().collect();
        let after = Instant::now();
        let seen: HashMap<_, _> = all.iter().cloned().collect();
        assert_eq!(seen.len(), all.len(), "a key came twice");
        for key in self.entries.keys().chain(seen.keys()).cloned().collect::<HashSet<_>>() {
            self.judge(&key, seen.contains_key(&key), before, after);
            assert!(seen.get(&key).is_none_or(|value| value == self.value_there(&key)));
        }
    }

    fn check_len(&self) {
        let (cache, now) = (self.cache(), Instant::now());
        let len = cache.len();
        assert!(cache.max_entries().is_none_or(|most| len as u64 <= most));
        assert_eq!(len == 0, cache.is_empty());
        let expires_soon = |entry: &Entry| entry.expiry.is_some_and(|(earliest, _)| earliest <= now + Duration::from_secs(60));
        if self.bound != Bound::Any && !self.entries.values().any(expires_soon) {
            assert!(len >= self.entries.len(), "{len} entries, not {}", self.entries.len());
        }
    }

    fn check_file(&self) {
        let report = self.cache().verify().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((report.unfinished, report.count_drift), (0, 0), "{report:?}");
        assert!(report.entries <= report.logged);
    }

    fn check_stats(&self) {
        let stats = self.cache().stats();
        // The other handle has not added up what it counted last.
        if !self.both {
            assert_eq!((stats.hits, stats.misses), (self.hits, self.misses));
        }
        assert_eq!(stats.segments_held, 0);
        assert!(stats.live_bytes <= stats.filled_bytes && stats.filled_bytes <= stats.log_bytes);
        if self.bound == Bound::None {
            let evicted = stats.evicted_unused + stats.evicted_used + stats.evicted_by_full_bucket;
            assert_eq!((evicted, stats.dropped), (0, 0));
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
