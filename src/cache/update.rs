//! Operations whose new value depends on the old one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Cache;
use crate::error::{IncrementError, SetError};
use crate::layout::header;
use crate::protocol::{Change, Decision, Event, Memory, Outcome, Word, World};

/// Names one state of a key's value: two equal versions mean that nothing was stored in between. Moves by the cache and
/// [`Cache::touch`] keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(u64);

/// What [`Cache::update`] is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Keep,
    /// Store this value. An entry that is there keeps its expiry; a new one gets the default time to live.
    Set(Vec<u8>),
    /// Store this value with this time to live.
    SetWithTtl(Vec<u8>, Duration),
    /// Remove the key.
    Remove,
}

/// What [`Cache::update`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updated {
    /// Nothing: that was the action, or there was nothing to remove.
    Kept,
    /// The value was stored.
    Stored,
    /// The key was removed.
    Removed,
}

impl Cache {
    /// The value of a key with its version, as they were at one instant, for [`Cache::compare_and_swap`]. Counts as a use.
    ///
    /// The first call on an entry that was stored by a plain `set` stamps it, which is a write: `None` also if there is
    /// no room for that, or if this process could not attach.
    pub fn get_versioned(&self, key: impl AsRef<[u8]>) -> Option<(Vec<u8>, Version)> {
        let key = key.as_ref();
        let here = self.inner.here();
        let mut value = Vec::new();
        // Most have a stamp already: then this is a read.
        if let Some(probe) = here.read().get(&self.inner.key(key), &mut value)
            && let Some(version) = probe.version
        {
            here.count(Event::Hit, 1);
            return Some((value, Version(version)));
        }
        let mut seen = None;
        let outcome = here.write().ok()?.modify(&self.inner.key(key), |present| {
            let Some((probe, value)) = present else {
                seen = None;
                return Decision::Keep;
            };
            let version = probe.version;
            let stamp = version.unwrap_or_else(|| self.next_version());
            seen = Some((value.clone(), Version(stamp)));
            match version {
                Some(_) => Decision::Keep,
                None => Decision::Store(Change {
                    value: std::mem::take(value).into(),
                    expiry_ms: probe.expiry_ms,
                    version: Some(stamp),
                }),
            }
        });
        let seen = seen.filter(|_| outcome != Outcome::Busy);
        here.count(if seen.is_some() { Event::Hit } else { Event::Miss }, 1);
        seen
    }

    /// A number that no entry of this file had before.
    fn next_version(&self) -> u64 {
        // Relaxed: the number only has to be different from all others.
        self.inner.core.memory.word(header::STAMP_BLOCKS).fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Stores a value only if the key still has the value that `version` names, in one atomic step. Tells whether it did.
    /// `ttl` of `None` is the default time to live.
    ///
    /// # Errors
    /// As [`Cache::set_with_ttl`], but the key is left as it is; and [`SetError::Busy`].
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        version: Version,
        value: impl AsRef<[u8]>,
        ttl: Option<Duration>,
    ) -> Result<bool, SetError> {
        let (key, value) = (key.as_ref(), value.as_ref());
        self.check_sizes(key, value)?;
        let expiry_ms = self.expiry(ttl)?;
        let next = self.next_version();
        self.modify(key, |present| match present {
            Some((probe, _)) if probe.version == Some(version.0) => {
                Decision::Store(Change { value: value.into(), expiry_ms, version: Some(next) })
            }
            _ => Decision::Keep,
        })
        .map(|outcome| outcome == Outcome::Stored)
    }

    /// Adds `delta` to the counter of a key and gives the sum, in one atomic step. A key without a value counts from
    /// `initial` (so the first sum is `initial + delta`) and gets `ttl` (`None`: the default time to live); a counter
    /// that is there keeps its expiry.
    ///
    /// A counter is a value of exactly 8 bytes, an `i64` in little-endian order: `set(key, n.to_le_bytes())` makes one
    /// too.
    ///
    /// # Errors
    /// [`IncrementError::NotACounter`], [`IncrementError::Overflow`], and those of [`Cache::add`]; the key is then left
    /// as it is.
    pub fn increment(
        &self,
        key: impl AsRef<[u8]>,
        delta: i64,
        initial: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, IncrementError> {
        let key = key.as_ref();
        self.check_sizes(key, &[0; 8])?;
        let first_expiry_ms = self.expiry(ttl)?;
        let mut result = Ok(0);
        self.modify(key, |present| {
            let (current, expiry_ms, version) = match &present {
                None => (Ok(initial), first_expiry_ms, None),
                Some((probe, value)) => {
                    let bytes: Result<[u8; 8], _> = value.as_slice().try_into();
                    let current = bytes.map(i64::from_le_bytes).map_err(|_| IncrementError::NotACounter { len: value.len() });
                    (current, probe.expiry_ms, probe.version.map(|_| self.next_version()))
                }
            };
            result = current.and_then(|current| current.checked_add(delta).ok_or(IncrementError::Overflow { current, delta }));
            match &result {
                Ok(sum) => Decision::Store(Change { value: sum.to_le_bytes().to_vec().into(), expiry_ms, version }),
                Err(_) => Decision::Keep,
            }
        })?;
        result
    }

    /// Computes a new value from the old one, in one atomic step: `decide` gets a private copy of the value and says
    /// what to do. It may run again if the key was changed meanwhile, and it may use the cache itself. A panic in it
    /// leaves everything as it was.
    ///
    /// # Errors
    /// As [`Cache::add`]; the key is then left as it is.
    pub fn update(&self, key: impl AsRef<[u8]>, mut decide: impl FnMut(Option<&[u8]>) -> Action) -> Result<Updated, SetError> {
        let key = key.as_ref();
        self.check_sizes(key, &[])?;
        let mut refused = None;
        let outcome = self.modify(key, |present| {
            let (old, expiry_ms, version) = match &present {
                None => (None, None, None),
                Some((probe, value)) => (Some(value.as_slice()), Some(probe.expiry_ms), probe.version),
            };
            let (value, ttl) = match decide(old) {
                Action::Keep => return Decision::Keep,
                Action::Remove => return Decision::Remove,
                Action::Set(value) => (value, None),
                Action::SetWithTtl(value, ttl) => (value, Some(ttl)),
            };
            let expiry_ms = match (expiry_ms, ttl) {
                (Some(kept), None) => Ok(kept),
                (_, ttl) => self.expiry(ttl),
            };
            match self.check_sizes(key, &value).and(expiry_ms) {
                Ok(expiry_ms) => {
                    Decision::Store(Change { value: value.into(), expiry_ms, version: version.map(|_| self.next_version()) })
                }
                Err(error) => {
                    refused = Some(error);
                    Decision::Keep
                }
            }
        })?;
        match (refused, outcome) {
            (Some(error), _) => Err(error),
            (None, Outcome::Stored) => Ok(Updated::Stored),
            (None, Outcome::Removed) => Ok(Updated::Removed),
            (None, _) => Ok(Updated::Kept),
        }
    }
}
