//! The operations of a cache, as inputs name them, and their use on a file that may hold anything.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use shmemo::{Action, Cache, IncrementError, NotAttached, SetError, Version};

use crate::coded;
use crate::rig::FILLED_KEYS;

/// Keys with numbers from here on are special.
const SPECIAL_KEYS: u16 = 250;
/// The longest key of a file whose values have at most 16 KiB; longer than those of others may be.
const LONG_KEY: usize = 16 << 10;

coded! {
    /// One operation. Keys, lengths and times to live are numbers that the functions below make something of.
    pub enum Op {
        Get { key: u8 },
        GetMany { first: u8, count: u8 },
        Contains { key: u8 },
        TimeToLive { key: u8 },
        Set { key: u8, len: u8 },
        SetWithTtl { key: u8, len: u8, ttl: u8 },
        SetMany { first: u8, count: u8, len: u8 },
        Remove { key: u8 },
        Take { key: u8 },
        Touch { key: u8, ttl: u8 },
        Add { key: u8, len: u8, ttl: u8 },
        Replace { key: u8, len: u8, ttl: u8 },
        GetVersioned { key: u8 },
        /// With one of the versions seen last.
        CompareAndSwap { key: u8, version: u8, len: u8, ttl: u8 },
        Increment { key: u8, delta: i8, initial: u8, ttl: u8 },
        Update { key: u8, action: u8, len: u8, ttl: u8 },
        Clear,
        Iter,
        Keys,
        Len,
        Stats,
        Verify,
        /// For two milliseconds.
        Wait,
        /// Detach and attach.
        Reattach,
        /// Go on with the other of two handles.
        Switch,
    }
}

impl Op {
    fn is_write(&self) -> bool {
        !matches!(
            self,
            Self::Get { .. }
                | Self::GetMany { .. }
                | Self::Contains { .. }
                | Self::TimeToLive { .. }
                | Self::Iter
                | Self::Keys
                | Self::Len
                | Self::Stats
                | Self::Verify
        )
    }
}

/// The key with this number.
pub fn key_of(number: u16) -> Vec<u8> {
    match number {
        0 => Vec::new(),
        SPECIAL_KEYS => vec![b'x'; 300],
        251 => vec![b'y'; LONG_KEY],
        252 => vec![b'z'; 70_000],
        _ => {
            let mut key = format!("key:{number}").into_bytes();
            key.resize(key.len() + usize::from(number % 23), b'.');
            key
        }
    }
}

/// A length of values: most are short, the last two the longest that there can be and one more.
pub fn len_of(number: u8, most: usize) -> usize {
    match usize::from(number) {
        number @ 0..=199 => number,
        number @ 200..=249 => (number - 199) * 160,
        250 => most / 2,
        251..=253 => 8,
        254 => most,
        _ => most + 1,
    }
}

/// A time to live; none is the default.
pub fn ttl_of(number: u8) -> Option<Duration> {
    match number % 8 {
        1 => Some(Duration::from_millis(1)),
        2 => Some(Duration::from_millis(2)),
        3 => Some(Duration::from_nanos(1)),
        4 => Some(Duration::from_secs(3600)),
        5 => Some(Duration::MAX),
        6 => Some(Duration::ZERO),
        _ => None,
    }
}

/// A value that differs from all others of its length, if that is at least four.
pub fn value_of(serial: u32, len: usize) -> Vec<u8> {
    let mut value = vec![serial as u8 ^ 0x5a; len];
    for (at, word) in value.chunks_exact_mut(4).enumerate() {
        word.copy_from_slice(&serial.wrapping_add((at as u32) << 20).to_le_bytes());
    }
    value
}

