//! Many keys in one call.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::lookup::{self, Place};
use crate::{errors, keys, values};

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
        let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
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
    stored.map_err(|error| errors::set(py, &error))
}
