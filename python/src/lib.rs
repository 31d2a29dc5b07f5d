//! The native half of the Python package `shmemo`: handles, and the encoding of the common types. What is rare is left to
//! the Python half: options, unusual keys and values, processes.
//!
//! Nothing here holds a lock while it waits for the interpreter, and whatever can take long lets go of the interpreter.

mod cache;
mod codec;
mod encode;
mod errors;
mod iter;
mod keys;
mod large;
mod lookup;
mod many;
mod open;
mod report;
mod ttl;
mod values;

use pyo3::prelude::*;

/// The native half of shmemo.
///
/// Free-threaded interpreters need not turn their lock on for it: handles are immutable but for a lock around what they have open,
/// buffers belong to their threads, and nothing infers from the lock that nobody else is here. A fork stops all threads, and
/// none stops while it holds that lock.
#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use super::cache::NativeCache;
    #[pymodule_export]
    use super::iter::NativeIter;
    #[pymodule_export]
    use super::keys::{decode_key, encode_key};
    #[pymodule_export]
    use super::ttl::check_ttl;
    #[pymodule_export]
    use super::values::{decode_value, encode_value};

    /// Texts and bytes of at least this many bytes are copied without the interpreter's lock.
    #[pymodule_export]
    const LARGE: usize = super::lookup::LARGE;
    /// The version of the native half.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}

/// The object as one of exactly this type, not of a subclass.
#[inline]
fn exactly<'a, 'py, T: pyo3::type_object::PyTypeInfo>(object: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, T>> {
    if object.is_exact_instance_of::<T>() { object.cast::<T>().ok() } else { None }
}
