//! Times to live: an expired value is never returned, in no process and by no operation, and a value is there until then; to
//! the millisecond, whatever the wall clock says.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use common::board::Board;
use common::forked::Forked;
use common::worker::{Args, Worker, serve};
use common::{Rng, Scratch, lengths, wait_until};
use shmemo::{Action, Cache, IncrementError, OpenError, SetError, TimeToLive};

/// By how many seconds the wall clock of this process goes wrong.
static WALL_STEP: AtomicI64 = AtomicI64::new(0);

/// What the C library has under this name, but with a wall clock that can be put forward and back: the linker takes the
/// definition of the program itself, so all of it, the crate under test and the standard library, asks here.
///
/// # Safety
/// As that of the C library: `time` is valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    // SAFETY: the caller vouches for the pointer.
    unsafe {
        let result = libc::syscall(libc::SYS_clock_gettime, clock, time);
        if result == 0 && clock == libc::CLOCK_REALTIME {
            (*time).tv_sec += WALL_STEP.load(Ordering::SeqCst);
        }
        result as libc::c_int
    }
}

/// Whole milliseconds since the machine started: the clock that times to live are counted by.
fn boot_ms() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a `timespec` that lives across the call.
    assert_eq!(unsafe { clock_gettime(libc::CLOCK_BOOTTIME, &mut time) }, 0);
    time.tv_sec as u64 * 1000 + time.tv_nsec as u64 / 1_000_000
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn cache() -> Cache {
    Cache::builder().capacity(1 << 20).anonymous().expect("a cache")
}

#[test]
fn worker_entry() {
    serve(&[("writer", writer), ("reader", reader)]);
}

const KEYS: u64 = 8;
/// Words of the board: whether all is over, how many reads were judged, how many of them within 2 ms of the deadline.
const DONE: usize = 0;
const JUDGED: usize = 1;
const CLOSE: usize = 2;
const READY: usize = 3;
/// From here on, for each write, the millisecond at which it has expired at the latest, with the number of the write.
const DEADLINES: usize = 64;
const REMEMBERED: u64 = 4000;
const DEADLINE_BITS: u32 = 44;

fn place(stamp: u64) -> usize {
    DEADLINES + (stamp % REMEMBERED) as usize
}

/// Stores values that live for 5 to 50 ms. The expiry lies between the moments before and after the call, and the time to
/// live; the later one is written down once it is known.
fn writer(args: &Args) {
    let (cache, board) = (Cache::open(args.text(0)).expect("the cache"), Board::open(args.text(1).as_ref()));
    let mut rng = Rng::from_time();
    let mut stamp = args.number(2);
    while board.get(DONE) == 0 {
        stamp += 2;
        let (key, ttl) = (rng.below(KEYS).to_le_bytes(), 5 + rng.below(46));
        let value = stamp.to_le_bytes();
        match rng.below(6) {
            0 => drop(cache.add(key, value, Some(ms(ttl))).expect("add")),
            1 => drop(cache.replace(key, value, Some(ms(ttl))).expect("replace")),
            2 => drop(cache.update(key, |_| Action::SetWithTtl(value.to_vec(), ms(ttl))).expect("update")),
            _ => cache.set_with_ttl(key, value, ms(ttl)).expect("set"),
        }
        let latest = boot_ms() + ttl;
        board.set(place(stamp), (stamp % (1 << (64 - DEADLINE_BITS))) << DEADLINE_BITS | latest);
        if rng.below(4) == 0 {
            std::thread::sleep(Duration::from_micros(rng.below(3000)));
        }
    }
}

/// All that an operation found, with the time before it began: no deadline may lie before that.
fn judge(board: &Board, before: u64, found: &[u8]) {
    let stamp = u64::from_le_bytes(found.try_into().expect("8 bytes"));
    let word = board.get(place(stamp));
    // Else its writer is still at it, or so many writes came after it that its deadline is forgotten.
    if word >> DEADLINE_BITS == stamp % (1 << (64 - DEADLINE_BITS)) {
        let latest = word & ((1 << DEADLINE_BITS) - 1);
        assert!(before < latest, "value {stamp} was found by a call that began at {before}, and had expired at {latest}");
        board.add(JUDGED, 1);
        board.add(CLOSE, u64::from(before + 2 >= latest));
    }
}

