//! Opening.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use shmemo::{Builder, Cache, OnMismatch, OpenError};

use crate::{errors, ttl};

/// What is opened.
pub enum Target {
    Path(PathBuf),
    Descriptor(i32),
    Anonymous,
}

/// Options as Python gives them.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct Options<'py> {
    capacity: Option<u64>,
    max_entries: Option<u64>,
    max_value_len: Option<usize>,
    expected_entry_size: Option<usize>,
    default_ttl: Option<Bound<'py, PyAny>>,
    max_processes: Option<u32>,
    mode: u32,
    prefault: bool,
    allow_unknown_filesystem: bool,
    on_mismatch: String,
}

impl Options<'_> {
    fn builder(&self, py: Python<'_>) -> PyResult<Builder> {
        let mut builder =
            Cache::builder().mode(self.mode).prefault(self.prefault).allow_unknown_filesystem(self.allow_unknown_filesystem);
        if let Some(bytes) = self.capacity {
            builder = builder.capacity(bytes);
        }
        if let Some(count) = self.max_entries {
            builder = builder.max_entries(count);
        }
        if let Some(bytes) = self.max_value_len {
            builder = builder.max_value_len(bytes);
        }
        if let Some(bytes) = self.expected_entry_size {
            builder = builder.expected_entry_size(bytes);
        }
        if let Some(count) = self.max_processes {
            builder = builder.max_processes(count);
        }
        match ttl::from_python(self.default_ttl.as_ref()).map_err(|error| of_the_option(py, error))? {
            // Longer ones are for ever, which is what none is.
            Some(ttl) if ttl < Duration::from_secs(1 << 31) => Ok(builder.default_ttl(ttl)),
            _ => Ok(builder),
        }
    }
}

/// What is wrong with a time to live, as the error of an option.
fn of_the_option(py: Python<'_>, error: PyErr) -> PyErr {
    if error.is_instance_of::<PyValueError>(py) {
        errors::plain(py, "InvalidOption", format!("the option default_ttl: {}", error.value(py)))
    } else {
        error
    }
}

/// Opens without the interpreter's lock. Also gives the error that was not raised, if the file is not what was asked for
/// and is used as it is.
pub fn open(py: Python<'_>, target: Target, options: &Options<'_>) -> PyResult<(Cache, Option<String>)> {
    let builder = options.builder(py)?;
    let on_mismatch = options.on_mismatch.clone();
    py.detach(|| match target {
        Target::Path(path) => open_path(&builder, &path, &on_mismatch),
        Target::Descriptor(number) => open_descriptor(number).map(|cache| (cache, None)),
        Target::Anonymous => builder.anonymous().map(|cache| (cache, None)),
    })
    .map_err(|error| errors::open(py, &error))
}

fn open_path(builder: &Builder, path: &PathBuf, on_mismatch: &str) -> Result<(Cache, Option<String>), OpenError> {
    let open = |action| builder.clone().on_mismatch(action).open(path);
    match on_mismatch {
        "error" => return open(OnMismatch::Error).map(|cache| (cache, None)),
        "recreate" => return open(OnMismatch::Recreate).map(|cache| (cache, None)),
        _ => {}
    }
    match open(OnMismatch::Error) {
        Err(error @ OpenError::GeometryMismatch { .. }) => {
            open(OnMismatch::UseExisting).map(|cache| (cache, Some(error.to_string())))
        }
        Err(OpenError::VersionMismatch { .. } | OpenError::LayoutMismatch { .. } | OpenError::HashMismatch { .. }) => {
            open(OnMismatch::Recreate).map(|cache| (cache, None))
        }
        result => result.map(|cache| (cache, None)),
    }
}

/// Attaches by a descriptor, which stays the caller's: what is used is another one of the same file.
fn open_descriptor(number: i32) -> Result<Cache, OpenError> {
    let path = PathBuf::from(format!("/proc/self/fd/{number}"));
    let file = OpenOptions::new().read(true).write(true).open(&path);
    let file = file.map_err(|source| OpenError::Io { what: "open the descriptor again", path: Some(path), source })?;
    Cache::from_fd(OwnedFd::from(file))
}
