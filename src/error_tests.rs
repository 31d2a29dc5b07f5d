//! What the errors say: all of them.

use super::*;

#[test]
fn every_error_can_cross_threads_and_be_boxed() {
    fn holds<E: Error + Send + Sync + 'static>() {}
    holds::<OpenError>();
    holds::<SetError>();
    holds::<NotAttached>();
    holds::<IncrementError>();
}

#[test]
fn an_error_says_what_was_found_and_what_to_do() {
    let error = OpenError::GeometryMismatch { path: "/x".into(), option: "capacity", found: 1, asked: 2 };
    let text = error.to_string();
    assert!(text.contains("/x") && text.contains("capacity = 1") && text.contains("on_mismatch"), "{text}");
    let error = OpenError::NotAShmemoFile { path: "/x".into(), found: b"SQLite f".to_vec() };
    assert!(error.to_string().contains("SQLite f"));
}

#[test]
fn sources_are_kept() {
    let error = OpenError::io("read", Path::new("/x"), io::Error::from_raw_os_error(libc::EACCES));
    assert!(matches!(error, OpenError::PermissionDenied { .. }) && error.source().is_some());
    let error = IncrementError::from(SetError::from(NotAttached::RegistryFull { max_processes: 7 }));
    let inner = error.source().and_then(Error::source).map(ToString::to_string);
    assert!(inner.is_some_and(|text| text.contains("all 7 lines")));
}

/// Samples of variants with what their texts must contain, and a match that does not compile once one is missing.
macro_rules! every {
    ($kind:ident: $($variant:ident $fields:tt says [$($part:expr),+];)+) => {{
        #[allow(unreachable_patterns, reason = "a variant may have several samples")]
        fn is_known(error: &$kind) {
            match error {
                $($kind::$variant { .. } => {})+
            }
        }
        let samples: Vec<($kind, Vec<&str>)> = vec![$(($kind::$variant $fields, vec![$($part),+])),+];
        for (error, parts) in samples {
            is_known(&error);
            let text = error.to_string();
            for part in parts {
                assert!(text.contains(part), "{error:?} does not say \"{part}\": {text}");
            }
            // What is wrong comes before a colon, what to do after it.
            assert!(text.contains(": ") && !text.ends_with('.') && !text.contains("  "), "{text}");
        }
    }};
}

fn path() -> PathBuf {
    "/x".into()
}

