//! Processes that gave up their rights, or their sight of `/proc`, after they were forked or before the cache was opened.
//!
//! Most of it needs the rights of root. Without them each test still checks what an unprivileged user can bring about.

mod common;

use std::path::Path;
use std::time::Duration;

use common::Scratch;
use common::forked::Forked;
use common::writer::{check_all_is_usable, locked_lines, small};
use shmemo::{Cache, NotAttached, SetError, TimeToLive};

const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    // SAFETY: the call takes nothing.
    unsafe { libc::geteuid() == 0 }
}

fn give_up_rights() {
    // SAFETY: the calls take plain numbers.
    assert!(!is_root() || unsafe { libc::setgid(NOBODY) == 0 && libc::setuid(NOBODY) == 0 });
}

/// From now on this process sees nothing but what lies in a directory. False: it may not do that.
fn see_only(dir: &Path) -> bool {
    if std::os::unix::fs::chroot(dir).is_err() {
        return false;
    }
    std::env::set_current_dir("/").expect("the new root");
    assert!(!Path::new("/proc/self").exists());
    true
}

fn empty(scratch: &Scratch) -> std::path::PathBuf {
    let dir = scratch.path("empty");
    std::fs::create_dir(&dir).expect("a directory");
    dir
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("the descriptors").count()
}

/// Its descriptor was opened before.
#[test]
fn a_child_without_rights_writes() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let cache = small(&path);
    Forked::spawn(|| {
        give_up_rights();
        assert!(!is_root() || Cache::open(&path).is_err(), "it could not open the path again");
        cache.set("from nobody", "1").expect("a child without rights writes");
        assert_eq!(cache.stats().processes, 2);
    })
    .success();
    assert_eq!(cache.get("from nobody").as_deref(), Some(&b"1"[..]));
}

#[test]
fn without_rights_and_without_proc() {
    let scratch = Scratch::new();
    let cache = small(&scratch.path("cache"));
    let empty = empty(&scratch);
    for _ in 0..3 {
        Forked::spawn(|| {
            if see_only(&empty) {
                give_up_rights();
            }
            cache.set("from the child", "v").expect("set");
            (0..3000u32).for_each(|i| cache.set(i.to_le_bytes(), [2; 500]).expect("set"));
        })
        .success();
    }
    Forked::spawn(|| {
        see_only(&empty);
        cache.set("from the child", "v").expect("set");
        std::process::abort();
    })
    .wait();
    assert!(cache.contains("from the child") || cache.len() > 1000);
    check_all_is_usable(&cache);
}

/// A child keeps what was opened for it although it forks before its first write. Its own children have nothing of the kind: they
/// read, and writing says why not.
#[test]
fn a_child_without_rights_that_forks_before_it_writes() {
    let scratch = Scratch::new();
    let cache = small(&scratch.path("cache"));
    cache.set("k", "v").expect("set");
    Forked::spawn(|| {
        give_up_rights();
        for _ in 0..3 {
            Forked::spawn(|| {
                assert_eq!(cache.get("k").as_deref(), Some(&b"v"[..]));
                match cache.set("from a grandchild", "1") {
                    Ok(()) => assert!(!is_root()),
                    Err(SetError::NotAttached(NotAttached::Io(error))) => assert_eq!(error.raw_os_error(), Some(libc::EACCES)),
                    Err(other) => panic!("{other}"),
                }
            })
            .success();
        }
        cache.set("from the child", "1").expect("its own descriptor is there still");
    })
    .success();
    assert!(cache.contains("from the child"));
}

/// Copies that were meant for others are closed: descriptors do not grow in number from parent to child.
#[test]
fn generations_that_only_read_have_as_many_descriptors_as_the_first() {
    let scratch = Scratch::new();
    let cache = small(&scratch.path("cache"));
    fn descend(cache: &Cache, levels: u32, expected: usize) {
        assert_eq!(descriptors(), expected);
        if levels > 0 {
            Forked::spawn(|| descend(cache, levels - 1, expected)).success();
            assert_eq!(descriptors(), expected);
            return;
        }
        cache.set("from the last", "1").expect("set");
        assert_eq!(descriptors(), expected);
    }
    // In a process of its own: other tests open files meanwhile.
    Forked::spawn(|| descend(&cache, 6, descriptors())).success();
    assert!(cache.contains("from the last"));
}

