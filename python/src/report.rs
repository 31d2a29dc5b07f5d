//! Counts and reports, as dicts from which the Python half makes its classes.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use shmemo::{Report, Stats};

macro_rules! fields {
    ($py:expr, $from:expr, $($field:ident),* $(,)?) => {{
        let fields = PyDict::new($py);
        $(fields.set_item(stringify!($field), $from.$field)?;)*
        Ok(fields)
    }};
}

pub fn stats<'py>(py: Python<'py>, stats: &Stats) -> PyResult<Bound<'py, PyDict>> {
    let counts: PyResult<Bound<'py, PyDict>> = fields!(
        py,
        stats,
        hits,
        misses,
        stored,
        replaced,
        removed,
        evicted_unused,
        evicted_used,
        evicted_by_full_bucket,
        expired,
        cleared,
        dropped,
        moved_bytes,
        appended_bytes,
        evicted_too_early,
        segments_freed,
        reads_given_up,
        entries,
        live_bytes,
        filled_bytes,
        log_bytes,
        slots,
        segments,
        segments_free,
        segments_held,
        segments_main,
        processes,
        max_processes,
    );
    let counts = counts?;
    counts.set_item("evicted_age", stats.evicted_age.as_secs_f64())?;
    Ok(counts)
}

pub fn verified<'py>(py: Python<'py>, report: &Report) -> PyResult<Bound<'py, PyDict>> {
    fields!(py, report, entries, payload_bytes, logged, unfinished, count_drift, bound_drift)
}