fn system(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

#[test]
fn every_open_error_says_what_was_found_what_is_allowed_and_what_to_do() {
    let none = || "F_SEAL_GROW".to_owned();
    every!(OpenError:
        InvalidOption { option: "mode", given: "0777".into(), allowed: "0600 to 0666: take one".into() }
            says ["mode", "0777", "must be 0600 to 0666"];
        CapacityTooSmall { given: 11, min: 22 } says ["11 bytes", "at least 22"];
        CapacityTooLarge { given: 44, max: 33 } says ["44 bytes", "at most 33"];
        NotFound { path: path() } says ["/x", "does not exist", "create the cache first"];
        AlreadyExists { path: path() } says ["/x", "exists already", "attach to it, or remove it"];
        NotAShmemoFile { path: path(), found: vec![] } says ["/x", "empty file", "another path"];
        NotAShmemoFile { path: path(), found: b"SQLite f".to_vec() } says ["/x", "SQLite f", "magic bytes", "another path"];
        NotAShmemoFile { path: ANONYMOUS.into(), found: vec![0; 8] } says ["magic bytes", "hand over the descriptor"];
        VersionMismatch { path: ANONYMOUS.into(), found: 7, expected: 8 } says ["version 7", "version 8", "that this build made"];
        Truncated { path: ANONYMOUS.into(), found: 7, expected: 8 } says ["7 bytes", "says 8", "hand over the descriptor"];
        PermissionDenied { path: ANONYMOUS.into(), source: system(libc::EACCES) } says ["denied", "hand over the descriptor"];
        NotARegularFile { path: ANONYMOUS.into(), kind: "FIFO" } says ["FIFO", "hand over the descriptor"];
        VersionMismatch { path: path(), found: 7, expected: 8 } says ["/x", "version 7", "version 8", "on_mismatch(Recreate)"];
        LayoutMismatch { path: path(), found: 7, expected: 8 } says ["/x", "0007", "0008", "on_mismatch(Recreate)"];
        HashMismatch { path: path(), found: 7, expected: 8 } says ["/x", "0007", "0008", "on_mismatch(Recreate)"];
        CorruptHeader { path: path(), what: "odd" } says ["/x", "odd", "must be", "remove the file", "on_mismatch(Recreate)"];
        Truncated { path: path(), found: 7, expected: 8 }
            says ["/x", "7 bytes", "says 8", "remove the file", "on_mismatch(Recreate)"];
        GeometryMismatch { path: path(), option: "capacity", found: 7, asked: 8 }
            says ["/x", "capacity = 7", "8 is asked", "leave capacity out or ask for 7", "on_mismatch(UseExisting)"];
        GeometryMismatch { path: path(), option: "max_entries", found: 0, asked: 8 }
            says ["/x", "without max_entries", "8 is asked", "leave max_entries out, or", "on_mismatch(Recreate)"];
        PermissionDenied { path: path(), source: system(libc::EACCES) } says ["/x", "Permission denied", "owner", "mode"];
        WrongOwner { path: path(), found: 7, expected: 8 } says ["/x", "user 7", "user 8", "path of your own", "mode"];
        WrongMode { path: path(), found: 0o666, allowed: 0o600 } says ["/x", "0666", "0600", "change the file's mode"];
        NotARegularFile { path: path(), kind: "FIFO" } says ["/x", "FIFO", "only a regular file", "another path"];
        UnsupportedFilesystem { path: path(), magic: 0x6969, name: "nfs" }
            says ["/x", "nfs", "0x6969", "/dev/shm", "allow_unknown_filesystem(true)"];
        NoFileLocks { path: path(), source: system(libc::EINVAL) } says ["/x", "Invalid argument", "3.15", "seccomp"];
        NoSpace { path: path(), needed: 8, available: 7 } says ["/x", "8 bytes", "7 are free", "smaller capacity"];
        MemoryLimit { needed: 9, available: 7, limit: 8, cgroup: path() }
            says ["/x", "9 bytes", "7 are left", "8 bytes", "smaller capacity, raise the limit"];
        NotSealed { missing: none() } says ["F_SEAL_GROW", "sealed", "hand over"];
        Io { what: "open the file", path: Some(path()), source: system(libc::EROFS) }
            says ["cannot open the file", "/x", "Read-only file system", "is read-only", "can be written"];
        Io { what: "map it", path: None, source: system(libc::EMFILE) } says ["cannot map it", "ulimit -n"];
        Io { what: "map it", path: None, source: system(libc::ENOMEM) } says ["cannot map it", "smaller capacity"];
        Io { what: "map it", path: Some(path()), source: system(libc::ENOENT) } says ["/x", "make the directory"];
        Io { what: "map it", path: Some(path()), source: system(libc::ENAMETOOLONG) } says ["/x", "a shorter path", "244 bytes"];
        Io { what: "map it", path: None, source: system(libc::EIO) } says ["cannot map it", "mend what the system says"];
    );
}

#[test]
fn every_other_error_says_what_was_found_what_is_allowed_and_what_to_do() {
    every!(SetError:
        KeyTooLarge { len: 9, max: 8 } says ["9 bytes", "up to 8", "larger max_value_len", "hash of it"];
        KeyTooLarge { len: 65_537, max: 65_536 } says ["65537 bytes", "up to 65536", "hash of it"];
        ValueTooLarge { len: 9, max: 8 } says ["9 bytes", "up to 8", "larger max_value_len"];
        ZeroTtl {} says ["is zero", "at least a millisecond", "leave it out"];
        NotAttached (NotAttached::RegistryFull { max_processes: 7 }) says ["not attached", "only read", "all 7", "max_processes"];
        Busy {} says ["no room", "nothing is changed", "try again"];
    );
    every!(NotAttached:
        RegistryFull { max_processes: 7 } says ["all 7 lines", "living", "more max_processes", "tries again"];
        Io (system(libc::EMFILE)) says ["Too many open files", "ulimit -n", "tries again"];
    );
    every!(IncrementError:
        NotACounter { len: 5 } says ["5 bytes", "no counter", "remove it, or count under another key"];
        Overflow { current: 7, delta: i64::MAX } says ["7 and 9223372036854775807", "64 bits", "left as it is", "add less"];
        Set (SetError::Busy) says ["could not be stored", "no room", "try again"];
    );
}
