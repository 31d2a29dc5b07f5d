//! Iteration, in batches that are read without the interpreter's lock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use crate::codec::Codec;
use crate::encode::Fail;
use crate::{keys, lookup};

/// A batch ends after this many entries, or ...
const BATCH: usize = 256;
/// ... this many bytes.
const BATCH_BYTES: usize = 256 << 10;

/// What is given of each entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    Keys,
    Values,
    Items,
}

/// An iterator over the entries of a cache: weakly consistent, never an error for what went away.
#[pyclass(frozen, module = "shmemo._native")]
pub struct NativeIter {
    what: What,
    codec: Arc<Codec>,
    source: Mutex<Source>,
}

struct Source {
    entries: shmemo::Iter,
    ready: VecDeque<(Vec<u8>, Vec<u8>)>,
}

impl NativeIter {
    pub fn new(cache: &shmemo::Cache, codec: Arc<Codec>, what: What) -> Self {
        Self { what, codec, source: Mutex::new(Source { entries: cache.iter(), ready: VecDeque::new() }) }
    }

    fn next_entry(&self, py: Python<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
        // Another thread may hold it while it waits for the interpreter: so whoever waits for it lets go of that.
        py.detach(|| {
            let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
            if source.ready.is_empty() {
                let Source { entries, ready } = &mut *source;
                let mut bytes = 0;
                for entry in entries {
                    bytes += entry.0.len() + entry.1.len();
                    ready.push_back(entry);
                    if ready.len() >= BATCH || bytes >= BATCH_BYTES {
                        break;
                    }
                }
            }
            source.ready.pop_front()
        })
    }
}

#[pymethods]
impl NativeIter {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        while let Some((key, value)) = self.next_entry(py) {
            // What is no key of this encoding was stored by another program, and is passed over.
            let key = match self.what {
                What::Values => None,
                _ => match keys::from_bytes(py, &key) {
                    Ok(key) => Some(key),
                    Err(Fail::Raised(error)) if !error.is_instance_of::<PyException>(py) => return Err(error),
                    Err(_) => continue,
                },
            };
            let value = match self.what {
                What::Keys => None,
                _ => match lookup::decode_by(&self.codec, py, &value)? {
                    Some(value) => Some(value),
                    None => continue,
                },
            };
            return match (key, value) {
                (Some(key), Some(value)) => (key, value).into_bound_py_any(py).map(Some),
                (key, value) => Ok(key.or(value)),
            };
        }
        Ok(None)
    }
}
