//! Many keys in one call.

use std::time::Duration;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::lookup::{self, Place};
use crate::{keys, values};

/// The values of those keys that have one, without the interpreter's lock while they are read.
pub fn get<'py>(place: &Place, wanted: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = wanted.py();
    let objects = wanted.try_iter()?.collect::<PyResult<Vec<_>>>()?;
    let encoded = objects.iter().map(keys::to_bytes).collect::<PyResult<Vec<_>>>()?;
    let (cache, codec) = lookup::handles(place, py)?;
    let mut found: Vec<(usize, Vec<u8>)> = Vec::new();
    py.detach(|| {
        cache.get_many(&encoded, |index, value| {
            if let Some(value) = value {
                found.push((index, value.to_vec()));
            }
        });
    });
    let result = PyDict::new(py);
    for (index, bytes) in found {
        if let Some(value) = lookup::decode_by(&codec, py, &bytes)? {
            result.set_item(&objects[index], value)?;
        }
    }
    Ok(result)
}

/// Stores all pairs. All are encoded before the first is stored; all are tried, and the first error is given.
pub fn set(place: &Place, pairs: &Bound<'_, PyAny>, ttl: Option<Duration>) -> PyResult<()> {
    let py = pairs.py();
    let (cache, codec) = lookup::handles(place, py)?;
    let mut encoded: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for pair in pairs.try_iter()? {
        let (key, value) = split(&pair?)?;
        let mut bytes = Vec::new();
        values::encode(&value, &codec, &mut bytes)?;
        encoded.push((keys::to_bytes(&key)?, bytes));
    }
    let stored = py.detach(|| {
        let mut first = Ok(());
        for (key, value) in &encoded {
            let result = lookup::set(&cache, key, value, ttl);
            first = first.and(result);
        }
        first
    });
    stored.map_err(|error| lookup::set_error(place, py, &error))
}

/// The two items of a pair, which is a tuple, or anything of which a dict would take as much.
fn split<'py>(pair: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    if let Ok(pair) = pair.extract() {
        return Ok(pair);
    }
    let not_a_pair = || {
        let name = pair.get_type().fully_qualified_name().map_or_else(|_| "?".into(), |name| name.to_string());
        let words = format!("a pair of a key and a value is wanted, and not {name}: give a mapping, or tuples of two");
        PyTypeError::new_err(words)
    };
    let items = pair.try_iter().map_err(|_| not_a_pair())?.collect::<PyResult<Vec<_>>>()?;
    <[_; 2]>::try_from(items)
        .map(|[key, value]| (key, value))
        .map_err(|items| PyValueError::new_err(format!("a pair of a key and a value is wanted, and not {} items", items.len())))
}
