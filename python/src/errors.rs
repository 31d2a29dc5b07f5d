//! Errors of the crate as exceptions of the package: one class for each kind, with the same words.

use std::error::Error;
use std::io::ErrorKind;
use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;
use shmemo::{IncrementError, NotAttached, OpenError, SetError};
use shmemo_encoding::DecodeError;

/// Numbers of errors that the crate gives none to, as in `errno.h`.
const EIO: i32 = 5;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const EEXIST: i32 = 17;
const ENOENT: i32 = 2;
const EPERM: i32 = 1;
const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;
const EUSERS: i32 = 87;
const ENOTSUP: i32 = 95;

/// A function or class of one of the package's modules, looked up once.
pub fn python<'py>(
    py: Python<'py>,
    cell: &'static PyOnceLock<Py<PyAny>>,
    module: &str,
    name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let found = cell.get_or_try_init(py, || Ok::<_, PyErr>(PyModule::import(py, module)?.getattr(name)?.unbind()))?;
    Ok(found.bind(py).clone())
}

fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    PyModule::import(py, "shmemo._errors")?.getattr(name)
}

/// An exception of the class with this name, which takes a message.
pub fn plain(py: Python<'_>, name: &str, message: String) -> PyErr {
    class(py, name).and_then(|class| class.call1((message,))).map_or_else(|error| error, PyErr::from_value)
}

/// An exception of the class with this name, which is an `OSError`.
fn of_system(py: Python<'_>, name: &str, number: i32, message: String, file: Option<&PathBuf>) -> PyErr {
    // What stands for the path of an anonymous cache is none.
    let file = file.filter(|file| file.as_os_str() != "(anonymous)");
    let made = class(py, name).and_then(|class| match file {
        Some(file) => class.call1((number, message, file.as_os_str())),
        None => class.call1((number, message)),
    });
    made.map_or_else(|error| error, PyErr::from_value)
}

/// The error, and what it says that it came from.
fn in_words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_words = inner.to_string();
        // Many say what their source says.
        if !words.contains(&inner_words) {
            words = format!("{words}: {inner_words}");
        }
        source = inner.source();
    }
    words
}

pub fn closed(py: Python<'_>) -> PyErr {
    plain(py, "Closed", "the cache is closed: open it again to use it".into())
}

pub fn too_deep(py: Python<'_>) -> PyErr {
    plain(py, "NestedTooDeep", shmemo_encoding::EncodeError::TooDeep.to_string())
}

pub fn undecodable(py: Python<'_>, error: DecodeError) -> PyErr {
    plain(py, "DecodeError", error.to_string())
}

pub fn corrupt(py: Python<'_>, error: &shmemo::Corruption, file: Option<PathBuf>) -> PyErr {
    of_system(py, "Corruption", EIO, in_words(error), file.as_ref())
}

pub fn open(py: Python<'_>, error: &OpenError) -> PyErr {
    let words = in_words(error);
    let system = |name, number, file: &PathBuf| of_system(py, name, number, words.clone(), Some(file));
    let number_of = |source: &std::io::Error, otherwise| match source.kind() {
        ErrorKind::InvalidInput => EINVAL,
        _ => source.raw_os_error().unwrap_or(otherwise),
    };
    match error {
        OpenError::InvalidOption { .. } => plain(py, "InvalidOption", words),
        OpenError::CapacityTooSmall { .. } => plain(py, "CapacityTooSmall", words),
        OpenError::CapacityTooLarge { .. } => plain(py, "CapacityTooLarge", words),
        OpenError::GeometryMismatch { .. } => plain(py, "GeometryMismatch", words),
        OpenError::NotSealed { .. } => plain(py, "NotSealed", words),
        OpenError::NotFound { path } => system("NotFound", ENOENT, path),
        OpenError::AlreadyExists { path } => system("AlreadyExists", EEXIST, path),
        OpenError::NotAShmemoFile { path, .. } => system("NotAShmemoFile", EINVAL, path),
        OpenError::VersionMismatch { path, .. } => system("VersionMismatch", EINVAL, path),
        OpenError::LayoutMismatch { path, .. } => system("LayoutMismatch", EINVAL, path),
        OpenError::HashMismatch { path, .. } => system("HashMismatch", EINVAL, path),
        OpenError::CorruptHeader { path, .. } => system("CorruptHeader", EIO, path),
        OpenError::Truncated { path, .. } => system("Truncated", EIO, path),
        OpenError::PermissionDenied { path, source } => system("PermissionDenied", number_of(source, EACCES), path),
        OpenError::WrongOwner { path, .. } => system("WrongOwner", EPERM, path),
        OpenError::WrongMode { path, .. } => system("WrongMode", EPERM, path),
        OpenError::NotARegularFile { path, .. } => system("NotARegularFile", EINVAL, path),
        OpenError::UnsupportedFilesystem { path, .. } => system("UnsupportedFilesystem", ENOTSUP, path),
        OpenError::NoFileLocks { path, source } => system("NoFileLocks", number_of(source, ENOTSUP), path),
        OpenError::NoSpace { path, .. } => system("NoSpace", ENOSPC, path),
        OpenError::MemoryLimit { cgroup, .. } => system("MemoryLimit", ENOMEM, cgroup),
        // The directory is missing.
        OpenError::Io { path: Some(path), source, .. } if source.raw_os_error() == Some(ENOENT) => {
            system("NotFound", ENOENT, path)
        }
        OpenError::Io { path, source, .. } => of_system(py, "OpenFailed", number_of(source, EIO), words.clone(), path.as_ref()),
        _ => plain(py, "OpenError", words),
    }
}

/// `file` is that of the cache, if it has a path.
pub fn set(py: Python<'_>, error: &SetError, file: Option<&PathBuf>) -> PyErr {
    let words = in_words(error);
    match error {
        SetError::KeyTooLarge { .. } => plain(py, "KeyTooLarge", words),
        SetError::ValueTooLarge { .. } => plain(py, "ValueTooLarge", words),
        SetError::ZeroTtl => plain(py, "ZeroTtl", words),
        SetError::Busy => of_system(py, "Busy", EAGAIN, words, file),
        SetError::NotAttached(NotAttached::RegistryFull { .. }) => of_system(py, "RegistryFull", EUSERS, words, file),
        SetError::NotAttached(NotAttached::Io(source)) => {
            of_system(py, "NotAttached", source.raw_os_error().unwrap_or(EIO), words, file)
        }
        _ => plain(py, "SetError", words),
    }
}

pub fn increment(py: Python<'_>, error: &IncrementError, file: Option<&PathBuf>) -> PyErr {
    match error {
        IncrementError::NotACounter { .. } => plain(py, "NotACounter", in_words(error)),
        IncrementError::Overflow { .. } => plain(py, "CounterOverflow", in_words(error)),
        IncrementError::Set(source) => set(py, source, file),
        _ => plain(py, "IncrementError", in_words(error)),
    }
}
