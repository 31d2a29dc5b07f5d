//! Iteration: weakly consistent, no lock, nobody waits.

use std::collections::VecDeque;

use super::Cache;

/// Entries in no particular order. See [`Cache::iter`].
#[derive(Debug)]
pub struct Iter {
    cache: Cache,
    bucket: usize,
    ready: VecDeque<(Vec<u8>, Vec<u8>)>,
}

/// Keys in no particular order. See [`Cache::keys`].
#[derive(Debug)]
pub struct Keys(Iter);

impl Cache {
    /// All entries, as copies. Weakly consistent: an entry that is there throughout is given exactly once, one that
    /// comes, goes or changes meanwhile may or may not be given, and no value is torn. Does not count as a use.
    pub fn iter(&self) -> Iter {
        Iter { cache: self.clone(), bucket: 0, ready: VecDeque::new() }
    }

    /// The keys of all entries, like [`Cache::iter`].
    pub fn keys(&self) -> Keys {
        Keys(self.iter())
    }
}

impl Iterator for Iter {
    type Item = (Vec<u8>, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        let inner = &*self.cache.inner;
        while self.ready.is_empty() && self.bucket < inner.core.layout.buckets {
            let here = inner.here();
            here.read().visit_bucket(self.bucket, |key, value| self.ready.push_back((key, value)));
            self.bucket += 1;
        }
        self.ready.pop_front()
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
