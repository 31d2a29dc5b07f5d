//! A second copy of the crate, as another extension module of the same process would bring: a shared library with one function.
#![cfg(shmemo_fault)]

use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Opens the file at a path, stores 2,000 values and reads them back, `rounds` times. 0 if all went well.
///
/// # Safety
/// `path` is a string that ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn second_copy(path: *const c_char, rounds: u32) -> i32 {
    // SAFETY: for the caller to see to.
    let path = unsafe { CStr::from_ptr(path) };
    let work = || -> Result<(), Box<dyn std::error::Error>> {
        let cache = shmemo::Cache::builder().attach(Path::new(OsStr::from_bytes(path.to_bytes())))?;
        for round in 0..rounds {
            for number in 0..2000u32 {
                cache.set([b"second".as_slice(), &number.to_le_bytes()].concat(), [round as u8; 200])?;
            }
            let last = cache.get([b"second".as_slice(), &1999u32.to_le_bytes()].concat()).ok_or("the value stored last")?;
            if last != [round as u8; 200] || cache.get("first").is_none() {
                return Err("another value".into());
            }
        }
        Ok(())
    };
    i32::from(work().is_err())
}
