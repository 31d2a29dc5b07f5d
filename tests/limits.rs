//! Limits of processes and file systems: an error that says so, or no effect at all; never a signal or a hang.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use common::worker::{Args, Worker, serve};
use common::{Scratch, mounts, wait_until};
use shmemo::{Builder, Cache, OpenError};

#[test]
fn worker_entry() {
    serve(&[
        ("few descriptors", few_descriptors),
        ("few addresses", few_addresses),
        ("signals", signals),
        ("read only", read_only),
    ]);
}

fn small() -> Builder {
    Cache::builder().capacity(4 << 20)
}

fn limit(what: libc::__rlimit_resource_t, to: u64) {
    let limit = libc::rlimit { rlim_cur: to, rlim_max: to };
    // SAFETY: the pointer is to a struct that lives across the call.
    assert_eq!(unsafe { libc::setrlimit(what, &limit) }, 0);
}

fn run(role: &str) {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    Worker::spawn(role, &[path.to_str().expect("a path in UTF-8")]).success();
}

/// However many descriptors are left, opening fails with an error or works; and it leaves none behind.
fn few_descriptors(args: &Args) {
    let path: &Path = args.text(0).as_ref();
    small().open(path).expect("a cache").set("k", "v").expect("set");
    limit(libc::RLIMIT_NOFILE, 40);
    let open_now = || (0..40).filter(|&fd| std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok()).count();
    let mut taken = Vec::new();
    let mut refused = 0;
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    while !taken.is_empty() {
        let before = open_now();
        for result in [small().open(path), small().anonymous(), small().create_new(path.with_extension("new"))] {
            match result {
                Ok(cache) => {
                    // A cache without a line in the registry can be read, and says why it cannot be written.
                    if cache.set("k", "v").is_ok() {
                        assert!(cache.contains("k"));
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert!(matches!(error, OpenError::Io { .. }), "{error}");
                    assert!(error.to_string().contains("Too many open files"), "{error}");
                }
            }
            let _ = std::fs::remove_file(path.with_extension("new"));
        }
        // Looking needs a descriptor itself.
        taken.pop();
        assert!(open_now() <= before.max(1), "a descriptor was left open");
    }
    assert!(refused > 3, "{refused}");
    assert_eq!(small().open(path).expect("a cache").get("k").as_deref(), Some(&b"v"[..]));
}

#[test]
fn few_descriptors_are_an_error() {
    run("few descriptors");
}

/// Where addresses are short, a mapping is refused and not half made.
fn few_addresses(args: &Args) {
    let path: &Path = args.text(0).as_ref();
    let status = std::fs::read_to_string("/proc/self/statm").expect("the size");
    let pages: u64 = status.split(' ').next().and_then(|pages| pages.parse().ok()).expect("a number");
    // Room for 20 MiB more: not for 64, and enough for 4 with or without room to align.
    limit(libc::RLIMIT_AS, pages * 4096 + (20 << 20));
    let error = Cache::builder().capacity(64 << 20).open(path).expect_err("no addresses");
    assert!(matches!(&error, OpenError::Io { source, .. } if source.raw_os_error() == Some(libc::ENOMEM)), "{error}");
    let _ = std::fs::remove_file(path);
    let caches: Vec<Cache> = (0..10).map_while(|_| small().open(path).ok()).collect();
    assert!((1..6).contains(&caches.len()), "{}", caches.len());
    caches.iter().for_each(|cache| cache.set("k", "v").expect("set"));
}

#[test]
fn few_addresses_are_an_error() {
    run("few addresses");
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// A profiler's timer interrupts every system call, again and again, and says nothing of restarting them.
fn signals(args: &Args) {
    let path: &Path = args.text(0).as_ref();
    // SAFETY: the action is a plain struct, for which all zero is a value; its handler only adds to a counter; all pointers live
    // across the calls.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = count as *const () as usize;
        assert_eq!(libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()), 0);
        let often = libc::timeval { tv_sec: 0, tv_usec: 300 };
        let timer = libc::itimerval { it_interval: often, it_value: often };
        assert_eq!(libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, &timer, std::ptr::null_mut::<u8>()), 0);
    }
    let before = SIGNALS.load(Ordering::Relaxed);
    let mut rounds = 0;
    wait_until("enough signals", || {
        let cache = small().open(path).expect("a cache");
        (0..2000u32).for_each(|i| cache.set(i.to_le_bytes(), [1; 900]).expect("set"));
        assert!((1900..2000u32).all(|i| cache.contains(i.to_le_bytes())));
        cache.verify().expect("no corruption");
        drop(small().anonymous().expect("an anonymous cache"));
        if rounds % 2 == 0 {
            std::fs::remove_file(path).expect("the file");
        }
        rounds += 1;
        SIGNALS.load(Ordering::Relaxed) > before + 500
    });
}

#[test]
fn interrupted_calls_go_on() {
    run("signals");
}

fn read_only(args: &Args) {
    let dir: &Path = Path::new(args.text(0)).parent().expect("a directory");
    if !mounts::small_tmpfs(dir, 16 << 20) {
        println!("not mounted: what follows runs in the directory as it is");
    }
    let path = dir.join("cache");
    small().open(&path).expect("a cache").set("k", "v").expect("set");
    if mounts::make_read_only(dir) {
        for result in [small().open(&path), small().attach(&path), small().create_new(dir.join("new"))] {
            let error = result.expect_err("nothing can be written");
            let text = error.to_string();
            assert!(text.contains("Read-only file system") && text.contains("a path on one that can be written"), "{text}");
        }
    }
}

#[test]
fn a_read_only_file_system_is_an_error() {
    run("read only");
}
