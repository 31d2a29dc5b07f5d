//! A client whose calls are written down: random operations on a few keys, with times and results.

use std::time::Duration;

use shmemo::{Action, Cache, SetError, TimeToLive, Updated, Version};

use crate::common::value::{check, value};
use crate::common::{Rng, now_ns};
use crate::history::{self, Entry, Event, Kind};

pub const KEYS: usize = 3;
/// Calls of a client in a round.
const CALLS: usize = 200;
const HOUR: Option<Duration> = Some(Duration::from_secs(3600));

/// The bytes that stand for a number: counters have eight, others more.
fn bytes(key: usize, number: u64) -> Vec<u8> {
    if history::is_counter(number) {
        return number.to_le_bytes().to_vec();
    }
    value(key as u64, number, 24 + (number >> 20) as usize % 300)
}

/// The number that bytes stand for, which must be whole.
fn number(key: usize, found: &[u8]) -> u64 {
    let number = match found.try_into() {
        Ok(word) => u64::from_le_bytes(word),
        Err(_) => check(key as u64, found).unwrap_or_else(|wrong| panic!("{wrong}")),
    };
    assert_eq!(found.len(), bytes(key, number).len(), "the length of {number}");
    number
}

/// One client: a thread that calls and writes down.
pub struct Client {
    cache: Cache,
    rng: Rng,
    /// Names of this round's keys.
    names: [String; KEYS],
    /// The last version that was seen of each key, and the number that it stands for.
    versions: [Option<(u64, Version)>; KEYS],
    pub events: [Vec<Event>; KEYS],
    /// The number that was given to the last write.
    last: u64,
    /// Other keys that are stored before each call, at most.
    pub flood: u64,
    /// The longest value of those.
    pub flood_len: u64,
    /// Whether it clears the cache now and then.
    pub clears: bool,
    /// Whether it increments by a get and a set, which is wrong.
    pub is_careless: bool,
    buffer: Vec<u8>,
}

/// What a call came to.
struct Answer {
    kind: Kind,
    seen: Option<u64>,
    done: bool,
}

fn answer(kind: Kind, seen: Option<u64>, done: bool) -> Answer {
    Answer { kind, seen, done }
}

/// What a conditional operation came to.
fn conditional(kind: Kind, seen: Option<u64>, done: Result<bool, SetError>) -> Answer {
    match done {
        Ok(done) => answer(kind, seen, done),
        Err(SetError::Busy) => answer(Kind::Busy, None, false),
        Err(error) => panic!("{error}"),
    }
}

impl Client {
    /// `number` tells the clients apart: it is part of every number that they store.
    pub fn new(cache: Cache, rng: Rng, number: u64) -> Self {
        Self {
            cache,
            rng,
            names: Default::default(),
            versions: [None; KEYS],
            events: Default::default(),
            last: number << 50,
            flood: 0,
            flood_len: 1,
            clears: false,
            is_careless: false,
            buffer: Vec::new(),
        }
    }

    /// Makes the calls of a round, on keys of its own.
    pub fn round(&mut self, round: u64) {
        self.names = std::array::from_fn(|key| format!("round {round}, key {key}"));
        self.versions = [None; KEYS];
        for _ in 0..CALLS {
            for _ in 0..self.rng.below(self.flood + 1) {
                let (name, len) = (self.rng.below(1 << 40).to_le_bytes(), self.rng.below(self.flood_len) as usize);
                self.cache.set(name, vec![0; len]).expect("a value that fits is stored");
            }
            match self.rng.below(24) {
                0 => std::thread::yield_now(),
                1 if self.rng.below(4) == 0 => self.on_all_keys(),
                _ => self.on_one_key(),
            }
        }
    }

    /// A call that concerns every key, and is a call of its own for each.
    fn on_all_keys(&mut self) {
        let mut given = [0; KEYS].map(|_| self.fresh());
        given.iter_mut().for_each(|entry| entry.expires = false);
        let mut seen = [None; KEYS];
        let values: [Vec<u8>; KEYS] = std::array::from_fn(|key| bytes(key, given[key].number));
        let which = self.rng.below(5).max(u64::from(!self.clears));
        let call = now_ns();
        let kind = match which {
            0 => {
                self.cache.clear();
                Kind::Clear
            }
            1 | 2 => {
                self.cache.get_many(&self.names, |key, found| seen[key] = found.map(|found| number(key, found)));
                Kind::Get
            }
            _ => {
                self.cache.set_many(self.names.iter().zip(&values)).expect("values that fit are stored");
                Kind::Set
            }
        };
        let ret = now_ns();
        for key in 0..KEYS {
            self.events[key].push(Event { kind, given: given[key], seen: seen[key], done: false, call, ret });
        }
    }

    fn fresh(&mut self) -> Entry {
        self.last += 2 << 20;
        Entry { number: self.last | self.rng.below(2) << 20, expires: self.rng.below(2) == 0 }
    }