fn reader(args: &Args) {
    let (cache, board) = (Cache::open(args.text(0)).expect("the cache"), Board::open(args.text(1).as_ref()));
    let mut rng = Rng::from_time();
    board.add(READY, 1);
    while board.get(DONE) == 0 {
        let key = rng.below(KEYS).to_le_bytes();
        let way = rng.below(40);
        let before = boot_ms();
        match way {
            0 => cache.iter().for_each(|(_, value)| judge(&board, before, &value)),
            1 => cache.get_many([key, key], |_, value| value.into_iter().for_each(|value| judge(&board, before, value))),
            2 => cache.get_versioned(key).into_iter().for_each(|(value, _)| judge(&board, before, &value)),
            3 => cache.take(key).into_iter().for_each(|value| judge(&board, before, &value)),
            4 => drop(cache.update(key, |value| {
                value.into_iter().for_each(|value| judge(&board, before, value));
                Action::Keep
            })),
            _ => cache.get(key).into_iter().for_each(|value| judge(&board, before, &value)),
        }
        if let Some(TimeToLive::Left(left)) = cache.time_to_live(key) {
            assert!(left <= ms(50), "{left:?}");
        }
    }
}

#[test]
fn no_process_finds_an_expired_value() {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let cache = Cache::builder().capacity(1 << 20).create_new(&path).expect("a cache");
    let board = Board::create(&board_path);
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let spawn = |role: &str, number: u64| Worker::spawn(role, &[&text(&path), &text(&board_path), &number.to_string()]);
    let mut workers = vec![spawn("writer", 1), spawn("writer", 2)];
    workers.extend((0..3).map(|_| spawn("reader", 0)));
    wait_until("the readers", || board.get(READY) == 3);
    let enough = lengths(300, 20_000);
    wait_until("reads close to a deadline", || {
        assert!(workers.iter_mut().all(Worker::is_running));
        board.get(CLOSE) >= enough
    });
    board.set(DONE, 1);
    workers.into_iter().for_each(Worker::success);
    println!("{} reads judged, {} of them within 2 ms of the deadline", board.get(JUDGED), board.get(CLOSE));
    cache.verify().unwrap_or_else(|corruption| panic!("{corruption}"));
}

/// The value is there up to the millisecond, and not from it on.
fn expires_after(cache: &Cache, key: &str, ttl: u64, before: u64, after: u64) {
    loop {
        let begin = boot_ms();
        let is_there = cache.get(key).is_some();
        let end = boot_ms();
        if is_there {
            assert!(begin < after + ttl, "{key} is there at {begin}, and was stored up to {after} for {ttl}");
        } else {
            assert!(end >= before + ttl, "{key} is gone at {end}, and was stored from {before} on for {ttl}");
            break;
        }
    }
    assert!(!cache.contains(key) && cache.time_to_live(key).is_none() && cache.take(key).is_none());
    assert!(cache.iter().all(|(other, _)| other != key.as_bytes()));
}

#[test]
fn times_to_live_are_exact_to_a_millisecond() {
    let cache = cache();
    for ttl in (1..=40).chain([100]) {
        let before = boot_ms();
        cache.set_with_ttl("set", "v", ms(ttl)).expect("set");
        expires_after(&cache, "set", ttl, before, boot_ms());
    }
    cache.set("touched", "v").expect("set");
    let before = boot_ms();
    assert!(cache.touch("touched", Some(ms(30))));
    expires_after(&cache, "touched", 30, before, boot_ms());
    let before = boot_ms();
    cache.increment("counter", 1, 0, Some(ms(30))).expect("increment");
    let after = boot_ms();
    // Later increments leave the expiry as it is, whatever they say.
    for _ in 0..20 {
        cache.increment("counter", 1, 0, Some(ms(5000))).expect("increment");
    }
    expires_after(&cache, "counter", 30, before, after);
    let before = boot_ms();
    cache.set_with_ttl("updated", "v", ms(30)).expect("set");
    let after = boot_ms();
    cache.update("updated", |_| Action::Set(b"w".to_vec())).expect("update");
    expires_after(&cache, "updated", 30, before, after);
}

#[test]
fn time_to_live_says_what_is_left() {
    let cache = cache();
    assert_eq!(cache.time_to_live("k"), None);
    for ttl in [1, 50, 10_000, 86_400_000, (1 << 40) - 1] {
        let before = boot_ms();
        cache.set_with_ttl("k", "v", ms(ttl)).expect("set");
        let left = cache.time_to_live("k");
        let passed = boot_ms() - before;
        match left {
            None => assert!(passed >= ttl),
            Some(TimeToLive::Left(left)) => assert!(left <= ms(ttl) && left + ms(passed) >= ms(ttl), "{left:?} of {ttl} ms"),
            Some(TimeToLive::Never) => panic!("{ttl} ms are not for ever"),
        }
    }
    // Less than a millisecond is one.
    let before = boot_ms();
    cache.set_with_ttl("k", "v", Duration::from_nanos(1)).expect("set");
    expires_after(&cache, "k", 1, before, boot_ms());
}

