//! What a hit costs the machine: no allocation once the buffer has grown, no system call, and not one write to shared memory
//! once the key is hot.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use common::forked::Forked;
use common::{Scratch, lengths};
use shmemo::Cache;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The allocator of this program: the usual one, with a count for each thread.
struct Counting;

fn count() {
    // A thread that is going away counts no more.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller vouches for the layout.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller vouches for the pointer and its layout.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        count();
        // SAFETY: the caller vouches for the pointer, its layout and the new length.
        unsafe { System.realloc(at, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const KEYS: u64 = 64;
/// As many lines of the registry as fill one page of the file, the second.
const LINES: u32 = 16;
const PAGE: usize = 4096;
const REGISTRY: std::ops::Range<usize> = PAGE..2 * PAGE;
const LINE: usize = 256;
const COUNTERS: std::ops::Range<usize> = 128..256;

fn len_of(key: u64) -> usize {
    (key * key) as usize % 5000
}

/// A cache with hot keys: each was used as often as is counted.
fn warm(path: &Path, ttl: Option<std::time::Duration>) -> Cache {
    let cache = Cache::builder().capacity(1 << 20).max_processes(LINES).open(path).expect("a cache");
    for key in 0..KEYS {
        let value = common::value::value(key, 1, len_of(key));
        match ttl {
            None => cache.set(key.to_le_bytes(), value).expect("set"),
            Some(ttl) => cache.set_with_ttl(key.to_le_bytes(), value, ttl).expect("set"),
        }
        assert!((0..8).all(|_| cache.get(key.to_le_bytes()).is_some()));
    }
    cache
}

/// So many reads of hot keys, of absent keys, and looks without a copy. Tells whether each came out right; nothing in here
/// allocates.
fn read(cache: &Cache, buffer: &mut Vec<u8>, count: u64) -> bool {
    (0..count).all(|step| {
        let key = step % KEYS;
        match step / KEYS % 4 {
            0 => cache.contains(key.to_le_bytes()) && cache.time_to_live(key.to_le_bytes()).is_some(),
            1 => !cache.get_into((key + KEYS).to_le_bytes(), buffer) && !cache.contains((key + KEYS).to_le_bytes()),
            _ => cache.get_into(key.to_le_bytes(), buffer) && buffer.len() == len_of(key),
        }
    })
}

fn many() -> u64 {
    lengths(1_000_000, 10_000_000)
}

/// Ends a child that must not do anything but end.
fn end(is_good: bool) -> ! {
    // SAFETY: ends the process at once.
    unsafe { libc::_exit(i32::from(!is_good)) }
}

fn killed_by(mut child: Forked) -> Option<i32> {
    let status = child.wait();
    assert!(libc::WIFSIGNALED(status) || libc::WEXITSTATUS(status) == 0, "a read went wrong: status {status:#x}");
    libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status))
}

#[test]
fn reads_allocate_nothing_once_the_buffer_has_grown() {
    let scratch = Scratch::new();
    for (name, ttl) in [("for ever", None), ("expiring", Some(std::time::Duration::from_secs(600)))] {
        let cache = warm(&scratch.path(name), ttl);
        let mut buffer = Vec::new();
        assert!(read(&cache, &mut buffer, 4 * KEYS));
        let before = ALLOCATIONS.get();
        assert!(read(&cache, &mut buffer, many()));
        assert_eq!(ALLOCATIONS.get() - before, 0, "{name}");
        drop(std::hint::black_box(Box::new(1)));
        assert_eq!(ALLOCATIONS.get() - before, 1, "one is noticed");
    }
}

/// From here on every system call but the end kills this process.
fn forbid_system_calls() {
    let code = [
        libc::sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: 0 },
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: libc::SYS_exit_group as u32,
        },
        libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW },
        libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: libc::SECCOMP_RET_KILL_PROCESS },
    ];
    let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_ptr().cast_mut() };
    // SAFETY: plain numbers, and a pointer to a program that lives across the call and is not written.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program), 0);
    }
}

/// Runs something in a child that may make no system call. Gives the signal that killed it, if one did.
fn without_system_calls(prepare: impl FnOnce(), run: impl FnOnce() -> bool) -> Option<i32> {
    killed_by(Forked::spawn(|| {
        prepare();
        forbid_system_calls();
        end(run());
    }))
}

/// Whether the kernel lets processes read this clock without a system call on this machine.
fn is_clock_free() -> bool {
    without_system_calls(
        || {},
        || {
            let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            // SAFETY: the pointer is to a `timespec` that lives across the call.
            unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut time) == 0 }
        },
    )
    .is_none()
}