    fn on_one_key(&mut self) {
        let key = self.rng.below(KEYS as u64) as usize;
        let mut given = self.fresh();
        let which = self.rng.below(100);
        if (70..84).contains(&which) {
            given.number &= !(1 << 20); // a counter
        }
        let name = self.names[key].clone();
        let value = bytes(key, given.number);
        let ttl = HOUR.filter(|_| given.expires);
        let call = now_ns();
        let done = match which {
            0..26 => self.read(which, key, &name, &mut given),
            26..84 => self.write(which, key, &name, &value, ttl, &mut given),
            _ => self.update(which, key, &name, &value, &mut given),
        };
        let ret = now_ns();
        self.events[key].push(Event { kind: done.kind, given, seen: done.seen, done: done.done, call, ret });
    }

    fn read(&mut self, which: u64, key: usize, name: &str, given: &mut Entry) -> Answer {
        match which {
            0..8 => answer(Kind::Get, self.cache.get(name).map(|found| number(key, &found)), false),
            8..16 => {
                let found = self.cache.get_into(name, &mut self.buffer);
                answer(Kind::Get, found.then(|| number(key, &self.buffer)), false)
            }
            16..21 => answer(Kind::Contains, None, self.cache.contains(name)),
            _ => {
                let left = self.cache.time_to_live(name);
                given.expires = matches!(left, Some(TimeToLive::Left(_)));
                answer(Kind::TimeToLive, None, left.is_some())
            }
        }
    }

    fn write(&mut self, which: u64, key: usize, name: &str, value: &[u8], ttl: Option<Duration>, given: &mut Entry) -> Answer {
        let cache = &self.cache;
        match which {
            26..34 => {
                match ttl {
                    Some(ttl) => cache.set_with_ttl(name, value, ttl).expect("a value that fits is stored"),
                    None => cache.set(name, value).expect("a value that fits is stored"),
                }
                answer(Kind::Set, None, true)
            }
            34..40 => answer(Kind::Remove, None, cache.remove(name)),
            40..46 => answer(Kind::Take, cache.take(name).map(|found| number(key, &found)), false),
            46..53 => conditional(Kind::Add, None, cache.add(name, value, ttl)),
            53..58 => conditional(Kind::Replace, None, cache.replace(name, value, ttl)),
            58..64 => answer(Kind::Touch, None, cache.touch(name, ttl)),
            64..70 => {
                let seen = self.versions[key];
                match seen {
                    Some((seen, version)) => {
                        conditional(Kind::Swap, Some(seen), cache.compare_and_swap(name, version, value, ttl))
                    }
                    None => answer(Kind::Get, cache.get(name).map(|found| number(key, &found)), false),
                }
            }
            _ if self.is_careless => {
                let from = cache.get(name).map(|found| number(key, &found)).filter(|&number| history::is_counter(number));
                std::thread::yield_now();
                let sum = from.unwrap_or(given.number) + history::DELTA;
                cache.set(name, sum.to_le_bytes()).expect("a value that fits is stored");
                answer(Kind::Increment, Some(sum), true)
            }
            _ => {
                let sum = cache.increment(name, history::DELTA as i64, given.number as i64, ttl);
                match sum {
                    Ok(sum) => answer(Kind::Increment, Some(sum as u64), true),
                    Err(shmemo::IncrementError::NotACounter { len }) => {
                        assert!(len >= 24, "a counter of {len} bytes");
                        answer(Kind::Increment, None, false)
                    }
                    Err(shmemo::IncrementError::Set(SetError::Busy)) => answer(Kind::Busy, None, false),
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    fn update(&mut self, which: u64, key: usize, name: &str, value: &[u8], given: &mut Entry) -> Answer {
        if which < 92 {
            let found = self.cache.get_versioned(name);
            let found = found.map(|(found, version)| (number(key, &found), version));
            self.versions[key] = found;
            return answer(Kind::GetVersioned, found.map(|found| found.0), false);
        }
        let (kind, action) = match which {
            92..94 => (Kind::UpdateKeep, Action::Keep),
            94..96 => (Kind::UpdateSet, Action::Set(value.to_vec())),
            96..98 => (Kind::UpdateSetWithTtl, Action::SetWithTtl(value.to_vec(), Duration::from_secs(3600))),
            _ => (Kind::UpdateRemove, Action::Remove),
        };
        given.expires = kind == Kind::UpdateSetWithTtl;
        let (mut seen, lingers) = (None, self.rng.below(4) == 0);
        let done = self.cache.update(name, |old| {
            seen = old.map(|found| number(key, found));
            if lingers {
                std::thread::yield_now();
            }
            action.clone()
        });
        let expected = match kind {
            Kind::UpdateKeep => Updated::Kept,
            Kind::UpdateRemove if seen.is_some() => Updated::Removed,
            Kind::UpdateRemove => Updated::Kept,
            _ => Updated::Stored,
        };
        conditional(kind, seen, done.map(|done| done == expected).inspect(|&told| assert!(told, "{kind:?} that saw {seen:?}")))
    }
}
