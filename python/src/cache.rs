//! The class that `shmemo.Cache` extends.

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::PoisonError;

use pyo3::exceptions::{PyKeyError, PyOverflowError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use shmemo::TimeToLive;

use crate::codec::Codec;
use crate::iter::{NativeIter, What};
use crate::lookup::{self, Open, Place};
use crate::open::{self, Options, Target};
use crate::{errors, keys, many, ttl};

/// The native half of `shmemo.Cache`: not to be used by itself.
#[pyclass(subclass, frozen, mapping, module = "shmemo._native")]
pub struct NativeCache {
    place: Place,
}

impl NativeCache {
    /// Runs `f` on the crate's handle and a key.
    fn on_key<R>(&self, key: &Bound<'_, PyAny>, f: impl FnOnce(&shmemo::Cache, &[u8]) -> R) -> PyResult<R> {
        let py = key.py();
        keys::with_key(key, |key| lookup::with_open(&self.place, py, |open| f(&open.cache, key)))?
    }

    fn iterate(&self, py: Python<'_>, what: What) -> PyResult<NativeIter> {
        let (cache, codec) = lookup::handles(&self.place, py)?;
        Ok(NativeIter::new(&cache, codec, what))
    }
}

/// What a counter is raised by: any integer of 64 bits.
#[derive(Clone, Copy)]
struct Addend(i64);

impl<'py> FromPyObject<'_, 'py> for Addend {
    type Error = PyErr;

    fn extract(number: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let py = number.py();
        number.extract().map(Self).map_err(|error: PyErr| {
            if !error.is_instance_of::<PyOverflowError>(py) {
                return error;
            }
            let words = format!("a counter and what is added to it have 64 bits, and {} has more", number.to_owned());
            errors::plain(py, "CounterOverflow", words)
        })
    }
}

impl Drop for NativeCache {
    fn drop(&mut self) {
        let open = self.place.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Open { cache, codec, .. }) = open {
            // To unmap a large file takes long. At the interpreter's end nobody waits.
            let _ = Python::try_attach(|py| py.detach(|| drop(cache)));
            drop(codec);
        }
    }
}