#[test]
fn what_lives_long_enough_lives_for_ever() {
    let cache = cache();
    for ttl in [ms(1 << 40), ms(u64::MAX), Duration::MAX] {
        cache.set_with_ttl("k", "v", ttl).expect("set");
        assert_eq!(cache.time_to_live("k"), Some(TimeToLive::Never), "{ttl:?}");
        cache.set_with_ttl("k", "v", ms(1000)).expect("set");
        assert!(cache.touch("k", Some(ttl)));
        assert_eq!(cache.time_to_live("k"), Some(TimeToLive::Never), "{ttl:?}");
        assert_eq!(cache.increment("n", 1, 0, Some(ttl)).expect("increment"), 1);
        assert_eq!(cache.time_to_live("n"), Some(TimeToLive::Never), "{ttl:?}");
        cache.remove("n");
    }
}

#[test]
fn zero_is_an_error() {
    let cache = cache();
    let zero = Some(Duration::ZERO);
    let error = Cache::builder().default_ttl(Duration::ZERO).anonymous().expect_err("a default of zero");
    assert!(matches!(error, OpenError::InvalidOption { option: "default_ttl", .. }), "{error:?}");
    assert!(matches!(cache.set_with_ttl("k", "v", Duration::ZERO), Err(SetError::ZeroTtl)));
    assert!(matches!(cache.add("k", "v", zero), Err(SetError::ZeroTtl)));
    assert!(matches!(cache.increment("k", 1, 0, zero), Err(IncrementError::Set(SetError::ZeroTtl))));
    assert_eq!(cache.len(), 0, "nothing was stored");
    cache.set_with_ttl("k", "v", ms(60_000)).expect("set");
    let version = cache.get_versioned("k").expect("there").1;
    assert!(matches!(cache.replace("k", "w", zero), Err(SetError::ZeroTtl)));
    assert!(matches!(cache.compare_and_swap("k", version, "w", zero), Err(SetError::ZeroTtl)));
    let set = |_: Option<&[u8]>| Action::SetWithTtl(b"w".to_vec(), Duration::ZERO);
    assert!(matches!(cache.update("k", set), Err(SetError::ZeroTtl)));
    assert!(!cache.touch("k", zero));
    assert_eq!(cache.get_versioned("k"), Some((b"v".to_vec(), version)), "it is left as it was");
    assert!(matches!(cache.time_to_live("k"), Some(TimeToLive::Left(left)) if left > ms(50_000)));
}

#[test]
fn the_default_is_the_files_or_the_handles() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let minutes = |count: u64| Duration::from_secs(count * 60);
    let made = Cache::builder().capacity(1 << 20).default_ttl(minutes(10)).create_new(&path).expect("a cache");
    let attached = Cache::open(&path).expect("the cache");
    let other = Cache::builder().default_ttl(minutes(20)).open(&path).expect("the cache");
    let about = |cache: &Cache, key: &str, ttl: Duration| match cache.time_to_live(key) {
        Some(TimeToLive::Left(left)) => assert!(left <= ttl && left + minutes(2) > ttl, "{key}: {left:?} of {ttl:?}"),
        wrong => panic!("{key}: {wrong:?}"),
    };
    for (cache, ttl) in [(&made, minutes(10)), (&attached, minutes(10)), (&other, minutes(20))] {
        made.clear();
        cache.set("set", "v").expect("set");
        cache.set_many([("many", "v")]).expect("set_many");
        assert!(cache.add("add", "v", None).expect("add"));
        cache.increment("increment", 1, 0, None).expect("increment");
        cache.update("update", |_| Action::Set(b"v".to_vec())).expect("update");
        cache.set_with_ttl("replace", "v", minutes(60)).expect("set");
        assert!(cache.replace("replace", "v", None).expect("replace"));
        for key in ["set", "many", "add", "increment", "update", "replace"] {
            about(&made, key, ttl);
        }
        // What is said counts, and none is for ever.
        cache.set_with_ttl("set", "v", minutes(40)).expect("set");
        about(&made, "set", minutes(40));
        assert!(cache.touch("set", None));
        assert_eq!(cache.time_to_live("set"), Some(TimeToLive::Never));
    }
}

