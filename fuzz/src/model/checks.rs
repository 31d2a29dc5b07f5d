//! Looks at the whole cache, and at when an entry expires.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use shmemo::TimeToLive;

use super::{Bound, Entry, GRAIN, Model};

impl Model<'_> {
    pub(super) fn time_to_live(&mut self, key: &[u8]) {
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
    pub(super) fn check_all(&mut self) {
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

    pub(super) fn check_len(&self) {
        let (cache, now) = (self.cache(), Instant::now());
        let len = cache.len();
        assert!(cache.max_entries().is_none_or(|most| len as u64 <= most));
        assert_eq!(len == 0, cache.is_empty());
        let expires_soon = |entry: &Entry| entry.expiry.is_some_and(|(earliest, _)| earliest <= now + Duration::from_secs(60));
        if self.bound != Bound::Any && !self.entries.values().any(expires_soon) {
            assert!(len >= self.entries.len(), "{len} entries, not {}", self.entries.len());
        }
    }

    pub(super) fn check_file(&self) {
        let report = self.cache().verify().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((report.unfinished, report.count_drift), (0, 0), "{report:?}");
        assert!(report.entries <= report.logged);
    }

    pub(super) fn check_stats(&self) {
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
}
