//! Operations on one key whose new value does not depend on the old one.

use std::time::Duration;

use super::{Cache, LONGEST_TTL_MS, ttl_to_ms};
use crate::error::SetError;
use crate::protocol::{Change, Content, Decision, Event, Key, Outcome, Plain, Probe};

/// How long an entry still has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeToLive {
    /// It does not expire.
    Never,
    /// It expires after this time, exact to a millisecond.
    Left(Duration),
}

/// What [`Cache::get_up_to`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpTo {
    /// The key has no value.
    Absent,
    /// The value is in the buffer.
    Copied,
    /// The value has so many bytes, more than was asked for. The buffer is empty.
    Longer(usize),
}

impl Cache {
    /// The value of a key, copied out whole, as it was at one instant. Counts as a use of the entry.
    #[inline]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        self.append_to(key.as_ref(), &mut value).then_some(value)
    }

    /// [`Cache::get`] into a buffer that is cleared first. Tells whether there is a value. Allocates nothing once the
    /// buffer has grown, makes no system call (but for reading the clock if the entry expires), and writes no shared
    /// memory once the key is hot.
    #[inline]
    pub fn get_into(&self, key: impl AsRef<[u8]>, value: &mut Vec<u8>) -> bool {
        value.clear();
        self.append_to(key.as_ref(), value)
    }

    /// [`Cache::get_into`] for values of up to `most` bytes: a longer one is not copied, only its length is told, and that does
    /// not count as a use. For those who must not do for long what they do just now, like the holder of an interpreter's lock.
    pub fn get_up_to(&self, key: impl AsRef<[u8]>, most: usize, value: &mut Vec<u8>) -> UpTo {
        value.clear();
        let key = self.inner.key(key.as_ref());
        let most = most.min(self.inner.core.layout.max_value_len);
        let found = match self.inner.core.get_plain(&key, most, value) {
            Plain::Found => true,
            Plain::Absent => false,
            Plain::Unclear => match self.inner.here().read().peek(&key).map(|probe| probe.header.value_len) {
                Some(len) if len > most => return UpTo::Longer(len),
                _ => self.append_unclear(key.bytes, value),
            },
        };
        self.count_read(found);
        if found { UpTo::Copied } else { UpTo::Absent }
    }

    /// How long the value of a key is in bytes, at one instant. Does not count as a use of the entry.
    pub fn value_len(&self, key: impl AsRef<[u8]>) -> Option<usize> {
        self.inner.here().read().peek(&self.inner.key(key.as_ref())).map(|probe| probe.header.value_len)
    }

    // Not inlined: one copy of the whole lookup, not one for each place that calls.
    #[inline(never)]
    pub(super) fn append_to(&self, key: &[u8], value: &mut Vec<u8>) -> bool {
        self.append_value(&self.inner.key(key), value)
    }

    #[inline(always)]
    pub(super) fn append_value(&self, key: &Key<'_>, value: &mut Vec<u8>) -> bool {
        let found = match self.inner.core.get_plain(key, self.inner.core.layout.max_value_len, value) {
            Plain::Found => true,
            Plain::Absent => false,
            Plain::Unclear => self.append_unclear(key.bytes, value),
        };
        self.count_read(found);
        found
    }

    #[inline(always)]
    fn count_read(&self, found: bool) {
        let lane = self.inner.lanes.mine();
        if lane.count(if found { Event::Hit } else { Event::Miss }, 1) {
            self.inner.add_up(lane);
        }
    }

    // By the bytes of the key alone, so that nothing else need stand in memory.
    #[inline(never)]
    fn append_unclear(&self, key: &[u8], value: &mut Vec<u8>) -> bool {
        self.inner.here().read().get(&self.inner.key(key), value).is_some()
    }

    /// Whether a key has a value, at one instant. Does not count as a use of the entry.
    pub fn contains(&self, key: impl AsRef<[u8]>) -> bool {
        let here = self.inner.here();
        here.read().peek(&self.inner.key(key.as_ref())).is_some()
    }

    /// How long the entry of a key still has, in whole milliseconds, at one instant; `None` if there is none. Does not
    /// count as a use.
    pub fn time_to_live(&self, key: impl AsRef<[u8]>) -> Option<TimeToLive> {
        let here = self.inner.here();
        let op = here.read();
        let probe = op.peek(&self.inner.key(key.as_ref()))?;
        Some(match probe.expiry_ms {
            None => TimeToLive::Never,
            Some(at) => TimeToLive::Left(Duration::from_millis(at.saturating_sub(op.now()))),
        })
    }

    /// Stores a value, whatever was there, with the default time to live. One atomic step.
    ///
    /// When the cache is full this evicts a bounded amount of older entries and goes on. In the rare case that no room
    /// can be had at once (nearly all of it is held by writers that stand still in the middle of a write) the key is
    /// left without a value, as if it had been evicted at once, and [`Stats::dropped`](crate::Stats::dropped) tells.
    ///
    /// # Errors
    /// [`SetError::KeyTooLarge`], [`SetError::ValueTooLarge`] (the key then has no value: the old one would be stale),
    /// [`SetError::NotAttached`] (the key is left as it is).
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), SetError> {
        self.store(key.as_ref(), value.as_ref(), None)
    }

    /// Stores a value that expires after `ttl`, which is rounded up to a millisecond; from 2^40 ms (34 years) on it is
    /// for ever.
    ///
    /// # Errors
    /// As [`Cache::set`], and [`SetError::ZeroTtl`] (the key is left as it is).
    pub fn set_with_ttl(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: Duration) -> Result<(), SetError> {
        self.store(key.as_ref(), value.as_ref(), Some(ttl))
    }

    pub(super) fn store(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Result<(), SetError> {
        let expiry_ms = self.expiry(ttl)?;
        if let Err(error) = self.check_sizes(key, value) {
            self.remove(key);
            return Err(error);
        }
        let here = self.inner.here();
        let op = here.write().map_err(SetError::NotAttached)?;
        op.set(&self.inner.key(key), &Content { value, expiry_ms, version: None });
        Ok(())
    }

    /// Removes a key, in one atomic step. Tells whether it had a value. A process that could not attach removes all the
    /// same.
    pub fn remove(&self, key: impl AsRef<[u8]>) -> bool {
        let here = self.inner.here();
        let op = here.write().unwrap_or_else(|_| here.read());
        op.remove(&self.inner.key(key.as_ref()))
    }

    /// Removes a key and gives the value that it had, in one atomic step: of several callers, one gets it. `None`, and
    /// nothing is removed, also if this process could not attach, and where others would get [`SetError::Busy`].
    pub fn take(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let here = self.inner.here();
        let op = here.write().ok()?;
        let mut taken = None;
        let outcome = op.modify(&self.inner.key(key.as_ref()), |present| {
            taken = present.map(|(_, value)| std::mem::take(value));
            Decision::Remove
        });
        taken.filter(|_| outcome == Outcome::Removed)
    }

    /// Gives the entry of a key another time to live, rounded up to milliseconds; `None` for ever. One atomic step, and a
    /// use of the entry like a get. Tells whether there is such an entry. A zero time to live changes nothing and gives `false`, as do a write for which there
    /// is no room and a process that could not attach.
    pub fn touch(&self, key: impl AsRef<[u8]>, ttl: Option<Duration>) -> bool {
        let expiry_ms = match ttl.map(ttl_to_ms) {
            Some(None) => return false,
            Some(Some(ms)) => self.expiry_in(ms.min(LONGEST_TTL_MS)),
            None => None,
        };
        let here = self.inner.here();
        let Ok(op) = here.write() else { return false };
        let mut is_there = false;
        let outcome = op.modify(&self.inner.key(key.as_ref()), |present| {
            is_there = present.is_some();
            match present {
                Some((probe, value)) if probe.expiry_ms != expiry_ms => {
                    Decision::Store(Change { value: std::mem::take(value).into(), expiry_ms, version: probe.version })
                }
                Some((probe, _)) => {
                    self.inner.core.note_use(probe.slot_at, probe.word);
                    Decision::Keep
                }
                None => Decision::Keep,
            }
        });
        match outcome {
            Outcome::Stored => true,
            // Either the key is absent, or its entry expires at that very millisecond already. Which, is not to be asked
            // again: the answer would be of another moment.
            Outcome::Kept => is_there,
            Outcome::Removed | Outcome::Busy => false,
        }
    }

    /// Stores a value only if the key has none, in one atomic step. Tells whether it did. `ttl` of `None` is the default
    /// time to live.
    ///
    /// # Errors
    /// As [`Cache::set_with_ttl`], but the key is left as it is; and [`SetError::Busy`].
    pub fn add(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<bool, SetError> {
        self.store_if(key.as_ref(), value.as_ref(), ttl, |present| present.is_none())
    }

    /// Stores a value only if the key has one, in one atomic step. Tells whether it did. `ttl` of `None` is the default
    /// time to live.
    ///
    /// # Errors
    /// As [`Cache::set_with_ttl`], but the key is left as it is; and [`SetError::Busy`].
    pub fn replace(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<bool, SetError> {
        self.store_if(key.as_ref(), value.as_ref(), ttl, |present| present.is_some())
    }

    fn store_if(
        &self,
        key: &[u8],
        value: &[u8],
        ttl: Option<Duration>,
        condition: impl Fn(Option<&Probe>) -> bool,
    ) -> Result<bool, SetError> {
        self.check_sizes(key, value)?;
        let expiry_ms = self.expiry(ttl)?;
        self.modify(key, |present| {
            if condition(present.map(|(probe, _)| probe)) {
                Decision::Store(Change { value: value.into(), expiry_ms, version: None })
            } else {
                Decision::Keep
            }
        })
        .map(|outcome| outcome == Outcome::Stored)
    }

    /// [`Op::modify`](crate::protocol::Op::modify) with the errors of the public operations.
    pub(super) fn modify<'d>(
        &self,
        key: &[u8],
        decide: impl FnMut(Option<(&Probe, &mut Vec<u8>)>) -> Decision<'d>,
    ) -> Result<Outcome, SetError> {
        let here = self.inner.here();
        let op = here.write().map_err(SetError::NotAttached)?;
        match op.modify(&self.inner.key(key), decide) {
            // In a child that the caller's code forked, and that could not attach, it says why.
            Outcome::Busy => here.write().map_err(SetError::NotAttached).and(Err(SetError::Busy)),
            outcome => Ok(outcome),
        }
    }
}
