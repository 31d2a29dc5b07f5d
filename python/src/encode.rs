//! What keys and values have in common.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyNone, PyString};
use pyo3::{IntoPyObjectExt, intern};
use shmemo_encoding::wire::{self, tag};
use shmemo_encoding::{DecodeError, EncodeError};

use crate::lookup::LARGE;
use crate::{errors, large};

/// Why something was not encoded or decoded.
pub enum Fail {
    /// It is nested too deep.
    TooDeep,
    /// It takes more bytes than a value can have. Those that are there already are as many.
    TooLarge,
    /// The bytes are none of the encoding's.
    Wire(DecodeError),
    /// Python raised.
    Raised(PyErr),
}

impl Fail {
    pub fn into_error(self, py: Python<'_>) -> PyErr {
        match self {
            Self::TooDeep => errors::too_deep(py),
            Self::TooLarge => errors::plain(py, "ValueTooLarge", "the value takes more bytes than can be stored".into()),
            Self::Wire(error) => errors::undecodable(py, error),
            Self::Raised(error) => error,
        }
    }
}

impl From<EncodeError> for Fail {
    fn from(_: EncodeError) -> Self {
        Self::TooDeep
    }
}

impl From<DecodeError> for Fail {
    fn from(error: DecodeError) -> Self {
        Self::Wire(error)
    }
}

impl From<PyErr> for Fail {
    fn from(error: PyErr) -> Self {
        Self::Raised(error)
    }
}

#[inline]
pub fn put_bytes(out: &mut Vec<u8>, tag: u8, payload: &[u8]) {
    out.reserve(payload.len() + 1);
    out.push(tag);
    out.extend_from_slice(payload);
}

/// The same of a content that may be long, and that nobody changes.
#[inline]
pub fn put_content(py: Python<'_>, out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    if content.len() < LARGE {
        return put_bytes(out, tag, content);
    }
    py.detach(|| {
        out.reserve(content.len() + large::SPARE);
        put_bytes(out, tag, content);
    });
}

/// A `bytes` object.
#[inline]
pub fn make_bytes<'py>(py: Python<'py>, content: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    Ok(if content.len() < LARGE { PyBytes::new(py, content) } else { large::bytes(py, content)? }.into_any())
}

/// Appends a text.
#[inline]
pub fn put_text(text: &Bound<'_, PyString>, out: &mut Vec<u8>) -> PyResult<()> {
    let py = text.py();
    if let Ok(text) = text.to_str() {
        put_content(py, out, tag::STR, text.as_bytes());
        return Ok(());
    }
    // It has lone surrogates.
    let bytes = text.call_method1(intern!(py, "encode"), ("utf-8", "surrogatepass"))?;
    put_bytes(out, tag::STR, bytes.cast::<PyBytes>()?.as_bytes());
    Ok(())
}

/// Appends an integer of any size.
#[inline]
pub fn put_int(int: &Bound<'_, PyInt>, out: &mut Vec<u8>) -> PyResult<()> {
    if let Ok(small) = int.extract::<i64>() {
        let (payload, len) = wire::int_payload(small);
        put_bytes(out, tag::INT, &payload[..len]);
        return Ok(());
    }
    let py = int.py();
    // Of a negative power of two, -2^(8n - 1), one bit less than this says would do.
    let bits: usize = int.call_method0(intern!(py, "bit_length"))?.extract()?;
    let bytes = int.call_method(intern!(py, "to_bytes"), (bits / 8 + 1, "little"), Some(&signed(py)?))?;
    let mut payload = bytes.cast::<PyBytes>()?.as_bytes();
    while !wire::is_shortest(payload) {
        payload = &payload[..payload.len() - 1];
    }
    put_bytes(out, tag::INT, payload);
    Ok(())
}

fn signed(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let arguments = PyDict::new(py);
    arguments.set_item(intern!(py, "signed"), true)?;
    Ok(arguments)
}

/// The items that keys and values encode in the same way, and that contain no others.
#[inline]
pub fn take_simple<'py>(py: Python<'py>, tag: u8, payload: &[u8]) -> Result<Bound<'py, PyAny>, Fail> {
    let bad = DecodeError::BadPayload(tag);
    Ok(match tag {
        tag::STR => match PyString::from_bytes(py, payload) {
            Ok(text) => text.into_any(),
            Err(_) if wire::is_text(payload) => {
                PyBytes::new(py, payload).call_method1(intern!(py, "decode"), ("utf-8", "surrogatepass"))?
            }
            Err(_) => return Err(bad.into()),
        },
        tag::BYTES => make_bytes(py, payload)?,
        tag::INT => match wire::int_from_payload(payload) {
            Some(small) => small.into_bound_py_any(py)?,
            None if wire::is_shortest(payload) => {
                let bytes = PyBytes::new(py, payload);
                py.get_type::<PyInt>().call_method(intern!(py, "from_bytes"), (bytes, "little"), Some(&signed(py)?))?
            }
            None => return Err(bad.into()),
        },
        tag::FLOAT => PyFloat::new(py, f64::from_le_bytes(payload.try_into().map_err(|_| bad)?)).into_any(),
        tag::NONE if payload.is_empty() => PyNone::get(py).to_owned().into_any(),
        tag::NONE => return Err(bad.into()),
        other => return Err(DecodeError::UnknownTag(other).into()),
    })
}
