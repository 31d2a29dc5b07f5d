//! Iteration: weakly consistent, no lock, nobody waits.

use std::collections::VecDeque;

use super::Cache;

/// Entries in no particular order. See [`Cache::iter`].
#[derive(Debug)]
pub struct Iter {
    cache: Cache,
    bucket: usize,
    want_values: bool,
    ready: VecDeque<Ready>,
}

/// An entry that was copied out and not handed out yet.
#[derive(Debug)]
struct Ready {
    pair: (Vec<u8>, Vec<u8>),
    expiry_ms: Option<u64>,
}

/// Keys in no particular order. See [`Cache::keys`].
#[derive(Debug)]
pub struct Keys(Iter);

impl Cache {
    /// All entries, as copies. Weakly consistent: an entry that is there throughout is given exactly once, one that
    /// comes, goes or changes meanwhile may or may not be given, and no value is torn. Does not count as a use.
    pub fn iter(&self) -> Iter {
        Iter { cache: self.clone(), bucket: 0, want_values: true, ready: VecDeque::new() }
    }

    /// The keys of all entries, like [`Cache::iter`], without a copy of the values.
    pub fn keys(&self) -> Keys {
        Keys(Iter { want_values: false, ..self.iter() })
    }
}

impl Iterator for Iter {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        let inner = &*self.cache.inner;
        loop {
            while self.ready.is_empty() && self.bucket < inner.core.layout.buckets {
                let keep = |key, value, expiry_ms| self.ready.push_back(Ready { pair: (key, value), expiry_ms });
                inner.here().read().visit_bucket(self.bucket, self.want_values, keep);
                self.bucket += 1;
            }
            let ready = self.ready.pop_front()?;
            // It may have expired while it waited here.
            if ready.expiry_ms.is_none_or(|at| at > inner.seat.clock.now_ms(&inner.core)) {
                return Some(ready.pair);
            }
        }
    }
}

impl Iterator for Keys {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(key, _)| key)
    }
}

impl std::iter::FusedIterator for Iter {}
impl std::iter::FusedIterator for Keys {}

impl IntoIterator for &Cache {
    type Item = (Vec<u8>, Vec<u8>);
    type IntoIter = Iter;

    fn into_iter(self) -> Iter {
        self.iter()
    }
}
