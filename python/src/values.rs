//! Values: the common types. `shmemo._codec` has the rest.

use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyNone, PySet, PyString, PyTuple,
};
use shmemo_encoding::DecodeError;
use shmemo_encoding::wire::{self, Top, tag};

use crate::codec::Codec;
use crate::encode::{self, Fail, put_bytes, put_int, put_text, take_simple};
use crate::{exactly, large};

/// Appends a value's bytes to an empty buffer.
pub fn encode(value: &Bound<'_, PyAny>, codec: &Codec, out: &mut Vec<u8>) -> PyResult<()> {
    if let Some(int) = exactly::<PyInt>(value)
        && let Ok(small) = int.extract::<i64>()
    {
        out.extend_from_slice(&small.to_le_bytes());
        return Ok(());
    }
    match put(value, codec, out, 0) {
        Err(fail @ (Fail::TooDeep | Fail::TooLarge)) if codec.falls_back || matches!(fail, Fail::TooDeep) => {
            out.clear();
            put_other(&codec.fall_back(value)?, out)?;
        }
        // The crate refuses what is there, in its own words.
        Err(Fail::TooLarge) => {}
        result => result.map_err(|fail| fail.into_error(value.py()))?,
    }
    wire::finish_value(out, 0);
    Ok(())
}

fn put(value: &Bound<'_, PyAny>, codec: &Codec, out: &mut Vec<u8>, depth: u32) -> Result<(), Fail> {
    if let Some(text) = exactly::<PyString>(value) {
        put_text(text, out)?;
    } else if let Some(bytes) = exactly::<PyBytes>(value) {
        encode::put_content(bytes.py(), out, tag::BYTES, bytes.as_bytes());
    } else if let Some(int) = exactly::<PyInt>(value) {
        put_int(int, out)?;
    } else if let Some(float) = exactly::<PyFloat>(value) {
        put_bytes(out, tag::FLOAT, &float.value().to_le_bytes());
    } else if exactly::<PyNone>(value).is_some() {
        out.push(tag::NONE);
    } else if let Some(truth) = exactly::<PyBool>(value) {
        out.push(if truth.is_true() { tag::TRUE } else { tag::FALSE });
    } else if let Some(dict) = exactly::<PyDict>(value) {
        let depth = wire::deeper(depth)?;
        out.push(tag::DICT);
        // A copy: what is encoded may be code that changes the dict.
        for pair in dict.items() {
            let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract()?;
            wire::put_item(out, |out| put(&key, codec, out, depth))?;
            wire::put_item(out, |out| put(&value, codec, out, depth))?;
            check_size(out, codec)?;
        }
    } else if let Some(list) = exactly::<PyList>(value) {
        put_items(list, tag::LIST, codec, out, depth)?;
    } else if let Some(tuple) = exactly::<PyTuple>(value) {
        put_items(tuple, tag::TUPLE, codec, out, depth)?;
    } else if let Some(set) = exactly::<PySet>(value) {
        put_items(set, tag::SET, codec, out, depth)?;
    } else if let Some(set) = exactly::<PyFrozenSet>(value) {
        put_items(set, tag::FROZENSET, codec, out, depth)?;
    } else if let Some(bytes) = exactly::<PyByteArray>(value) {
        out.push(tag::BYTEARRAY);
        large::append_buffer(bytes, out)?;
    } else if let Some(complex) = exactly::<PyComplex>(value) {
        use pyo3::types::PyComplexMethods;
        out.push(tag::COMPLEX);
        out.extend_from_slice(&complex.real().to_le_bytes());
        out.extend_from_slice(&complex.imag().to_le_bytes());
    } else {
        put_other(&codec.encode_other(value)?, out)?;
    }
    Ok(())
}

fn put_items(items: &Bound<'_, PyAny>, tag: u8, codec: &Codec, out: &mut Vec<u8>, depth: u32) -> Result<(), Fail> {
    let depth = wire::deeper(depth)?;
    out.push(tag);
    for item in items.try_iter()? {
        let item = item?;
        wire::put_item(out, |out| put(&item, codec, out, depth))?;
        check_size(out, codec)?;
    }
    Ok(())
}

/// Ends early with what cannot be stored: a list of a list twice of a list twice ... takes more than any memory holds, and
/// a pickle of it may be short.
#[inline]
fn check_size(out: &[u8], codec: &Codec) -> Result<(), Fail> {
    if out.len() > codec.max_value_len { Err(Fail::TooLarge) } else { Ok(()) }
}

/// Appends what the Python half made: an item, or a pair of what begins it and a buffer.
fn put_other(made: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    if let Some(item) = exactly::<PyBytes>(made) {
        out.extend_from_slice(item.as_bytes());
        return Ok(());
    }
    let (head, rest): (Bound<'_, PyBytes>, Bound<'_, PyAny>) = made.extract()?;
    out.extend_from_slice(head.as_bytes());
    large::append_buffer(&rest, out)
}