#[test]
fn reads_make_no_system_call() {
    let scratch = Scratch::new();
    let is_noticed = without_system_calls(|| {}, || std::fs::metadata("/").is_ok());
    assert_eq!(is_noticed, Some(libc::SIGSYS), "a system call is noticed");
    let cache = warm(&scratch.path("for ever"), None);
    let mut buffer = Vec::with_capacity(8192);
    assert_eq!(without_system_calls(|| {}, || read(&cache, &mut buffer, many())), None, "in a child without a line");
    let attach = || cache.set("own line", "1").expect("set");
    assert_eq!(without_system_calls(attach, || read(&cache, &mut buffer, many())), None, "in an attached process");
    // What expires needs the clock: from the page that the kernel shares for it.
    if !is_clock_free() {
        println!("not tested: on this machine the clock takes a system call");
        return;
    }
    let cache = warm(&scratch.path("expiring"), Some(std::time::Duration::from_secs(600)));
    let once = || assert!(cache.contains(0u64.to_le_bytes()), "a child first asks for the offset of its clock");
    assert_eq!(without_system_calls(once, || read(&cache, &mut buffer, many())), None, "of entries that expire");
}

/// Where the file is mapped in this process.
fn mapping_of(path: &Path) -> std::ops::Range<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc/self/maps");
    // By its number: it may have been mapped before it had a name.
    let inode = common::refusal::ino(path).to_string();
    let is_it = |line: &&str| line.split_whitespace().nth(4) == Some(inode.as_str()) && line.contains("/dev/shm/");
    let mut ranges = maps.lines().filter(is_it).map(|line| {
        let (from, to) = line.split_whitespace().next().and_then(|range| range.split_once('-')).expect("a range");
        let number = |text| usize::from_str_radix(text, 16).expect("a number");
        number(from)..number(to)
    });
    let range = ranges.next().expect("the mapping");
    assert!(ranges.next().is_none() && range.len() == 1 << 20, "it is mapped once, and whole");
    range
}

fn forbid_writes(range: std::ops::Range<usize>) {
    // SAFETY: the range is part of the mapping of the cache, whose writers this test wants to see killed.
    assert_eq!(unsafe { libc::mprotect(range.start as *mut _, range.len(), libc::PROT_READ) }, 0);
}

/// Reads in a child to which all shared memory but what is given is read-only.
fn without_writes(
    path: &Path,
    ttl: Option<std::time::Duration>,
    attached: bool,
    run: impl FnOnce(&Cache) -> bool,
) -> Option<i32> {
    let parents = warm(path, ttl);
    killed_by(Forked::spawn(|| {
        // A child without a line reads by the mapping of its parent; one with a line also adds up its counts there.
        let range = mapping_of(path);
        if attached {
            parents.set("own line", "1").expect("set");
            forbid_writes(range.start..range.start + REGISTRY.start);
            forbid_writes(range.start + REGISTRY.end..range.end);
        } else {
            forbid_writes(range);
        }
        end(run(&parents));
    }))
}

#[test]
fn reads_of_hot_keys_write_nothing_shared() {
    let scratch = Scratch::new();
    let mut buffer = Vec::with_capacity(8192);
    let written = without_writes(&scratch.path("control"), None, true, |cache| cache.set("k", "v").is_ok());
    assert_eq!(written, Some(libc::SIGSEGV), "a write is noticed");
    for ttl in [None, Some(std::time::Duration::from_secs(600))] {
        for attached in [false, true] {
            let path = scratch.path(&format!("{} {attached}", ttl.is_some()));
            let written = without_writes(&path, ttl, attached, |cache| read(cache, &mut buffer, many()));
            assert_eq!(written, None, "expiring {}, attached {attached}", ttl.is_some());
        }
    }
}

/// The same from outside: a million reads change nothing in the file but the counters of the reader's own line.
#[test]
fn reads_of_hot_keys_change_their_own_counters_only() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let cache = warm(&path, None);
    let mut buffer = Vec::new();
    let before = std::fs::read(&path).expect("the file");
    assert!(read(&cache, &mut buffer, many()));
    let after = std::fs::read(&path).expect("the file");
    let changed: Vec<usize> = (0..before.len()).filter(|&at| before[at] != after[at]).collect();
    assert!(!changed.is_empty(), "reads are counted");
    assert!(changed.iter().all(|at| REGISTRY.contains(at) && COUNTERS.contains(&(at % LINE))), "{changed:?}");
    assert!(changed.iter().all(|at| at / LINE == changed[0] / LINE), "they are those of one line: {changed:?}");
    // The first reads of a key are seen: that is how the cache knows what is hot.
    cache.set("new", "v").expect("set");
    let before = std::fs::read(&path).expect("the file");
    assert!(cache.get_into("new", &mut buffer));
    let after = std::fs::read(&path).expect("the file");
    assert!((REGISTRY.end..before.len()).any(|at| before[at] != after[at]), "a first use is noted");
}
