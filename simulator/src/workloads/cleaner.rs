//! What a log must move at least: a cleaner that knows all that is dead and always empties the segment with the fewest
//! live entries. Where every entry is as likely as any other to die next no cleaner moves less (Hu and Haas, "The
//! fundamental limit of flash random write performance", IBM RZ 3771, 2010).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::Store;

/// Entries that may be moved for each one stored, in the long run.
const MOVES: f64 = 1.5;
/// Entries that may be moved besides over a stretch that stores the capacity once, in parts of the capacity.
const BESIDES: f64 = 0.5;

/// A log of entries of one size, in one thread.
pub struct Cleaner {
    segments: Vec<Segment>,
    entries_of_segment: usize,
    free: Vec<usize>,
    open: usize,
    places: HashMap<u64, (usize, u64)>,
    /// When entries expire, and the number that each was stored under.
    expiring: BinaryHeap<(Reverse<Duration>, u64, u64)>,
    now: Duration,
    stored: u64,
    /// Moves that are allowed now; as many as it takes, if none.
    credit: Option<f64>,
    count: Count,
    begin: Count,
}

#[derive(Default)]
struct Segment {
    /// Keys, with the numbers that they were stored under.
    entries: Vec<(u64, u64)>,
    live: usize,
}

#[derive(Clone, Copy, Default)]
struct Count {
    stored: u64,
    moved: u64,
    evicted: u64,
}

/// What it comes to at the least.
#[derive(Clone, Copy, Debug)]
pub struct Least {
    /// Entries moved for each one stored, if none is evicted.
    pub moved: f64,
    /// Entries evicted, if no more than 1.5 are moved for each one stored, and a burst of half the capacity.
    pub evicted: u64,
}

impl Cleaner {
    /// An empty log; `is_bounded` says that moves are.
    pub fn new((segments, entries_of_segment): (usize, usize), is_bounded: bool) -> Self {
        Self {
            segments: (0..segments).map(|_| Segment::default()).collect(),
            entries_of_segment,
            free: (1..segments).collect(),
            open: 0,
            places: HashMap::new(),
            expiring: BinaryHeap::new(),
            now: Duration::ZERO,
            stored: 0,
            credit: is_bounded.then_some((segments * entries_of_segment) as f64 * BESIDES),
            count: Count::default(),
            begin: Count::default(),
        }
    }

    /// Entries moved for each one stored since the workload proper began, and entries evicted.
    pub fn end(&self) -> (f64, u64) {
        let (moved, stored) = (self.count.moved - self.begin.moved, self.count.stored - self.begin.stored);
        (moved as f64 / (stored as f64).max(1.0), self.count.evicted - self.begin.evicted)
    }

    fn earn(&mut self, moves: f64) {
        let most = (self.segments.len() * self.entries_of_segment) as f64 * BESIDES;
        self.credit = self.credit.map(|credit| (credit + moves).min(most));
    }

    fn drop_key(&mut self, key: u64) {
        if let Some((segment, _)) = self.places.remove(&key) {
            self.segments[segment].live -= 1;
        }
    }

    fn expire(&mut self) {
        while let Some(&(Reverse(at), key, number)) = self.expiring.peek()
            && at <= self.now
        {
            self.expiring.pop();
            if self.places.get(&key).is_some_and(|&(_, stored)| stored == number) {
                self.drop_key(key);
            }
        }
    }

    fn append(&mut self, key: u64, number: u64) -> Result<()> {
        if self.segments[self.open].entries.len() == self.entries_of_segment {
            let free = self.free.pop();
            ensure!(free.is_some(), "no segment is free");
            self.open = free.unwrap_or_default();
        }
        self.segments[self.open].entries.push((key, number));
        self.segments[self.open].live += 1;
        self.places.insert(key, (self.open, number));
        Ok(())
    }

    /// Empties segments until one is free besides that for survivors.
    fn clean(&mut self) -> Result<()> {
        while self.free.len() < 2 {
            let sealed = (0..self.segments.len()).filter(|&i| i != self.open && !self.free.contains(&i));
            let deadest = sealed.min_by_key(|&i| self.segments[i].live).unwrap_or_default();
            let emptied = std::mem::take(&mut self.segments[deadest]);
            ensure!(emptied.live < self.entries_of_segment, "everything is alive");
            for (key, number) in emptied.entries {
                if self.places.get(&key) != Some(&(deadest, number)) {
                    continue;
                }
                self.places.remove(&key);
                if self.credit.is_none_or(|credit| credit >= 1.0) {
                    self.earn(-1.0);
                    self.count.moved += 1;
                    self.append(key, number)?;
                } else {
                    self.count.evicted += 1;
                }
            }
            self.free.push(deadest);
        }
        Ok(())
    }
}

impl Store for Cleaner {
    fn room(&self) -> u64 {
        (self.segments.len() * self.entries_of_segment) as u64
    }

    fn set(&mut self, key: u64, ttl: Option<Duration>) -> Result<()> {
        self.expire();
        self.drop_key(key);
        if self.segments[self.open].entries.len() == self.entries_of_segment {
            self.clean()?;
        }
        self.stored += 1;
        self.count.stored += 1;
        self.earn(MOVES);
        if let Some(ttl) = ttl {
            self.expiring.push((Reverse(self.now + ttl), key, self.stored));
        }
        self.append(key, self.stored)
    }

    fn raise(&mut self, key: u64) -> Result<()> {
        self.set(key, None)
    }

    fn remove(&mut self, key: u64) {
        self.drop_key(key);
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.expire();
    }

    fn begin(&mut self) {
        self.begin = self.count;
    }

    fn look(&mut self) {}
}
