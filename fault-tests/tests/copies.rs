//! Two copies of the crate in one process, as two extension modules bring them, are two processes to each other.
#![cfg(shmemo_fault)]

use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use fault_tests::common::Scratch;
use fault_tests::common::forked::Forked;
use fault_tests::harness::alone;
use shmemo::Cache;

type SecondCopy = unsafe extern "C" fn(*const c_char, u32) -> i32;

/// The function of the library that cargo builds as an example of this package.
fn second_copy() -> SecondCopy {
    let exe = std::env::current_exe().expect("this binary");
    let library = exe.ancestors().nth(2).expect("the build directory").join("examples/libsecond_copy.so");
    let name = CString::new(library.as_os_str().as_bytes()).expect("no zero");
    // SAFETY: pointers to strings that end with a zero; the library is never closed, and its function has this type.
    unsafe {
        let handle = libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        assert!(!handle.is_null(), "{} cannot be loaded: it is built when all tests of the package are", library.display());
        let function = libc::dlsym(handle, c"second_copy".as_ptr());
        assert!(!function.is_null(), "the library has its function");
        std::mem::transmute::<*mut libc::c_void, SecondCopy>(function)
    }
}

fn run(copy: SecondCopy, path: &Path, rounds: u32) {
    let path = CString::new(path.as_os_str().as_bytes()).expect("no zero");
    // SAFETY: the string ends with a zero.
    assert_eq!(unsafe { copy(path.as_ptr(), rounds) }, 0, "the second copy failed");
}

#[test]
fn both_use_one_file() {
    let _turn = alone();
    let copy = second_copy();
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let cache = Cache::builder().capacity(4 << 20).create_new(&path).expect("a cache");
    cache.set("first", "value").expect("set");
    // At once, in two threads.
    std::thread::scope(|scope| {
        scope.spawn(|| run(copy, &path, 5));
        for number in 0..20_000u32 {
            cache.set(number.to_le_bytes(), [1; 100]).expect("set");
            assert_eq!(cache.get("first").as_deref(), Some(&b"value"[..]));
            cache.set("first", "value").expect("set");
        }
    });
    // In a child, which neither copy has a line for yet.
    Forked::spawn(|| {
        cache.set("first", "from the child").expect("set");
        run(copy, &path, 2);
    })
    .success();
    // A child that dies with both in use.
    Forked::spawn(|| {
        run(copy, &path, 1);
        cache.set("first", "value").expect("set");
        std::thread::scope(|scope| {
            scope.spawn(|| run(copy, &path, 1000));
            // SAFETY: ends this very process.
            unsafe { libc::raise(libc::SIGKILL) };
        });
    })
    .wait();
    run(copy, &path, 1);
    (0..20_000u32).for_each(|number| cache.set(number.to_le_bytes(), [1; 200]).expect("set"));
    drop(Cache::builder().attach(&path).expect("the file"));
    let stats = cache.stats();
    assert_eq!((stats.processes, stats.segments_held), (1, 0));
    cache.verify().expect("no corruption");
}
