//! The registry: thousands of places, each given back, and a clear error when there is none.

use shmemo::{Cache, NotAttached, SetError};

const PLACES: u64 = 4096;

/// Raises the limit of descriptors to the most that this process may have, which must be enough: with fewer places the test
/// would say little.
fn take_descriptors(needed: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers are to a struct that lives across the calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
    let has = limit.rlim_max;
    assert!(
        has >= needed,
        "this test needs {needed} descriptors, and may have {has}: raise the hard limit (ulimit -Hn {needed})"
    );
}

#[test]
fn four_thousand_places_from_256_mib_on() {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = dir.path().join("many");
    let open = || Cache::builder().capacity(256 << 20).open(&path).expect("the cache");
    let first = open();
    assert_eq!(first.stats().max_processes, 4096);
    // A handle stands for a process here: it has a mapping, descriptors and a line of its own.
    take_descriptors(2 * PLACES + 256);
    let mut handles = vec![first];
    while handles.len() < PLACES as usize {
        let handle = open();
        handle.set(handles.len().to_le_bytes(), b"x").expect("a place");
        handles.push(handle);
    }
    assert_eq!(handles[0].stats().processes, PLACES);
    let one_more = open();
    assert_eq!(one_more.get(7usize.to_le_bytes()).as_deref(), Some(&b"x"[..]), "reads go on");
    let refused = one_more.set("k", "v");
    assert!(matches!(refused, Err(SetError::NotAttached(NotAttached::RegistryFull { max_processes: 4096, .. }))));
    handles.pop();
    one_more.set("k", "v").expect("the place that was given back");
    drop((handles, one_more));
    assert_eq!(open().stats().processes, 1);
}
