//! What has many bytes is copied without the interpreter's lock. All unsafe code of the package is here.
//!
//! PyO3's own ways to make an object of bytes write zeros first, with the lock, and that takes as long as the copy.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use pyo3::buffer::PyBuffer;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use crate::lookup::LARGE;

/// Room that a value's buffer needs beyond what it is filled with: its tag and what ends it.
pub const SPARE: usize = 32;

/// A `bytes` object with this content.
pub fn bytes<'py>(py: Python<'py>, content: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let len = ffi::Py_ssize_t::try_from(content.len())?;
    // SAFETY: the object is new and of `len` bytes, nobody else knows of it, and all its bytes are written before anybody
    // does. What reads its bytes comes after that.
    unsafe {
        let made = Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(ptr::null(), len))?;
        fill(py, ffi::PyBytes_AsString(made.as_ptr()).cast(), &[content]);
        Ok(made.cast_into_unchecked())
    }
}

/// A `bytearray` object with these contents, one after the other.
pub fn byte_array<'py>(py: Python<'py>, contents: &[&[u8]]) -> PyResult<Bound<'py, PyByteArray>> {
    let len = ffi::Py_ssize_t::try_from(contents.iter().map(|part| part.len()).sum::<usize>())?;
    // SAFETY: as in `bytes`.
    unsafe {
        let made = Bound::from_owned_ptr_or_err(py, ffi::PyByteArray_FromStringAndSize(ptr::null(), len))?;
        fill(py, ffi::PyByteArray_AsString(made.as_ptr()).cast(), contents);
        Ok(made.cast_into_unchecked())
    }
}

/// # Safety
/// `target` must have room for all contents, and be nobody else's.
unsafe fn fill(py: Python<'_>, target: *mut MaybeUninit<u8>, contents: &[&[u8]]) {
    let len = contents.iter().map(|part| part.len()).sum();
    // SAFETY: as promised by the caller; bytes that are not yet written are `MaybeUninit`.
    let target = unsafe { std::slice::from_raw_parts_mut(target, len) };
    let copy = || {
        let mut rest = target;
        for part in contents {
            let (here, after) = rest.split_at_mut(part.len());
            // SAFETY: both have this length, and the target is borrowed mutably.
            unsafe { ptr::copy_nonoverlapping(part.as_ptr().cast(), here.as_mut_ptr(), part.len()) };
            rest = after;
        }
    };
    if len < LARGE { copy() } else { py.detach(copy) }
}

/// Appends the bytes of an object with the buffer protocol.
pub fn append_buffer(object: &Bound<'_, PyAny>, out: &mut Vec<u8>) -> PyResult<()> {
    let py = object.py();
    let buffer = PyBuffer::<u8>::get(object)?;
    let len = buffer.len_bytes();
    match buffer.as_slice_ptr() {
        Some(source) if len >= LARGE => {
            // SAFETY: as long as `buffer` is there, so are these bytes. Somebody may change them meanwhile, as with all
            // that Python reads in this way (a file's `write`, a hash's `update`): so they are read as atomics.
            let source = unsafe { std::slice::from_raw_parts(NonNull::cast::<AtomicU8>(source).as_ptr(), len) };
            py.detach(|| append_shared(source, out));
            Ok(())
        }
        _ => {
            let at = out.len();
            out.resize(at + len, 0);
            buffer.copy_to_slice(py, &mut out[at..])
        }
    }
}

/// Appends bytes that others may be changing. Relaxed: any mixture of old and new is as good as another.
fn append_shared(source: &[AtomicU8], out: &mut Vec<u8>) {
    out.reserve(source.len() + SPARE);
    // SAFETY: bytes that are aligned for it are as good as one of these.
    let (head, words, tail) = unsafe { source.align_to::<AtomicU64>() };
    out.extend(head.iter().map(|byte| byte.load(Ordering::Relaxed)));
    let room = out.spare_capacity_mut().as_mut_ptr().cast::<u64>();
    for (i, word) in words.iter().enumerate() {
        // SAFETY: room was made for all of them.
        unsafe { room.add(i).write_unaligned(word.load(Ordering::Relaxed)) };
    }
    // SAFETY: that many were just written.
    unsafe { out.set_len(out.len() + words.len() * 8) };
    out.extend(tail.iter().map(|byte| byte.load(Ordering::Relaxed)));
}
