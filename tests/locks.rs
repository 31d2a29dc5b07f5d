//! A system without open-file-description locks, made by a filter of system calls.
#![cfg(target_arch = "x86_64")]

mod common;

use std::path::Path;

use common::Scratch;
use common::refusal::{made, small};
use common::worker::{Args, Worker, serve};
use shmemo::{Cache, OpenError};

#[test]
fn worker_entry() {
    serve(&[("no locks", no_locks)]);
}

/// `AUDIT_ARCH_X86_64`.
const X86_64: u32 = 0xc000_003e;
/// Where the filter finds the number of the call, the architecture and the second argument (its lower half).
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const SECOND_ARGUMENT: u32 = 24;

/// From now on the kernel answers this thread as one that has no such locks does.
fn forbid_locks() {
    let load = |at| libc::sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: at };
    let equal = |k, jt, jf| libc::sock_filter { code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, jt, jf, k };
    let answer = |k| libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k };
    let mut filter = [
        load(ARCHITECTURE),
        equal(X86_64, 0, 6),
        load(NUMBER),
        equal(libc::SYS_fcntl as u32, 0, 4),
        load(SECOND_ARGUMENT),
        equal(libc::F_OFD_GETLK as u32, 3, 0),
        equal(libc::F_OFD_SETLK as u32, 2, 0),
        equal(libc::F_OFD_SETLKW as u32, 1, 0),
        answer(libc::SECCOMP_RET_ALLOW),
        answer(libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the first call takes plain numbers; the pointers of the second are to structs that live across the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER as libc::c_ulong;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0, "{}", std::io::Error::last_os_error());
    }
}

fn no_locks(args: &Args) {
    let there = Path::new(args.text(0));
    let absent = there.with_extension("new");
    forbid_locks();
    let attempts = [
        ("open", small().open(there)),
        ("attach", small().attach(there)),
        ("open of an absent file", small().open(&absent)),
        ("create_new", small().create_new(&absent)),
        ("anonymous", small().anonymous()),
    ];
    for (what, result) in attempts {
        let error = result.expect_err(what);
        let is_it = matches!(&error, OpenError::NoFileLocks { source, .. } if source.raw_os_error() == Some(libc::EINVAL));
        assert!(is_it, "{what}: {error:?}");
        assert!(error.to_string().contains("open-file-description locks"), "{what}: {error}");
    }
    assert!(!absent.exists(), "a cache that could not be had was made");
}

#[test]
fn no_locks_are_an_error_and_change_nothing() {
    let scratch = Scratch::new();
    let path = made(&scratch);
    Worker::spawn("no locks", &[path.to_str().expect("UTF-8")]).success();
    assert_eq!(Cache::open(&path).expect("a cache").get("k").as_deref(), Some(&b"v"[..]));
}
