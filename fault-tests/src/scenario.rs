//! What a process does when it dies: every operation that changes something, in files where it takes its various ways.

use std::os::fd::AsRawFd;
use std::time::Duration;

use shmemo::{Action, Cache};

use crate::fixture::{COUNTER, Kind, NEW, TARGET};

/// What the target may hold after a death in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The old value: nobody meant to change it.
    Old,
    /// The old value or the new one.
    OldOrNew,
    /// The old value or none.
    OldOrNone,
    /// Any of the three.
    Any,
}

/// An operation in a file.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub kind: Kind,
    pub act: fn(&Cache),
    pub then: Then,
}

const LONG: &[u8] = &[b'n'; 9000];

/// Stores what expires some time, all at the same moment.
fn expiring(cache: &Cache) {
    for number in 0..40u64 {
        cache
            .set_with_ttl(format!("expiring{number}"), [1; 300], Duration::from_secs(3600))
            .expect("a value that fits is stored");
    }
}

fn many(cache: &Cache, count: u64, len: usize) {
    for number in 0..count {
        cache.set(format!("many{number}"), &NEW[..len.min(NEW.len())]).expect("set");
    }
}

fn long_again(cache: &Cache) {
    (0..200).for_each(|_| cache.set("long", LONG).expect("set"));
}

/// Keys that were evicted not long ago.
fn again(cache: &Cache) {
    for number in 0..2500 {
        let key = format!("fill{number}");
        if !cache.contains(&key) && number % 31 == 0 {
            cache.set(key, NEW).expect("set");
        }
    }
}

fn long(cache: &Cache) {
    for number in 0..40 {
        let key = format!("longer{number}");
        cache.set(&key, vec![2; 30_000]).expect("set");
        (0..3).for_each(|_| _ = cache.get(&key));
    }
}

/// What daemons do: the cache finds its descriptors closed, and opens the file once more.
pub fn close_by_force(cache: &Cache) {
    let stat = |fd: i32| {
        // SAFETY: `stat` is a plain struct, for which all zero is a value; any number may be asked for.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: the pointer is to a struct that lives across the call.
        (unsafe { libc::fstat(fd, &mut stat) } == 0).then_some((stat.st_dev, stat.st_ino))
    };
    let own = stat(cache.as_fd().as_raw_fd());
    for fd in (3..256).filter(|&fd| own.is_some() && stat(fd) == own) {
        // SAFETY: whoever uses a descriptor of this file looks whether it is still that.
        unsafe { libc::close(fd) };
    }
}

fn closed_by_force(cache: &Cache) {
    close_by_force(cache);
    many(cache, 60, 400);
}

fn swap(cache: &Cache) {
    // Whoever stops in between may find that others have taken it away.
    if let Some((_, version)) = cache.get_versioned(TARGET) {
        _ = cache.compare_and_swap(TARGET, version, NEW, None);
    }
}

fn update(cache: &Cache, action: fn() -> Action) {
    cache.update(TARGET, |_| action()).expect("an update");
}

fn set(cache: &Cache) {
    cache.set(TARGET, NEW).expect("set");
}

const fn scenario(name: &'static str, kind: Kind, act: fn(&Cache), then: Then) -> Scenario {
    Scenario { name, kind, act, then }
}