/// Fills a file with entries of all sorts: short and long, expiring and not, stamped and not, replaced and removed, so
/// many that its log went round, and some from before a `clear`.
pub fn fill(cache: &Cache) {
    let most = cache.max_value_len();
    let is_stored = "store an entry to begin with";
    for serial in 0..600u32 {
        let key = key_of((serial % u32::from(FILLED_KEYS)) as u16);
        let value = value_of(serial, len_of((serial % 250) as u8, most).min(most));
        match serial % 7 {
            0..=3 => cache.set(&key, value).expect(is_stored),
            4 => cache.set_with_ttl(&key, value, Duration::from_secs(3600)).expect(is_stored),
            5 => {
                cache.set(&key, value).expect(is_stored);
                cache.get_versioned(&key);
            }
            _ => {
                cache.remove(&key);
            }
        }
        for other in 0..serial % 3 {
            cache.get(key_of((serial.wrapping_sub(other) % u32::from(FILLED_KEYS)) as u16));
        }
        if serial == 300 {
            cache.clear();
        }
    }
    cache.increment(key_of(3), 5, 0, None).ok();
    for number in [0, 1, 2, 4, SPECIAL_KEYS] {
        let value = value_of(u32::from(number), 20);
        cache.set(key_of(number), value).expect(is_stored);
    }
}

/// Writes to a file in which everything seems to be held wait for a while before they give up. When all writes of an
/// input took so long, those that are left are left out: others are worth more.
const MOST_TIME: Duration = Duration::from_millis(10);

/// What operations on a file that may hold anything go on with.
#[derive(Debug, Default)]
pub struct Course {
    serial: u32,
    versions: Vec<Version>,
    /// Time that writes took.
    spent: Duration,
}

/// An error of a write that there may be whatever the bytes.
fn check_set(result: Result<impl Sized, SetError>) {
    match result {
        Err(SetError::NotAttached(NotAttached::Io(error))) => panic!("{error}"),
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(_) => {}
    }
}

impl Course {
    fn value(&mut self, cache: &Cache, len: u8) -> Vec<u8> {
        self.serial += 1;
        value_of(self.serial, len_of(len, cache.max_value_len()))
    }

    fn version(&self, number: u8) -> Option<Version> {
        self.versions.get(usize::from(number).checked_rem(self.versions.len())?).copied()
    }

    /// Uses an operation, unless writes took too long already.
    pub fn apply(&mut self, cache: &Cache, op: &Op, meanwhile: &mut dyn FnMut()) {
        if !op.is_write() {
            self.use_one(cache, op, meanwhile);
        } else if self.spent < MOST_TIME {
            let begin = Instant::now();
            self.use_one(cache, op, meanwhile);
            self.spent += begin.elapsed();
        }
    }