#[pymethods]
impl NativeCache {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { place: Place::default() }
    }

    /// Opens: a path, a descriptor (an int), or None for an anonymous cache. Gives what is to be warned about, if anything.
    fn _open(
        &self,
        py: Python<'_>,
        target: &Bound<'_, PyAny>,
        options: Options<'_>,
        codec: &Bound<'_, PyAny>,
    ) -> PyResult<Option<String>> {
        let target = if target.is_none() {
            Target::Anonymous
        } else if let Ok(number) = target.extract::<i32>() {
            Target::Descriptor(number)
        } else {
            Target::Path(target.extract::<PathBuf>()?)
        };
        let (cache, warning) = open::open(py, target, &options)?;
        let codec = Codec::new(codec, cache.max_value_len())?;
        *self.place.write().unwrap_or_else(PoisonError::into_inner) = Some(Open::new(cache, codec));
        Ok(warning)
    }

    /// Shares the attachment of another handle of this process.
    fn _share(&self, py: Python<'_>, other: &Self, codec: &Bound<'_, PyAny>) -> PyResult<()> {
        let (cache, _) = lookup::handles(&other.place, py)?;
        let codec = Codec::new(codec, cache.max_value_len())?;
        *self.place.write().unwrap_or_else(PoisonError::into_inner) = Some(Open::new(cache, codec));
        Ok(())
    }

    /// Gives up the attachment; other handles of this process keep theirs.
    fn _close(&self, py: Python<'_>) {
        let open = self.place.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Open { cache, codec, .. }) = open {
            py.detach(|| drop(cache));
            drop(codec);
        }
    }

    /// Whether this handle was closed, or never opened.
    #[getter]
    fn closed(&self) -> bool {
        self.place.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// The value of a key, or `default` if it has none. Atomic; counts as a use of the entry.
    #[pyo3(signature = (key, default = None))]
    fn get<'py>(&self, key: &Bound<'py, PyAny>, default: Option<Bound<'py, PyAny>>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(lookup::get(&self.place, key)?.or(default))
    }

    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        lookup::get(&self.place, key)?.ok_or_else(|| PyKeyError::new_err((key.clone().unbind(),)))
    }

    /// Stores a value for a key, whatever was there, in one atomic step.
    ///
    /// `ttl` is the time to live in seconds (or a timedelta), rounded up to a millisecond; None for the default of the
    /// cache, math.inf for ever.
    ///
    /// Raises UnsupportedKey, UnsupportedValue (TypeErrors); KeyTooLarge, ValueTooLarge (the key then has no value: the old
    /// one would be stale), ZeroTtl, InvalidTtl (ValueErrors); NotAttached, RegistryFull (OSErrors); Closed (a ValueError).
    #[pyo3(signature = (key, value, ttl = None))]
    fn set(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let ttl = ttl::from_python(ttl)?;
        lookup::store(&self.place, key, value, |cache, key, value| lookup::set(cache, key, value, ttl))
    }

    fn __setitem__(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        lookup::store(&self.place, key, value, |cache, key, value| cache.set(key, value))
    }

    /// Stores a value only if the key has none, in one atomic step. Tells whether it did. Of several processes that do so at
    /// once, one is told True.
    ///
    /// Raises what `set` raises (the key is then left as it is), and Busy (an OSError).
    #[pyo3(signature = (key, value, ttl = None))]
    fn add(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let ttl = ttl::from_python(ttl)?;
        lookup::store_if(&self.place, key, value, |cache, key, value| cache.add(key, value, ttl))
    }

    /// Stores a value only if the key has one, in one atomic step. Tells whether it did.
    ///
    /// Raises what `set` raises (the key is then left as it is), and Busy (an OSError).
    #[pyo3(signature = (key, value, ttl = None))]
    fn replace(&self, key: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let ttl = ttl::from_python(ttl)?;
        lookup::store_if(&self.place, key, value, |cache, key, value| cache.replace(key, value, ttl))
    }

    /// Removes a key and gives its value: of several processes that do so at once, one gets it.
    ///
    /// Raises KeyError if the key has no value and no default is given.
    #[pyo3(signature = (key, default = None), text_signature = "($self, key, default=...)")]
    fn _pop<'py>(&self, key: &Bound<'py, PyAny>, default: Option<Bound<'py, PyAny>>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = key.py();
        let taken = keys::with_key(key, |key| lookup::on_key(&self.place, py, key, |cache| cache.take(key)))??;
        let value = match taken {
            Some(bytes) => lookup::decode_owned(&self.place, py, bytes)?,
            None => None,
        };
        Ok(value.or(default))
    }

    /// Removes a key, in one atomic step. Tells whether it had a value.
    fn delete(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.on_key(key, |cache, key| cache.remove(key))
    }

    fn __delitem__(&self, key: &Bound<'_, PyAny>) -> PyResult<()> {
        if self.delete(key)? { Ok(()) } else { Err(PyKeyError::new_err((key.clone().unbind(),))) }
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.on_key(key, |cache, key| cache.contains(key))
    }

    /// Gives the entry of a key another time to live: seconds (or a timedelta) from now; None or math.inf for ever. Tells
    /// whether there is such an entry. Atomic.
    ///
    /// Raises ZeroTtl, InvalidTtl (ValueErrors).
    fn touch(&self, key: &Bound<'_, PyAny>, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let ttl = ttl::from_python(ttl)?;
        if ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(lookup::set_error(&self.place, key.py(), &shmemo::SetError::ZeroTtl));
        }
        // An entry that did not expire is written anew.
        let py = key.py();
        keys::with_key(key, |key| lookup::on_key(&self.place, py, key, |cache| cache.touch(key, ttl)))?
    }

    /// How long the entry of a key still has, in seconds, exact to a millisecond; math.inf if it does not expire, None if
    /// there is none. Does not count as a use.
    fn ttl(&self, key: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
        let left = self.on_key(key, |cache, key| cache.time_to_live(key))?;
        Ok(left.map(|left| match left {
            TimeToLive::Never => f64::INFINITY,
            TimeToLive::Left(left) => left.as_secs_f64(),
        }))
    }

    /// Adds `delta` to the integer of a key and gives the sum, in one atomic step. A key without a value counts from
    /// `initial` and gets `ttl`; one that is there keeps its time to live. `get` reads it, `set` of an int makes one.
    ///
    /// Raises NotACounter (a TypeError), CounterOverflow (an OverflowError) beyond 64 bits, and what `add` raises; the key is
    /// then left as it is.
    #[pyo3(signature = (key, delta = Addend(1), initial = Addend(0), ttl = None), text_signature = "($self, key, delta=1, initial=0, ttl=None)")]
    fn incr(&self, key: &Bound<'_, PyAny>, delta: Addend, initial: Addend, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<i64> {
        let ttl = ttl::from_python(ttl)?;
        let py = key.py();
        let sum = self.on_key(key, |cache, key| cache.increment(key, delta.0, initial.0, ttl))?;
        sum.map_err(|error| errors::increment(py, &error, lookup::path(&self.place, py).as_ref()))
    }

    /// The value of a key; if it has none (or one that cannot be decoded), `default` is stored and given. Of several
    /// processes that do so at once, all get the same value.
    ///
    /// Raises what `add` raises.
    #[pyo3(signature = (key, default = None, ttl = None))]
    fn setdefault<'py>(
        &self,
        key: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
        ttl: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let default = default.unwrap_or_else(|| key.py().None().into_bound(key.py()));
        lookup::get_or_store(&self.place, key, &default, ttl::from_python(ttl)?)
    }

    /// The values of those keys that have one, as a dict. Each get is atomic, the whole is not.
    fn get_many<'py>(&self, keys: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        many::get(&self.place, keys)
    }

    #[pyo3(signature = (pairs, ttl = None))]
    fn _set_many(&self, pairs: &Bound<'_, PyAny>, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        many::set(&self.place, pairs, ttl::from_python(ttl)?)
    }

    /// Removes every entry of this moment, in one atomic step.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let (cache, _) = lookup::handles(&self.place, py)?;
        py.detach(|| cache.clear());
        Ok(())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        lookup::with_open(&self.place, py, |open| open.cache.len())
    }

    fn __bool__(&self) -> bool {
        true
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<NativeIter> {
        self.iterate(py, What::Keys)
    }

    fn _values(&self, py: Python<'_>) -> PyResult<NativeIter> {
        self.iterate(py, What::Values)
    }

    fn _items(&self, py: Python<'_>) -> PyResult<NativeIter> {
        self.iterate(py, What::Items)
    }

    fn _stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (cache, _) = lookup::handles(&self.place, py)?;
        crate::report::stats(py, &py.detach(|| cache.stats()))
    }

    fn _verify<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let (cache, _) = lookup::handles(&self.place, py)?;
        match py.detach(|| cache.verify()) {
            Ok(report) => crate::report::verified(py, &report),
            Err(error) => Err(errors::corrupt(py, &error, cache.path().map(PathBuf::from))),
        }
    }

    /// The descriptor of the file. It stays the cache's: do not close it.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        lookup::with_open(&self.place, py, |open| open.cache.as_fd().as_raw_fd())
    }

    /// The path of the file as a str; None for an anonymous cache.
    #[getter]
    fn path(&self, py: Python<'_>) -> PyResult<Option<std::ffi::OsString>> {
        lookup::with_open(&self.place, py, |open| open.cache.path().map(|path| path.as_os_str().to_owned()))
    }

    /// Whether the path still names the file of this handle, and not another or none. True for an anonymous cache.
    #[getter]
    fn is_current(&self, py: Python<'_>) -> PyResult<bool> {
        lookup::with_open(&self.place, py, |open| open.cache.is_current())
    }

    /// The size of the file in bytes, everything included.
    #[getter]
    fn capacity(&self, py: Python<'_>) -> PyResult<u64> {
        lookup::with_open(&self.place, py, |open| open.cache.capacity())
    }

    /// The bound on the number of entries; None if there is none.
    #[getter]
    fn max_entries(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        lookup::with_open(&self.place, py, |open| open.cache.max_entries())
    }

    /// The most bytes that an encoded key can have.
    #[getter]
    fn max_key_len(&self, py: Python<'_>) -> PyResult<usize> {
        lookup::with_open(&self.place, py, |open| open.cache.max_key_len())
    }

    /// The most bytes that an encoded value can have.
    #[getter]
    fn max_value_len(&self, py: Python<'_>) -> PyResult<usize> {
        lookup::with_open(&self.place, py, |open| open.cache.max_value_len())
    }
}
