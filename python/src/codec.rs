//! What the Python half does for one cache: values of types that are not common, and what to do with what cannot be read.

use pyo3::intern;
use pyo3::prelude::*;

/// Methods of an object of `shmemo._codec`.
pub struct Codec {
    encode_other: Py<PyAny>,
    decode_other: Py<PyAny>,
    fall_back: Py<PyAny>,
    undecodable: Py<PyAny>,
    /// Whether there are other means at all.
    pub falls_back: bool,
    /// The most bytes that a value can have.
    pub max_value_len: usize,
}

impl Codec {
    pub fn new(codec: &Bound<'_, PyAny>, max_value_len: usize) -> PyResult<Self> {
        let py = codec.py();
        Ok(Self {
            encode_other: codec.getattr(intern!(py, "encode_other"))?.unbind(),
            decode_other: codec.getattr(intern!(py, "decode_other"))?.unbind(),
            fall_back: codec.getattr(intern!(py, "fall_back"))?.unbind(),
            undecodable: codec.getattr(intern!(py, "undecodable"))?.unbind(),
            falls_back: codec.getattr(intern!(py, "falls_back"))?.extract()?,
            max_value_len,
        })
    }

    /// An item as bytes, or as a pair of what begins it and a buffer that goes on.
    pub fn encode_other<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.encode_other.bind(value.py()).call1((value,))
    }

    /// An item that holds the value by other means, a pickle for instance.
    pub fn fall_back<'py>(&self, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.fall_back.bind(value.py()).call1((value,))
    }

    /// The value of an item.
    pub fn decode_other<'py>(&self, py: Python<'py>, tag: u8, content: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.decode_other.bind(py).call1((tag, content))
    }

    /// Counts a value that cannot be read, and raises the error if that is wanted.
    pub fn undecodable(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        // What is no ordinary exception (a KeyboardInterrupt) is not the value's fault.
        if !error.is_instance_of::<pyo3::exceptions::PyException>(py) {
            return Err(error);
        }
        self.undecodable.bind(py).call1((error,)).map(drop)
    }
}
