//! Times to live as Python has them: seconds, or a `timedelta`.

use std::time::Duration;

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;

use crate::errors;

/// A time to live; none for `None`. What does not fit a `Duration` is for ever, as the crate takes long ones to be.
pub fn from_python(ttl: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Duration>> {
    let Some(ttl) = ttl else { return Ok(None) };
    let py = ttl.py();
    let seconds: f64 = match ttl.extract() {
        Ok(seconds) => seconds,
        // An integer that no float is near to.
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
            if ttl.lt(0)? {
                -f64::INFINITY
            } else {
                f64::INFINITY
            }
        }
        Err(_) if ttl.hasattr(intern!(py, "total_seconds"))? => ttl.call_method0(intern!(py, "total_seconds"))?.extract()?,
        Err(_) => {
            let name = ttl.get_type().fully_qualified_name()?;
            let words = format!("a time to live is a number of seconds, a timedelta or None, and not {name}");
            return Err(PyTypeError::new_err(words));
        }
    };
    if seconds.is_nan() || seconds < 0.0 {
        let words =
            format!("the time to live is {seconds} s, and must be more than 0: leave it out for the default, or give math.inf");
        return Err(errors::plain(py, "InvalidTtl", words));
    }
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    // The crate rounds up to a millisecond, and refuses zero.
    let is_tiny = duration.is_zero() && seconds > 0.0;
    Ok(Some(if is_tiny { Duration::from_nanos(1) } else { duration }))
}

/// Raises what a time to live is refused with: TypeError, InvalidTtl, ZeroTtl.
#[pyfunction]
#[pyo3(signature = (ttl, /))]
pub fn check_ttl(py: Python<'_>, ttl: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    match from_python(ttl)? {
        Some(ttl) if ttl.is_zero() => Err(errors::set(py, &shmemo::SetError::ZeroTtl, None)),
        _ => Ok(()),
    }
}