/// A child by a bare system call of a child that has not written yet: both have the descriptor that was opened for the first, and
/// a lock by it would be one for both.
#[test]
fn a_bare_child_of_one_that_has_not_written_yet_takes_another_line() {
    let scratch = Scratch::new();
    let cache = small(&scratch.path("cache"));
    Forked::spawn(|| {
        let board = common::board::Board::create(&scratch.path("board"));
        let bare = Forked::bare(|| {
            cache.set("from the bare one", "1").expect("set");
            board.set(0, 1);
            common::wait_until("its parent", || board.get(1) == 1);
            (0..2000u32).for_each(|i| cache.set(i.to_le_bytes(), [1; 500]).expect("set"));
        });
        common::wait_until("the bare child", || board.get(0) == 1);
        cache.set("from its parent", "1").expect("set");
        let stats = cache.stats();
        let locked = locked_lines(&scratch.path("cache"), stats.max_processes);
        assert_eq!((stats.processes, locked), (3, 3), "each has a lock of its own");
        board.set(1, 1);
        (0..2000u32).for_each(|i| cache.set(i.to_le_bytes(), [2; 500]).expect("set"));
        bare.success();
        drop(small(&scratch.path("cache")));
        assert_eq!(cache.stats().processes, 2, "its line is free");
        cache.set("from its parent", "2").expect("set");
        assert_eq!(cache.get("from its parent").as_deref(), Some(&b"2"[..]));
    })
    .success();
    check_all_is_usable(&cache);
}

const TTL: Duration = Duration::from_millis(80);

/// What a child without `/proc` stores expires for everybody, to the time: the clock was asked before the fork.
#[test]
fn times_to_live_of_a_child_without_proc() {
    let scratch = Scratch::new();
    let cache = small(&scratch.path("cache"));
    let empty = empty(&scratch);
    let minute = Duration::from_secs(60);
    cache.set_with_ttl("from outside", "v", minute).expect("set");
    Forked::spawn(|| {
        see_only(&empty);
        let about_a_minute = |cache: &Cache, key| match cache.time_to_live(key) {
            Some(TimeToLive::Left(left)) => assert!(left <= minute && left > minute / 2, "{key}: {left:?}"),
            other => panic!("{key}: {other:?}"),
        };
        about_a_minute(&cache, "from outside");
        cache.set_with_ttl("from inside", "v", minute).expect("set");
        cache.set_with_ttl("short", "v", TTL).expect("set");
        // Its own child, for which nobody can ask any more.
        Forked::spawn(|| ["from outside", "from inside"].iter().for_each(|key| about_a_minute(&cache, key))).success();
    })
    .success();
    assert!(matches!(cache.time_to_live("from inside"), Some(TimeToLive::Left(left)) if left <= minute && left > minute / 2));
    std::thread::sleep(TTL);
    assert_eq!(cache.get("short"), None, "it has expired");
}

/// A process that cannot know the time finds nothing that expires, and stores nothing that would outlive its time.
#[test]
fn without_a_clock_nothing_that_expires_is_found_or_stored() {
    let scratch = Scratch::new();
    let cache = small(&scratch.path("cache"));
    cache.set_with_ttl("from outside", "v", Duration::from_secs(60)).expect("set");
    cache.set("lasting", "v").expect("set");
    let mut child = Forked::spawn(|| {
        let is_blind = see_only(scratch.dir());
        let cache = if is_blind { small(Path::new("/cache")) } else { cache.clone() };
        assert_eq!(cache.get("from outside").is_none(), is_blind);
        assert_eq!(cache.get("lasting").as_deref(), Some(&b"v"[..]));
        (0..6000u32).for_each(|i| cache.set(i.to_le_bytes(), [1; 500]).expect("set"));
        cache.set("lasting too", "v").expect("what does not expire is stored");
        cache.set_with_ttl("short", "v", TTL).expect("set");
        assert_eq!(cache.get("short").is_none(), is_blind);
        // SAFETY: ends the process at once.
        unsafe { libc::_exit(if is_blind { 77 } else { 0 }) };
    });
    let status = libc::WEXITSTATUS(child.wait());
    assert!(status == 0 || status == 77, "the child failed");
    assert!(cache.contains("lasting too"));
    assert!(status == 0 || !cache.contains("short"), "nobody could tell when it is to go");
    assert!(cache.stats().evicted_age < Duration::from_secs(3600), "{:?}", cache.stats().evicted_age);
    std::thread::sleep(TTL);
    assert!(!cache.contains("short"));
}

/// The file is opened by its path where `/proc` does not show descriptors.
#[test]
fn opened_where_proc_is_not_to_be_seen() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    Forked::spawn(|| {
        if !see_only(scratch.dir()) {
            return drop(small(&path).set("k", "v"));
        }
        let cache = small(Path::new("/cache"));
        cache.set("k", "v").expect("a line");
        Forked::spawn(|| cache.set("from a child", "v").expect("a line")).success();
        assert_eq!(cache.stats().processes, 2);
        let anonymous = Cache::builder().capacity(1 << 20).anonymous().expect("memory");
        assert_eq!(anonymous.get("k"), None);
        // It has no path to open it by once more.
        let refused = anonymous.set("k", "v");
        assert!(matches!(refused, Err(SetError::NotAttached(NotAttached::Io(_)))), "{refused:?}");
    })
    .success();
    assert!(small(&path).stats().max_processes > 0);
}