#[test]
fn what_expired_is_absent_for_every_operation() {
    let cache = cache();
    let expired = |key: &str| {
        cache.set_with_ttl(key, 7i64.to_le_bytes(), ms(1)).expect("set");
        std::thread::sleep(ms(2));
    };
    expired("k");
    assert!(!cache.replace("k", "v", None).expect("replace") && !cache.touch("k", None) && !cache.remove("k"));
    assert!(cache.get_versioned("k").is_none() && cache.take("k").is_none());
    assert!(cache.add("k", "new", None).expect("add"), "add finds it absent");
    expired("k");
    assert_eq!(cache.increment("k", 1, 100, None).expect("increment"), 101, "it counts from the beginning");
    cache.set_with_ttl("k", "v", ms(20)).expect("set");
    let version = cache.get_versioned("k").map(|(_, version)| version);
    std::thread::sleep(ms(21));
    if let Some(version) = version {
        assert!(!cache.compare_and_swap("k", version, "w", None).expect("cas"), "the version is gone");
    }
    cache.update("k", |old| Action::Set(old.map_or(b"none".to_vec(), <[u8]>::to_vec))).expect("update");
    assert_eq!(cache.get("k").as_deref(), Some(&b"none"[..]));
}

/// Entries in use stay although ten times the capacity comes and expires beside them.
#[test]
fn what_expired_gives_its_room_back() {
    let cache = cache();
    let kept = 300u64;
    for key in 0..kept {
        cache.set(key.to_le_bytes(), [1; 500]).expect("set");
    }
    let mut buffer = Vec::new();
    for round in 0..40u64 {
        assert!((0..kept).all(|key| cache.get_into(key.to_le_bytes(), &mut buffer)), "some are gone in round {round}");
        for number in 0..500 {
            cache.set_with_ttl(format!("{round} {number}"), [2; 500], ms(2)).expect("set");
        }
        std::thread::sleep(ms(3));
    }
    let stats = cache.stats();
    println!("{stats:?}");
    assert!(stats.expired > 10_000 && stats.dropped == 0, "{stats:?}");
    assert!((0..kept).all(|key| cache.contains(key.to_le_bytes())), "some are gone");
}

#[test]
fn steps_of_the_wall_clock_change_nothing() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    Forked::spawn(|| {
        let cache = Cache::builder().capacity(1 << 20).create_new(&path).expect("a cache");
        let wall = SystemTime::now();
        let years = |count: i64| count * 365 * 86_400;
        for step in [years(-20), years(20), -1, 1, years(100), 0] {
            let before = boot_ms();
            cache.set_with_ttl("short", "v", ms(20)).expect("set");
            let after = boot_ms();
            cache.set_with_ttl("long", "v", ms(60_000)).expect("set");
            WALL_STEP.store(step, Ordering::SeqCst);
            assert_eq!(SystemTime::now() > wall, step >= 0, "this process sees the step");
            assert!(
                matches!(cache.time_to_live("long"), Some(TimeToLive::Left(left)) if left > ms(50_000) && left <= ms(60_000))
            );
            // Nor for one who comes after the step.
            let other = Cache::open(&path).expect("the cache");
            assert_eq!(other.get("long").as_deref(), Some(&b"v"[..]));
            expires_after(&other, "short", 20, before, after);
        }
    })
    .success();
}

/// A process whose clocks are put forward by a time namespace agrees with the others on what is left.
#[test]
fn time_namespaces_change_nothing() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let cache = Cache::builder().capacity(1 << 20).create_new(&path).expect("a cache");
    cache.set_with_ttl("from outside", "v", ms(90_000)).expect("set");
    let about_a_minute = |key: &str, cache: &Cache| match cache.time_to_live(key) {
        Some(TimeToLive::Left(left)) => assert!(left > ms(20_000) && left <= ms(90_000), "{key}: {left:?}"),
        wrong => panic!("{key}: {wrong:?}"),
    };
    // Two of them, each with a clock of its own.
    for days in [10, 400] {
        Forked::spawn(|| {
            // SAFETY: the call takes plain numbers.
            if unsafe { libc::unshare(libc::CLONE_NEWTIME) } != 0 {
                println!("not in a time namespace: {}", std::io::Error::last_os_error());
            } else {
                let seconds = days * 86_400;
                std::fs::write("/proc/self/timens_offsets", format!("boottime {seconds} 0\n")).expect("the offset");
            }
            let outside = boot_ms();
            Forked::spawn(|| {
                assert!(boot_ms() >= outside, "the clock of the namespace is ahead");
                let opened = Cache::open(&path).expect("the cache");
                // The handle from outside, too.
                for cache in [&opened, &cache] {
                    cache.set_with_ttl(format!("from inside {days}"), "v", ms(90_000)).expect("set");
                    cache.keys().for_each(|key| about_a_minute(std::str::from_utf8(&key).expect("text"), cache));
                }
            })
            .success();
        })
        .success();
        about_a_minute(&format!("from inside {days}"), &cache);
    }
    assert_eq!(cache.len(), 3);
}
