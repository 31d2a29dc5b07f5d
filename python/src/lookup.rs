//! Reading and writing single keys: the fast path.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use pyo3::prelude::*;
use shmemo::SetError;

use crate::codec::Codec;
use crate::encode::Fail;
use crate::{errors, keys, values};

/// What has at least this many bytes is copied without the interpreter's lock: it takes longer than to let go of that.
pub const LARGE: usize = 64 << 10;
/// A buffer larger than this is not kept for the next time.
const KEPT: usize = 1 << 20;
/// Keys that are remembered to have large values.
const REMEMBERED: usize = 64;

/// An open cache, and what it takes to encode for it.
pub struct Open {
    pub cache: shmemo::Cache,
    pub codec: Arc<Codec>,
    large: Arc<LargeKeys>,
}

impl Open {
    pub fn new(cache: shmemo::Cache, codec: Codec) -> Self {
        Self { cache, codec: Arc::new(codec), large: Arc::default() }
    }
}

/// Which keys had a large value when they were last read or written here. A guess: it decides who waits, nothing else.
struct LargeKeys {
    /// None has: nothing more is looked at.
    any: AtomicU64,
    marks: [AtomicU64; REMEMBERED],
}

impl Default for LargeKeys {
    fn default() -> Self {
        Self { any: AtomicU64::new(0), marks: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl LargeKeys {
    #[inline]
    fn has(&self, key: &[u8]) -> bool {
        // Relaxed, here and below: nothing is inferred from them.
        self.any.load(Ordering::Relaxed) != 0 && {
            let mark = mark(key);
            self.marks[mark as usize % REMEMBERED].load(Ordering::Relaxed) == mark
        }
    }

    #[inline]
    fn note(&self, key: &[u8], len: usize) {
        if len >= LARGE {
            let mark = mark(key);
            self.marks[mark as usize % REMEMBERED].store(mark, Ordering::Relaxed);
            self.any.store(1, Ordering::Relaxed);
        }
    }
}

/// FNV-1a, never zero.
fn mark(key: &[u8]) -> u64 {
    key.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)) | 1 << 63
}

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// This thread's buffer. It is taken, not borrowed: what is encoded or decoded may be code that comes here again.
pub struct Buffer(Vec<u8>);

impl Buffer {
    #[inline]
    pub fn take() -> Self {
        let mut buffer = BUFFER.take();
        buffer.clear();
        Self(buffer)
    }
}

impl std::ops::Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        if self.0.capacity() <= KEPT {
            BUFFER.set(std::mem::take(&mut self.0));
        }
    }
}

/// The place of an open cache; empty once it is closed. The lock is held for moments only, and never while this thread
/// waits for the interpreter, so no child is forked with it taken.
pub type Place = RwLock<Option<Open>>;

/// Runs `f` on the open cache. `f` must not call into Python.
#[inline]
pub fn with_open<R>(place: &Place, py: Python<'_>, f: impl FnOnce(&Open) -> R) -> PyResult<R> {
    let guard = place.read().unwrap_or_else(PoisonError::into_inner);
    match &*guard {
        Some(open) => Ok(f(open)),
        None => {
            drop(guard);
            Err(errors::closed(py))
        }
    }
}

/// The crate's handle and the codec, to be used when the place may be emptied meanwhile.
pub fn handles(place: &Place, py: Python<'_>) -> PyResult<(shmemo::Cache, Arc<Codec>)> {
    with_open(place, py, |open| (open.cache.clone(), open.codec.clone()))
}

/// The value of a key. One that cannot be read is none, unless the codec raises.
#[inline]
pub fn get<'py>(place: &Place, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = key.py();
    let mut buffer = Buffer::take();
    if !keys::with_key(key, |key| read(place, py, key, &mut buffer))?? {
        return Ok(None);
    }
    decode(place, py, &buffer)
}

#[inline]
fn read(place: &Place, py: Python<'_>, key: &[u8], buffer: &mut Vec<u8>) -> PyResult<bool> {
    let found = with_open(place, py, |open| (!open.large.has(key)).then(|| open.cache.get_into(key, buffer)))?;
    let found = match found {
        Some(found) => found,
        None => {
            let (cache, _) = handles(place, py)?;
            py.detach(|| cache.get_into(key, buffer))
        }
    };
    if buffer.len() >= LARGE {
        with_open(place, py, |open| open.large.note(key, buffer.len()))?;
    }
    Ok(found)
}

/// The value of what was read.
#[inline]
pub fn decode<'py>(place: &Place, py: Python<'py>, bytes: &[u8]) -> PyResult<Option<Bound<'py, PyAny>>> {
    let codec = with_open(place, py, |open| open.codec.clone())?;
    decode_by(&codec, py, bytes)
}

/// The same by a codec that is at hand.
#[inline]
pub fn decode_by<'py>(codec: &Codec, py: Python<'py>, bytes: &[u8]) -> PyResult<Option<Bound<'py, PyAny>>> {
    match values::decode(py, bytes, codec) {
        Ok(value) => Ok(Some(value)),
        Err(fail) => undecodable(codec, py, fail),
    }
}

#[cold]
fn undecodable<'py>(codec: &Codec, py: Python<'py>, fail: Fail) -> PyResult<Option<Bound<'py, PyAny>>> {
    codec.undecodable(py, fail.into_error(py)).map(|()| None)
}

/// Encodes a value and hands it to `store`, without the interpreter's lock if it is large.
pub fn store<R: Send>(
    place: &Place,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    store: impl FnOnce(&shmemo::Cache, &[u8], &[u8]) -> Result<R, SetError> + Send,
) -> PyResult<R> {
    let py = key.py();
    let mut buffer = Buffer::take();
    let codec = with_open(place, py, |open| open.codec.clone())?;
    values::encode(value, &codec, &mut buffer)?;
    let value = buffer.as_slice();
    let result = keys::with_key(key, |key| {
        if value.len() < LARGE {
            return with_open(place, py, |open| store(&open.cache, key, value));
        }
        with_open(place, py, |open| open.large.note(key, value.len()))?;
        let (cache, _) = handles(place, py)?;
        Ok(py.detach(|| store(&cache, key, value)))
    })??;
    result.map_err(|error| errors::set(py, &error))
}

/// Stores a value whatever was there.
pub fn set(cache: &shmemo::Cache, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Result<(), SetError> {
    match ttl {
        None => cache.set(key, value),
        Some(ttl) => cache.set_with_ttl(key, value, ttl),
    }
}
