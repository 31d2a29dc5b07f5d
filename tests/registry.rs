//! The registry: thousands of places, each given back, and a clear error when there is none.

use shmemo::{Cache, NotAttached, SetError};

/// As many descriptors as this process may have.
fn descriptors() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers are to a struct that lives across the calls.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
    }
    limit.rlim_cur
}

#[test]
fn four_thousand_places_from_256_mib_on() {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = dir.path().join("many");
    let open = || Cache::builder().capacity(256 << 20).open(&path).expect("the cache");
    let first = open();
    assert_eq!(first.stats().max_processes, 4096);
    // A handle stands for a process here: it has a mapping, descriptors and a line of its own.
    let places = 4096.min((descriptors() as usize).saturating_sub(256) / 2);
    let mut handles = vec![first];
    while handles.len() < places {
        let handle = open();
        handle.set(handles.len().to_le_bytes(), b"x").expect("a place");
        handles.push(handle);
    }
    assert_eq!(handles[0].stats().processes, places as u64);
    if places == 4096 {
        let one_more = open();
        assert_eq!(one_more.get(7usize.to_le_bytes()).as_deref(), Some(&b"x"[..]), "reads go on");
        let refused = one_more.set("k", "v");
        assert!(matches!(refused, Err(SetError::NotAttached(NotAttached::RegistryFull { max_processes: 4096, .. }))));
        handles.pop();
        one_more.set("k", "v").expect("the place that was given back");
    }
    drop(handles);
    assert_eq!(open().stats().processes, 1);
}
