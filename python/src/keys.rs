//! Keys: the types that the encoding knows by themselves. `shmemo._keys` has the rest.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyFloat, PyFrozenSet, PyInt, PyNone, PyString, PyTuple};
use shmemo_encoding::wire::{self, tag};
use shmemo_encoding::{DecodeError, Key};

use crate::encode::{self, Fail, put_bytes};
use crate::{errors, exactly};

/// Keys that are texts and take at most this many bytes are encoded on the stack.
const ON_STACK: usize = 256;

/// Runs `f` on a key's bytes.
#[inline]
pub fn with_key<R>(key: &Bound<'_, PyAny>, f: impl FnOnce(&[u8]) -> R) -> PyResult<R> {
    if let Some(text) = exactly::<PyString>(key)
        && let Ok(text) = text.to_str()
        && text.len() < ON_STACK
    {
        let mut bytes = [tag::STR; ON_STACK];
        bytes[1..=text.len()].copy_from_slice(text.as_bytes());
        return Ok(f(&bytes[..=text.len()]));
    }
    to_bytes(key).map(|bytes| f(&bytes))
}

/// A key's bytes.
pub fn to_bytes(key: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let mut out = Vec::with_capacity(64);
    put(key, &mut out, 0).map_err(|fail| fail.into_error(key.py()))?;
    Ok(out)
}

fn put(key: &Bound<'_, PyAny>, out: &mut Vec<u8>, depth: u32) -> Result<(), Fail> {
    if let Some(text) = exactly::<PyString>(key) {
        encode::put_text(text, out)?;
    } else if let Some(int) = exactly::<PyInt>(key) {
        encode::put_int(int, out)?;
    } else if let Some(bytes) = exactly::<PyBytes>(key) {
        encode::put_content(bytes.py(), out, tag::BYTES, bytes.as_bytes());
    } else if let Some(tuple) = exactly::<PyTuple>(key) {
        let depth = wire::deeper(depth)?;
        out.push(tag::TUPLE);
        for item in tuple.iter() {
            wire::put_item(out, |out| put(&item, out, depth))?;
        }
    } else if let Some(float) = exactly::<PyFloat>(key) {
        // The crate knows which form a number has.
        let bytes = Key::from(float.value()).encode()?;
        out.extend_from_slice(&bytes);
    } else if let Some(truth) = exactly::<PyBool>(key) {
        let (payload, len) = wire::int_payload(truth.is_true().into());
        put_bytes(out, tag::INT, &payload[..len]);
    } else if exactly::<PyNone>(key).is_some() {
        out.push(tag::NONE);
    } else if let Some(set) = exactly::<PyFrozenSet>(key) {
        put_frozenset(set, out, depth)?;
    } else {
        static OTHER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let bytes = errors::python(key.py(), &OTHER, "shmemo._keys", "encode_other")?.call1((key, depth))?;
        out.extend_from_slice(bytes.cast::<PyBytes>().map_err(PyErr::from)?.as_bytes());
    }
    Ok(())
}

fn put_frozenset(set: &Bound<'_, PyFrozenSet>, out: &mut Vec<u8>, depth: u32) -> Result<(), Fail> {
    let depth = wire::deeper(depth)?;
    let mut items = Vec::with_capacity(set.len());
    for item in set.iter() {
        let mut bytes = Vec::new();
        put(&item, &mut bytes, depth)?;
        items.push(bytes);
    }
    items.sort_unstable();
    // Two NaNs are two members of a set, and one key.
    items.dedup();
    out.push(tag::FROZENSET);
    for item in &items {
        wire::put_len(out, item.len());
        out.extend_from_slice(item);
    }
    Ok(())
}

/// The key that these bytes stand for.
pub fn from_bytes<'py>(py: Python<'py>, bytes: &[u8]) -> Result<Bound<'py, PyAny>, Fail> {
    let (tag, payload) = wire::split(bytes)?;
    take(py, tag, payload, 0)
}

fn take<'py>(py: Python<'py>, tag: u8, payload: &[u8], depth: u32) -> Result<Bound<'py, PyAny>, Fail> {
    match tag {
        tag::NONE | tag::INT | tag::FLOAT | tag::STR | tag::BYTES => encode::take_simple(py, tag, payload),
        tag::TUPLE => Ok(PyTuple::new(py, take_items(py, payload, depth)?)?.into_any()),
        tag::FROZENSET => Ok(PyFrozenSet::new(py, take_items(py, payload, depth)?)?.into_any()),
        tag::RATIONAL | tag::ENUM | tag::DATACLASS => {
            take_other(py, tag, PyTuple::new(py, take_items(py, payload, depth)?)?.into_any())
        }
        tag::DATE | tag::NAIVE | tag::INSTANT | tag::TIME | tag::ZONED_TIME_KEY | tag::DELTA => {
            take_other(py, tag, encode::take_simple(py, tag::INT, payload)?)
        }
        tag::UUID | tag::PATH => take_other(py, tag, PyBytes::new(py, payload).into_any()),
        other => Err(DecodeError::UnknownTag(other).into()),
    }
}

fn take_items<'py>(py: Python<'py>, mut rest: &[u8], depth: u32) -> Result<Vec<Bound<'py, PyAny>>, Fail> {
    let depth = wire::deeper(depth)?;
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (tag, payload) = wire::take_item(&mut rest)?;
        items.push(take(py, tag, payload, depth)?);
    }
    Ok(items)
}

fn take_other<'py>(py: Python<'py>, tag: u8, content: Bound<'py, PyAny>) -> Result<Bound<'py, PyAny>, Fail> {
    static OTHER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Ok(errors::python(py, &OTHER, "shmemo._keys", "decode_other")?.call1((tag, content))?)
}

/// The bytes that a key has in every cache, as docs/encoding.md defines them.
///
/// Equal keys have equal bytes, in every process and version. `depth` is for containers that are encoded part by part: in
/// how many others the key lies.
///
/// Raises UnsupportedKey (a TypeError) for a type that cannot be a key, NestedTooDeep (a ValueError).
#[pyfunction]
#[pyo3(signature = (key, /, depth = 0))]
pub fn encode_key<'py>(key: &Bound<'py, PyAny>, depth: u32) -> PyResult<Bound<'py, PyAny>> {
    let mut out = Vec::new();
    put(key, &mut out, depth).map_err(|fail| fail.into_error(key.py()))?;
    encode::make_bytes(key.py(), &out)
}

/// The key that these bytes stand for, in the form that all keys equal to it share: `True` comes back as `1`.
///
/// Raises DecodeError (a ValueError) for bytes that no key has, and for one whose class is not loaded.
#[pyfunction]
#[pyo3(signature = (data, /))]
pub fn decode_key<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    from_bytes(py, data).map_err(|fail| fail.into_error(py))
}
