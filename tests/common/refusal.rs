//! Refusals of opening, and what every one of them must keep to.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use shmemo::{Builder, Cache, OpenError};

use super::Scratch;

pub const CAPACITY: u64 = 1 << 20;

pub fn small() -> Builder {
    Cache::builder().capacity(CAPACITY)
}

/// The error of opening, which must be one, names the path and leaves the directory as it was.
#[track_caller]
pub fn refused(scratch: &Scratch, result: Result<Cache, OpenError>) -> OpenError {
    let error = result.expect_err("it should have been refused");
    let text = error.to_string();
    assert!(text.len() > 30 && !text.contains("cannot open the cache"), "an error that says what to do: {text}");
    assert!(!scratch.names().iter().any(|name| name.ends_with(".lock") || name.ends_with("-tmp")), "{:?}", scratch.names());
    error
}

/// A cache at a new path, closed again.
pub fn made(scratch: &Scratch) -> PathBuf {
    let path = scratch.path("cache");
    let cache = small().create_new(&path).expect("a cache");
    cache.set("k", "v").expect("set");
    path
}

pub fn patch(path: &Path, at: u64, bytes: &[u8]) {
    let file = File::options().write(true).open(path).expect("the file");
    file.write_all_at(bytes, at).expect("written");
}

pub fn ino(path: &Path) -> u64 {
    std::fs::metadata(path).expect("metadata").ino()
}

/// Checks which error it is.
#[macro_export]
macro_rules! assert_error {
    ($error:expr, $pattern:pat $(if $guard:expr)?) => {{
        let error = $error;
        assert!(matches!(&error, $pattern $(if $guard)?), "{error:?}");
    }};
}
