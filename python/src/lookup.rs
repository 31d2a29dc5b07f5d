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

/// Which keys had a large value when they were last read or written here. A guess, since the crate tells a value's length
/// only with the value: it decides who waits, nothing else.
struct LargeKeys {
    /// What keys that are not remembered had when they were read, the last one in the lowest bit: 1 for a large value. Only
    /// once there was one, which sets the top bit.
    seen: AtomicU64,
    marks: [AtomicU64; REMEMBERED],
}

/// Set once there was a large value.
const ANY: u64 = 1 << 63;
/// The keys that were read last ...
const RECENT: u64 = 0xff;
/// ... and how many of them have to have had large values for the next to be taken to have one.
const MANY: u32 = 4;

impl Default for LargeKeys {
    fn default() -> Self {
        Self { seen: AtomicU64::new(0), marks: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl LargeKeys {
    /// Whether a key is likely to have a large value.
    #[inline]
    fn has(&self, key: &[u8]) -> bool {
        // Relaxed, here and below: nothing is inferred from them.
        let seen = self.seen.load(Ordering::Relaxed);
        seen != 0 && (self.remembers(key) || (seen & RECENT).count_ones() >= MANY)
    }

    fn remembers(&self, key: &[u8]) -> bool {
        let mark = mark(key);
        self.marks[mark as usize % REMEMBERED].load(Ordering::Relaxed) == mark
    }

    #[inline]
    fn note_read(&self, key: &[u8], len: usize) {
        let seen = self.seen.load(Ordering::Relaxed);
        if (seen != 0 || len >= LARGE) && !self.remembers(key) {
            self.seen.store(seen << 1 | u64::from(len >= LARGE) | ANY, Ordering::Relaxed);
            self.note(key, len);
        }
    }

    fn note(&self, key: &[u8], len: usize) {
        if len >= LARGE {
            let mark = mark(key);
            self.marks[mark as usize % REMEMBERED].store(mark, Ordering::Relaxed);
            self.seen.fetch_or(ANY, Ordering::Relaxed);
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

/// Runs `f` on the open cache, without the interpreter's lock if this key is likely to have a large value. `f` must not call
/// into Python.
#[inline]
pub fn on_key<R: Send>(place: &Place, py: Python<'_>, key: &[u8], mut f: impl FnMut(&shmemo::Cache) -> R + Send) -> PyResult<R> {
    match with_open(place, py, |open| (!open.large.has(key)).then(|| f(&open.cache)))? {
        Some(result) => Ok(result),
        None => {
            let (cache, _) = handles(place, py)?;
            Ok(py.detach(|| f(&cache)))
        }
    }
}

/// The value of a key. One that cannot be read is none, unless the codec raises.
#[inline]
pub fn get<'py>(place: &Place, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = key.py();
    let mut buffer = Buffer::take();
    if !keys::with_key(key, |key| read(place, py, key, &mut buffer))?? {
        return Ok(None);
    }
    let value = decode(place, py, &buffer);
    if buffer.capacity() > KEPT {
        give_back(py, buffer);
    }
    value
}

/// To give back memory takes long, too.
#[cold]
fn give_back(py: Python<'_>, memory: impl Send) {
    py.detach(|| drop(memory));
}

#[inline]
fn read(place: &Place, py: Python<'_>, key: &[u8], buffer: &mut Vec<u8>) -> PyResult<bool> {
    let found = with_open(place, py, |open| {
        (!open.large.has(key)).then(|| {
            let found = open.cache.get_into(key, buffer);
            open.large.note_read(key, buffer.len());
            found
        })
    })?;
    match found {
        Some(found) => Ok(found),
        None => {
            let (cache, _) = handles(place, py)?;
            let found = py.detach(|| cache.get_into(key, buffer));
            with_open(place, py, |open| open.large.note_read(key, buffer.len()))?;
            Ok(found)
        }
    }
}

/// The value of what was read.
#[inline]
pub fn decode<'py>(place: &Place, py: Python<'py>, bytes: &[u8]) -> PyResult<Option<Bound<'py, PyAny>>> {
    let codec = with_open(place, py, |open| open.codec.clone())?;
    decode_by(&codec, py, bytes)
}

/// The same of bytes that are not needed any more.
pub fn decode_owned<'py>(place: &Place, py: Python<'py>, bytes: Vec<u8>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let value = decode(place, py, &bytes);
    if bytes.capacity() > KEPT {
        give_back(py, bytes);
    }
    value
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
    if buffer.capacity() > KEPT {
        give_back(py, buffer);
    }
    result.map_err(|error| errors::set(py, &error))
}

/// Stores a value whatever was there.
pub fn set(cache: &shmemo::Cache, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Result<(), SetError> {
    match ttl {
        None => cache.set(key, value),
        Some(ttl) => cache.set_with_ttl(key, value, ttl),
    }
}