    /// Uses one operation. Whatever comes of it is right, but for panics and what no file can make true. `meanwhile` is
    /// called where user code runs in the midst of an operation.
    fn use_one(&mut self, cache: &Cache, op: &Op, meanwhile: &mut dyn FnMut()) {
        let most = cache.max_value_len();
        match *op {
            Op::Get { key } => {
                if let Some(value) = cache.get(key_of(key.into())) {
                    assert!(value.len() <= most);
                }
            }
            Op::GetMany { first, count } => {
                let keys = (0..u16::from(count % 40)).map(|more| key_of(u16::from(first) + more));
                cache.get_many(keys, |_, value| {
                    assert!(value.is_none_or(|value| value.len() <= most));
                    meanwhile();
                });
            }
            Op::Contains { key } => {
                cache.contains(key_of(key.into()));
            }
            Op::TimeToLive { key } => {
                cache.time_to_live(key_of(key.into()));
            }
            Op::Set { key, len } => check_set(cache.set(key_of(key.into()), self.value(cache, len))),
            Op::SetWithTtl { key, len, ttl } => {
                let ttl = ttl_of(ttl).unwrap_or(Duration::from_secs(1));
                check_set(cache.set_with_ttl(key_of(key.into()), self.value(cache, len), ttl));
            }
            Op::SetMany { first, count, len } => {
                let value = self.value(cache, len);
                check_set(cache.set_many((0..u16::from(count % 40)).map(|more| (key_of(u16::from(first) + more), &value))));
            }
            Op::Remove { key } => {
                cache.remove(key_of(key.into()));
            }
            Op::Take { key } => {
                cache.take(key_of(key.into()));
            }
            Op::Touch { key, ttl } => {
                cache.touch(key_of(key.into()), ttl_of(ttl));
            }
            Op::Add { key, len, ttl } => check_set(cache.add(key_of(key.into()), self.value(cache, len), ttl_of(ttl))),
            Op::Replace { key, len, ttl } => check_set(cache.replace(key_of(key.into()), self.value(cache, len), ttl_of(ttl))),
            Op::GetVersioned { key } => {
                self.versions.extend(cache.get_versioned(key_of(key.into())).map(|(_, version)| version));
            }
            Op::CompareAndSwap { key, version, len, ttl } => {
                let Some(version) = self.version(version) else { return };
                check_set(cache.compare_and_swap(key_of(key.into()), version, self.value(cache, len), ttl_of(ttl)));
            }
            Op::Increment { key, delta, initial, ttl } => {
                match cache.increment(key_of(key.into()), delta.into(), initial.into(), ttl_of(ttl)) {
                    Err(IncrementError::Set(error)) => check_set(Err::<(), _>(error)),
                    Err(IncrementError::NotACounter { len }) => assert!(len <= most && len != 8),
                    _ => {}
                }
            }
            Op::Update { key, action, len, ttl } => {
                let value = self.value(cache, len);
                let action = match action % 4 {
                    0 => Action::Set(value),
                    1 => Action::SetWithTtl(value, ttl_of(ttl).unwrap_or(Duration::from_secs(1))),
                    2 => Action::Remove,
                    _ => Action::Keep,
                };
                check_set(cache.update(key_of(key.into()), |_| {
                    meanwhile();
                    action.clone()
                }));
            }
            Op::Clear => cache.clear(),
            Op::Iter => {
                for (key, value) in cache.iter() {
                    assert!(key.len() <= cache.max_key_len() && value.len() <= most);
                    meanwhile();
                }
            }
            Op::Keys => assert!(cache.keys().all(|key| key.len() <= cache.max_key_len())),
            Op::Len => {
                let len = cache.len() as u64;
                assert!(cache.max_entries().is_none_or(|most| len <= most) && cache.is_empty() == (len == 0));
            }
            Op::Stats => {
                let stats = cache.stats();
                assert!(stats.segments_free <= stats.segments && stats.processes <= stats.max_processes);
                assert!((0.0..=1.0).contains(&stats.hit_ratio()) && stats.filled_bytes <= stats.log_bytes);
            }
            Op::Verify => match cache.verify() {
                Ok(report) => assert!(report.entries as u64 <= cache.stats().slots),
                Err(corruption) => assert!(!corruption.problems.is_empty() && !corruption.to_string().is_empty()),
            },
            Op::Wait | Op::Reattach | Op::Switch => {}
        }
    }

    /// Uses every operation at least once, the cheap ones on several keys.
    pub fn apply_all(&mut self, cache: &Cache) {
        let mut ops = vec![Op::Verify, Op::Stats, Op::Len, Op::Iter, Op::GetMany { first: 0, count: 20 }];
        for key in [0, 1, 3, 9, 250] {
            ops.extend([Op::Get { key }, Op::TimeToLive { key }, Op::Set { key, len: 30 }, Op::Get { key }]);
        }
        ops.extend([
            Op::SetWithTtl { key: 2, len: 10, ttl: 4 },
            Op::SetMany { first: 10, count: 10, len: 220 },
            Op::Set { key: 5, len: 254 },
            Op::Touch { key: 1, ttl: 4 },
            Op::Add { key: 6, len: 8, ttl: 0 },
            Op::Replace { key: 7, len: 9, ttl: 0 },
            Op::GetVersioned { key: 9 },
            Op::CompareAndSwap { key: 9, version: 0, len: 9, ttl: 0 },
            Op::Increment { key: 3, delta: 1, initial: 0, ttl: 0 },
            Op::Update { key: 1, action: 0, len: 12, ttl: 0 },
            Op::Update { key: 4, action: 2, len: 0, ttl: 0 },
            Op::Contains { key: 2 },
            Op::Take { key: 2 },
            Op::Remove { key: 1 },
            Op::Clear,
            Op::Set { key: 8, len: 8 },
            Op::Get { key: 8 },
            Op::Keys,
            Op::Verify,
        ]);
        for op in &ops {
            self.apply(cache, op, &mut || {});
        }
    }
}

/// Whether all keys are different.
pub fn are_different(keys: &[Vec<u8>]) -> bool {
    keys.iter().collect::<HashSet<_>>().len() == keys.len()
}
