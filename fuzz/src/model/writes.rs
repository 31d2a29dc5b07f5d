//! Operations that change an entry, or may: what came of them is judged, and the model does the same.

use std::time::{Duration, Instant};

use shmemo::{Action, IncrementError, SetError, Updated};

use super::{Bound, Model, There};

impl Model<'_> {
    pub(super) fn set(&mut self, key: &[u8], len: usize, ttl: Option<Duration>) {
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
    pub(super) fn store_if(&mut self, key: &[u8], len: usize, ttl: Option<Duration>, wants: bool) {
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

    pub(super) fn get_versioned(&mut self, key: &[u8]) {
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

    pub(super) fn compare_and_swap(&mut self, key: &[u8], number: u8, len: usize, ttl: Option<Duration>) {
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

    pub(super) fn increment(&mut self, key: &[u8], delta: i64, number: u8, ttl: Option<Duration>) {
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

    pub(super) fn update(&mut self, key: &[u8], action: u8, len: usize, ttl: Option<Duration>) {
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

    pub(super) fn touch(&mut self, key: &[u8], ttl: Option<Duration>) {
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
            }
            self.use_one(key);
        }
    }
}