/// Single operations.
pub const SINGLE: &[Scenario] = &[
    scenario("get", Kind::Roomy, |cache| _ = cache.get(TARGET), Then::Old),
    scenario("get, exact LRU", Kind::Exact, |cache| _ = cache.get(TARGET), Then::Old),
    scenario("set of a new key", Kind::Roomy, |cache| cache.set("new", NEW).expect("set"), Then::Old),
    scenario("set of a new key, long value", Kind::Roomy, |cache| cache.set("new", LONG).expect("set"), Then::Old),
    scenario("set over a value", Kind::Roomy, set, Then::OldOrNew),
    scenario("set over a value, exact LRU", Kind::Exact, set, Then::OldOrNew),
    scenario(
        "set with a time to live",
        Kind::Roomy,
        |cache| cache.set_with_ttl(TARGET, NEW, Duration::from_secs(60)).expect("set"),
        Then::OldOrNew,
    ),
    scenario(
        "set of what is too long",
        Kind::Roomy,
        |cache| _ = cache.set(TARGET, vec![0; cache.max_value_len() + 1]),
        Then::OldOrNone,
    ),
    scenario(
        "set_many",
        Kind::Roomy,
        |cache| _ = cache.set_many([(&b"new"[..], NEW), (TARGET, NEW), (&b"newer"[..], NEW)]),
        Then::OldOrNew,
    ),
    scenario("add of a new key", Kind::Roomy, |cache| _ = cache.add("new", NEW, None), Then::Old),
    scenario("add of a key that is there", Kind::Roomy, |cache| _ = cache.add(TARGET, NEW, None), Then::Old),
    scenario("replace", Kind::Roomy, |cache| _ = cache.replace(TARGET, NEW, None), Then::OldOrNew),
    scenario("remove", Kind::Roomy, |cache| _ = cache.remove(TARGET), Then::OldOrNone),
    scenario("remove, bounded", Kind::Bounded, |cache| _ = cache.remove(TARGET), Then::OldOrNone),
    scenario("take", Kind::Roomy, |cache| _ = cache.take(TARGET), Then::OldOrNone),
    scenario("touch", Kind::Roomy, |cache| _ = cache.touch(TARGET, Some(Duration::from_secs(60))), Then::Old),
    scenario("get_versioned", Kind::Roomy, |cache| _ = cache.get_versioned(TARGET), Then::Old),
    scenario("compare_and_swap", Kind::Roomy, swap, Then::OldOrNew),
    scenario("increment of a new key", Kind::Roomy, |cache| _ = cache.increment("new", 1, 0, None), Then::Old),
    scenario("increment", Kind::Roomy, |cache| _ = cache.increment(COUNTER, 1, 0, None), Then::Old),
    scenario("update that sets", Kind::Roomy, |cache| update(cache, || Action::Set(NEW.to_vec())), Then::OldOrNew),
    scenario("update that removes", Kind::Roomy, |cache| update(cache, || Action::Remove), Then::OldOrNone),
    scenario("clear", Kind::Roomy, Cache::clear, Then::OldOrNone),
    scenario("clear, bounded", Kind::Bounded, Cache::clear, Then::OldOrNone),
    scenario("set of a new key, bounded", Kind::Bounded, |cache| cache.set("new", NEW).expect("set"), Then::Any),
    scenario("add, exact LRU", Kind::Exact, |cache| _ = cache.add("new", NEW, None), Then::Any),
    scenario("increment, exact LRU", Kind::Exact, |cache| _ = cache.increment("new", 1, 0, None), Then::Any),
    scenario("set of a new key, full", Kind::Full, |cache| cache.set("new", NEW).expect("set"), Then::Any),
    scenario("set into full buckets", Kind::Crowded, |cache| many(cache, 12, 8), Then::Any),
];

/// Operations that go on until segments were swept, entries moved, and segments freed.
pub const LONG_RUNS: &[Scenario] = &[
    scenario("sets, full", Kind::Full, |cache| many(cache, 60, 400), Then::Any),
    scenario("sets, full of what has expired", Kind::Expired, |cache| many(cache, 60, 400), Then::Any),
    scenario("sets of what expires, full", Kind::Full, expiring, Then::Any),
    scenario("sets, full of what was cleared", Kind::Cleared, |cache| many(cache, 60, 400), Then::Any),
    scenario("sets, full, with descriptors closed by force", Kind::Full, closed_by_force, Then::Any),
    scenario("sets of what was evicted, full", Kind::Full, again, Then::Any),
    scenario("sets of what was evicted, bounded", Kind::Bounded, again, Then::Any),
    scenario("sets of what is long and used, full", Kind::Long, long, Then::Any),
    scenario("sets, bounded", Kind::Bounded, |cache| many(cache, 30, 400), Then::Any),
    scenario("sets, bounded, full of what has expired", Kind::Stale, |cache| many(cache, 60, 400), Then::Any),
    scenario("sets, exact LRU", Kind::Exact, |cache| many(cache, 30, 400), Then::Any),
    scenario("overwriting with what is long, exact LRU", Kind::Exact, long_again, Then::Any),
    scenario("overwriting, full", Kind::Full, |cache| (0..60).for_each(|_| set(cache)), Then::Any),
    scenario("overwriting, bounded", Kind::Bounded, |cache| (0..3000).for_each(|_| set(cache)), Then::Any),
];

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    SINGLE.iter().chain(LONG_RUNS)
}
