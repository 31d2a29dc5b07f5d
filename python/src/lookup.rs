//! Reading and writing single keys: the fast path.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use pyo3::prelude::*;
use shmemo::{SetError, UpTo};

use crate::codec::Codec;
use crate::encode::Fail;
use crate::{errors, keys, values};

/// What has at least this many bytes is copied without the interpreter's lock: it takes longer than to let go of that.
pub const LARGE: usize = 64 << 10;
/// A buffer larger than this is not kept for the next time.
const KEPT: usize = 1 << 20;

/// An open cache, and what it takes to encode for it.
pub struct Open {
    pub cache: shmemo::Cache,
    pub codec: Arc<Codec>,
}

impl Open {
    pub fn new(cache: shmemo::Cache, codec: Codec) -> Self {
        Self { cache, codec: Arc::new(codec) }
    }
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

/// Runs `f` on the open cache, without the interpreter's lock if this key has a large value, of which `f` makes a copy. `f`
/// must not call into Python.
#[inline]
pub fn on_key<R: Send>(place: &Place, py: Python<'_>, key: &[u8], f: impl Fn(&shmemo::Cache) -> R + Sync) -> PyResult<R> {
    match with_open(place, py, |open| (!has_large(&open.cache, key)).then(|| f(&open.cache)))? {
        Some(result) => Ok(result),
        None => handles(place, py).map(|(cache, _)| py.detach(|| f(&cache))),
    }
}

/// Whether a key has a large value at this moment. What it is a moment later decides who waits, nothing else.
#[inline]
fn has_large(cache: &shmemo::Cache, key: &[u8]) -> bool {
    cache.value_len(key).is_some_and(|len| len >= LARGE)
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
    give_back(py, buffer);
    value
}

/// To give back much memory takes long, too.
#[inline]
fn give_back(py: Python<'_>, buffer: Buffer) {
    if buffer.capacity() > KEPT {
        py.detach(|| drop(buffer));
    }
}

#[inline]
fn read(place: &Place, py: Python<'_>, key: &[u8], buffer: &mut Vec<u8>) -> PyResult<bool> {
    match with_open(place, py, |open| open.cache.get_up_to(key, LARGE - 1, buffer))? {
        UpTo::Copied => Ok(true),
        UpTo::Absent => Ok(false),
        UpTo::Longer(_) => handles(place, py).map(|(cache, _)| py.detach(|| cache.get_into(key, buffer))),
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
    let buffer = Buffer(bytes);
    let value = decode(place, py, &buffer);
    give_back(py, buffer);
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
    store: impl Fn(&shmemo::Cache, &[u8], &[u8]) -> Result<R, SetError> + Sync,
) -> PyResult<R> {
    store_over(place, key, value, |_, _| false, store)
}

/// The same for what looks at the value that is there, of which the crate makes a copy.
pub fn store_if<R: Send>(
    place: &Place,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    store: impl Fn(&shmemo::Cache, &[u8], &[u8]) -> Result<R, SetError> + Sync,
) -> PyResult<R> {
    store_over(place, key, value, has_large, store)
}

#[inline]
fn store_over<R: Send>(
    place: &Place,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    takes_long: impl Fn(&shmemo::Cache, &[u8]) -> bool,
    store: impl Fn(&shmemo::Cache, &[u8], &[u8]) -> Result<R, SetError> + Sync,
) -> PyResult<R> {
    let py = key.py();
    let mut buffer = Buffer::take();
    let codec = with_open(place, py, |open| open.codec.clone())?;
    values::encode(value, &codec, &mut buffer)?;
    let value = buffer.as_slice();
    let result = keys::with_key(key, |key| {
        let quickly = |open: &Open| {
            let is_quick = value.len() < LARGE && !takes_long(&open.cache, key);
            is_quick.then(|| store(&open.cache, key, value))
        };
        match with_open(place, py, quickly)? {
            Some(result) => Ok(result),
            None => handles(place, py).map(|(cache, _)| py.detach(|| store(&cache, key, value))),
        }
    })??;
    give_back(py, buffer);
    result.map_err(|error| set_error(place, py, &error))
}

/// The exception for an error of a write, which names the file.
#[cold]
pub fn set_error(place: &Place, py: Python<'_>, error: &SetError) -> PyErr {
    errors::set(py, error, path(place, py).as_ref())
}

/// The path of the open cache, if it has one.
pub fn path(place: &Place, py: Python<'_>) -> Option<PathBuf> {
    with_open(place, py, |open| open.cache.path().map(Path::to_path_buf)).ok().flatten()
}

/// The value of a key; if it has none, or none that can be read, `default` is stored and given.
pub fn get_or_store<'py>(
    place: &Place,
    key: &Bound<'py, PyAny>,
    default: &Bound<'py, PyAny>,
    ttl: Option<Duration>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = key.py();
    loop {
        let mut found = Buffer::take();
        let is_there = keys::with_key(key, |key| read(place, py, key, &mut found))??;
        if is_there && let Some(value) = decode(place, py, &found)? {
            give_back(py, found);
            return Ok(value);
        }
        // What cannot be read is replaced, and nothing else.
        let unreadable: &[u8] = &found;
        let stored =
            store_if(place, key, default, |cache, key, value| match if is_there { cache.get_versioned(key) } else { None } {
                Some((bytes, version)) if bytes == unreadable => cache.compare_and_swap(key, version, value, ttl),
                Some(_) => Ok(false),
                None => cache.add(key, value, ttl),
            })?;
        if stored {
            return Ok(default.clone());
        }
        py.check_signals()?;
    }
}

/// Stores a value whatever was there.
pub fn set(cache: &shmemo::Cache, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Result<(), SetError> {
    match ttl {
        None => cache.set(key, value),
        Some(ttl) => cache.set_with_ttl(key, value, ttl),
    }
}