/// The value that these bytes stand for.
#[inline]
pub fn decode<'py>(py: Python<'py>, bytes: &[u8], codec: &Codec) -> Result<Bound<'py, PyAny>, Fail> {
    match wire::open_value(bytes)? {
        Top::Counter(value) => Ok(value.into_pyobject(py).map_err(PyErr::from)?.into_any()),
        Top::Item(tag, payload) => take(py, tag, payload, 0, codec),
    }
}

fn take<'py>(py: Python<'py>, tag: u8, payload: &[u8], depth: u32, codec: &Codec) -> Result<Bound<'py, PyAny>, Fail> {
    let bad = DecodeError::BadPayload(tag);
    Ok(match tag {
        tag::STR | tag::BYTES | tag::INT | tag::FLOAT | tag::NONE => return take_simple(py, tag, payload),
        tag::TRUE | tag::FALSE if !payload.is_empty() => return Err(bad.into()),
        tag::TRUE | tag::FALSE => PyBool::new(py, tag == tag::TRUE).to_owned().into_any(),
        tag::LIST => {
            let list = PyList::empty(py);
            take_items(py, payload, depth, codec, |item| list.append(item))?;
            list.into_any()
        }
        tag::TUPLE => {
            let mut items = Vec::new();
            take_items(py, payload, depth, codec, |item| {
                items.push(item);
                Ok(())
            })?;
            PyTuple::new(py, items)?.into_any()
        }
        tag::DICT => {
            let dict = PyDict::new(py);
            let mut key = None;
            take_items(py, payload, depth, codec, |item| match key.take() {
                Some(key) => dict.set_item(key, item),
                None => {
                    key = Some(item);
                    Ok(())
                }
            })?;
            if key.is_some() {
                return Err(bad.into());
            }
            dict.into_any()
        }
        tag::SET | tag::FROZENSET => {
            let set = PySet::empty(py)?;
            take_items(py, payload, depth, codec, |item| set.add(item))?;
            if tag == tag::SET { set.into_any() } else { PyFrozenSet::new(py, set.iter())?.into_any() }
        }
        tag::BYTEARRAY => large::byte_array(py, &[payload])?.into_any(),
        tag::COMPLEX => match payload.as_chunks::<8>() {
            (&[real, imaginary], []) => {
                PyComplex::from_doubles(py, f64::from_le_bytes(real), f64::from_le_bytes(imaginary)).into_any()
            }
            _ => return Err(bad.into()),
        },
        // The whole item, so that the elements are aligned as its writer aligned them.
        tag::ARRAY | tag::TENSOR => codec.decode_other(py, tag, large::byte_array(py, &[&[tag], payload])?.into_any())?,
        tag::DATE | tag::NAIVE | tag::INSTANT | tag::TIME | tag::DELTA => {
            codec.decode_other(py, tag, take_simple(py, tag::INT, payload)?)?
        }
        tag::DATETIME | tag::ZONED_TIME => {
            let mut items = Vec::new();
            take_clock(py, payload, depth, codec, &mut items)?;
            codec.decode_other(py, tag, PyTuple::new(py, items)?.into_any())?
        }
        tag::UUID | tag::DECIMAL | tag::SCALAR | tag::PICKLE | tag::CUSTOM => {
            codec.decode_other(py, tag, encode::make_bytes(py, payload)?)?
        }
        other => return Err(DecodeError::UnknownTag(other).into()),
    })
}

/// The reading, the fold and the zone of a date or time.
fn take_clock<'py>(
    py: Python<'py>,
    payload: &[u8],
    depth: u32,
    codec: &Codec,
    items: &mut Vec<Bound<'py, PyAny>>,
) -> Result<(), Fail> {
    take_items(py, payload, depth, codec, |item| {
        items.push(item);
        Ok(())
    })
}

fn take_items<'py>(
    py: Python<'py>,
    mut rest: &[u8],
    depth: u32,
    codec: &Codec,
    mut each: impl FnMut(Bound<'py, PyAny>) -> PyResult<()>,
) -> Result<(), Fail> {
    let depth = wire::deeper(depth)?;
    while !rest.is_empty() {
        let (tag, payload) = wire::take_item(&mut rest)?;
        each(take(py, tag, payload, depth, codec)?)?;
    }
    Ok(())
}

/// The bytes that a value has in a cache, as docs/encoding.md defines them. `codec` is what `shmemo._codec` makes.
///
/// Raises UnsupportedValue (a TypeError) for a type that neither the encoding nor the codec takes.
#[pyfunction]
#[pyo3(signature = (value, /, codec))]
pub fn encode_value<'py>(value: &Bound<'py, PyAny>, codec: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let mut out = Vec::new();
    encode(value, &Codec::new(codec, usize::MAX)?, &mut out)?;
    Ok(PyBytes::new(value.py(), &out))
}

/// The value that these bytes stand for. `codec` is what `shmemo._codec` makes.
///
/// Raises DecodeError (a ValueError) for bytes that no value has, and what the codec raises.
#[pyfunction]
#[pyo3(signature = (data, /, codec))]
pub fn decode_value<'py>(py: Python<'py>, data: &[u8], codec: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    decode(py, data, &Codec::new(codec, usize::MAX)?).map_err(|fail| fail.into_error(py))
}
