//! Forks of every kind, in the middle of traffic: each process behaves as one of its own, whatever its parent was doing.
//!
//! The parents are workers, so that nothing but the test's own threads is in the process that forks.

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::board::Board;
use common::forked::Forked;
use common::load::{Driver, Load, check_all};
use common::worker::{Args, Worker, serve};
use common::{Scratch, lengths, wait_until};
use shmemo::Cache;

#[test]
fn worker_entry() {
    serve(&[
        ("forks under traffic", forks_under_traffic),
        ("lines", lines),
        ("grandchildren", grandchildren),
        ("parent first", parent_first),
        ("in a closure", in_a_closure),
        ("bare", bare),
        ("bare under traffic", bare_under_traffic),
        ("spawns under traffic", spawns_under_traffic),
        ("nothing", |_| {}),
        ("forks while dropping", forks_while_dropping),
    ]);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

fn load() -> Load {
    Load { keys: 4000, usual_len: 300, longest_key: 100, longest_value: 4000, one_long_in: 50, one_clear_in: 0 }
}

/// Runs a role as a worker, with a cache file and a board, and looks at what it leaves.
fn run(role: &str) {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let cache = Cache::builder().capacity(2 << 20).create_new(&path).expect("a cache");
    Board::create(&board_path);
    Worker::spawn(role, &[text(&path), text(&board_path)]).success();
    let fresh = Cache::open(&path).expect("the cache");
    cache.verify().unwrap_or_else(|corruption| panic!("{role}: {corruption}"));
    check_all(&cache);
    drop(fresh);
    assert_eq!(cache.stats().processes, 1, "{role}: lines were left behind");
    assert_eq!(scratch.names(), ["board", "cache"]);
}

/// Runs three threads of traffic while `body` runs in this one.
fn with_traffic(cache: &Cache, body: impl FnOnce()) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for number in 1..4 {
            let done = &done;
            scope.spawn(move || {
                let mut driver = Driver::new(cache, load(), number);
                while !done.load(Ordering::Relaxed) {
                    driver.step();
                }
            });
        }
        body();
        done.store(true, Ordering::Relaxed);
    });
}

/// Children that write, that only read, and that do neither; the parent sees what they wrote.
fn forks_under_traffic(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    with_traffic(&cache, || {
        for round in 0..lengths(150u64, 3000) {
            let key = format!("from child {round}");
            let writer = Forked::spawn(|| {
                let mut driver = Driver::new(&cache, load(), 100 + round);
                (0..50).for_each(|_| driver.step());
                cache.set(&key, b"here").expect("a child writes");
                assert_eq!(cache.get(&key).as_deref(), Some(&b"here"[..]));
                // The threads of the parent evict meanwhile: once more, with a witness.
                cache.set("latest", round.to_le_bytes()).expect("a child writes");
            });
            let reader = Forked::spawn(|| {
                for id in 0..200 {
                    if let Some(value) = cache.get(common::value::key(id, 100)) {
                        common::value::check(id, &value).expect("a value of this key");
                    }
                }
            });
            let idle = Forked::spawn(|| {});
            let dropper = Forked::spawn(|| drop(cache.clone()));
            [writer, reader, idle, dropper].into_iter().for_each(Forked::success);
            if let Some(latest) = cache.get("latest") {
                assert_eq!(latest, round.to_le_bytes(), "the child's write is what is seen");
            }
        }
    });
    assert!(cache.contains("latest") || cache.stats().stored > 0);
}

#[test]
fn forks_in_the_middle_of_traffic() {
    run("forks under traffic");
}

/// A child takes its own line at its first write, not before; and gives it back at its end.
fn lines(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    let board = Board::open(args.text(1).as_ref());
    let lines = || cache.stats().processes;
    let before = lines();
    assert_eq!(before, 2, "the test and this one");
    cache.set("parent", "1").expect("set");
    let child = Forked::spawn(|| {
        assert_eq!(cache.get("parent").as_deref(), Some(&b"1"[..]));
        assert_eq!(lines(), before, "reading needs no line");
        cache.set("child", "2").expect("set");
        assert_eq!(lines(), before + 1, "writing takes one");
        board.set(0, 1);
        wait_until("the parent", || board.get(1) == 1);
        assert_eq!(cache.get("parent").as_deref(), Some(&b"3"[..]));
    });
    wait_until("the child", || board.get(0) == 1);
    assert_eq!(lines(), before + 1);
    assert_eq!(cache.get("child").as_deref(), Some(&b"2"[..]));
    // The parent's own line is still its own.
    cache.set("parent", "3").expect("set");
    board.set(1, 1);
    child.success();
    // The child ended without leaving: whoever comes next finds that out.
    let next = Cache::open(args.text(0)).expect("the cache");
    next.set("next", "4").expect("set");
    assert_eq!(lines(), before + 1, "the dead child's line went to the next");
}

#[test]
fn a_child_takes_its_own_line_when_it_writes() {
    run("lines");
}

fn grandchildren(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    with_traffic(&cache, || {
        for round in 0..lengths(80, 1500) {
            Forked::spawn(|| {
                if round % 2 == 0 {
                    cache.set("child", "1").expect("set");
                }
                let grandchild = Forked::spawn(|| {
                    cache.set("grandchild", "2").expect("set");
                    Forked::spawn(|| cache.set("great-grandchild", "3").expect("set")).success();
                    assert_eq!(cache.increment("generations", 1, 0, None).ok().map(|sum| sum > 0), Some(true));
                });
                grandchild.success();
                cache.set("child", "4").expect("set");
            })
            .success();
        }
    });
}

#[test]
fn grandchildren_write() {
    run("grandchildren");
}

/// The parent dies first: the children go on, and those that had no line yet get one.
fn parent_first(args: &Args) {
    let (path, board) = (args.text(0), Board::open(args.text(1).as_ref()));
    let parent = Forked::spawn(|| {
        let cache = Cache::open(path).expect("the cache");
        cache.set("parent", "1").expect("set");
        for child in 0..3 {
            Forked::spawn(|| {
                if child == 0 {
                    cache.set("early", "1").expect("set");
                }
                board.add(0, 1);
                wait_until("the parent's end", || board.get(1) == 1);
                for step in 0..200u64 {
                    cache.set(format!("orphan {child}"), step.to_le_bytes()).expect("an orphan writes");
                    assert_eq!(cache.get(format!("orphan {child}")).as_deref(), Some(&step.to_le_bytes()[..]));
                }
                board.add(2, 1);
                wait_until("the end", || board.get(3) == 1);
            })
            .forget();
        }
        wait_until("its children", || board.get(0) == 3);
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    wait_until("the children", || board.get(0) == 3);
    parent.kill();
    board.set(1, 1);
    wait_until("the orphans", || board.get(2) == 3);
    let cache = Cache::open(path).expect("the cache");
    assert_eq!(cache.stats().processes, 5, "the test, this one, three orphans; the line of the dead parent is free");
    assert_eq!(cache.get("orphan 2").as_deref(), Some(&199u64.to_le_bytes()[..]));
    board.set(3, 1);
    wait_until("the orphans' ends", || {
        drop(Cache::open(path).expect("the cache"));
        cache.stats().processes == 2
    });
}

#[test]
fn the_parent_dies_first() {
    run("parent first");
}

/// The caller's code in `update` forks, and both go on with the operation, each as a process of its own.
fn in_a_closure(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    cache.set("k", "old").expect("set");
    for bare in [false, true] {
        drop(Cache::open(args.text(0)).expect("the cache")); // it gives back the line of the child before
        let before = cache.stats().processes;
        // The code runs again when the two come into each other's way. It forks once.
        let mut forked = None;
        let updated = cache.update("k", |_| {
            // SAFETY: the child does nothing but to go on in this thread; `clone` without flags copies the process as `fork` does.
            let child = *forked.get_or_insert_with(|| unsafe {
                if bare { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) as i32 } else { libc::fork() }
            });
            shmemo::Action::Set(if child == 0 { b"child".to_vec() } else { b"parent".to_vec() })
        });
        let child = forked.expect("it has run");
        assert!(child == 0 || updated.is_ok(), "{updated:?}");
        if child == 0 {
            let is_right = updated.is_ok() && cache.stats().processes == before + 1 && cache.contains("k");
            // SAFETY: ends the process at once, without what `exit` would run in it.
            unsafe { libc::_exit(i32::from(!is_right)) };
        }
        let mut status = 0;
        // SAFETY: the pointer is to an integer that lives across the call.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
            "the child wrote under its parent's name: {status:#x}"
        );
    }
}

#[test]
fn a_fork_in_the_callers_code() {
    run("in a closure");
}

/// A child by a bare system call or by `_Fork`, for which no handler runs, is a process of its own all the same.
fn bare(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    let board = Board::open(args.text(1).as_ref());
    cache.set("parent", "1").expect("set");
    for way in 0..2 {
        let run = || {
            assert_eq!(cache.get("parent").as_deref(), Some(&b"1"[..]));
            cache.set("child", [way]).expect("set");
            assert_eq!(cache.stats().processes, 3);
            board.set(0, 1);
            wait_until("the parent", || board.get(1) == 1);
            (0..500u32).for_each(|i| cache.set(i.to_le_bytes(), [7; 500]).expect("set"));
        };
        let child = if way == 0 { Forked::bare(run) } else { Forked::without_handlers(run) };
        wait_until("the child", || board.get(0) == 1);
        assert_eq!(cache.stats().processes, 3);
        assert_eq!(cache.get("child").as_deref(), Some(&[way][..]));
        board.set(1, 1);
        (0..500u32).for_each(|i| cache.set(i.to_le_bytes(), [7; 500]).expect("set"));
        child.success();
        // Whoever comes finds out that it is gone.
        drop(Cache::open(args.text(0)).expect("the cache"));
        cache.set("parent", "1").expect("set");
        (0..2).for_each(|word| board.set(word, 0));
    }
    cache.set("parent", "3").expect("the parent's line is its own still");
}

#[test]
fn a_child_without_fork_handlers() {
    run("bare");
}

/// The same while other threads write. The child must not allocate: another thread may hold the allocator's lock, which
/// nobody frees for it. So it reads into a buffer that is there, and removes.
fn bare_under_traffic(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    let mut buffer = Vec::with_capacity(64 << 10);
    with_traffic(&cache, || {
        for round in 0..lengths(150u64, 3000) {
            cache.set("stays", "1").expect("set");
            let child = Forked::bare(|| {
                for id in 0..100u64 {
                    cache.get_into(id.to_le_bytes(), &mut buffer);
                    cache.contains(id.to_le_bytes());
                }
            });
            child.success();
            cache.set("round", round.to_le_bytes()).expect("set");
        }
    });
}

#[test]
fn children_without_fork_handlers_under_traffic() {
    run("bare under traffic");
}

/// `Command` forks by `vfork` or `posix_spawn`: the parent's attachment is untouched, the child inherits nothing.
fn spawns_under_traffic(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    with_traffic(&cache, || {
        for round in 0..lengths(60u64, 1000) {
            let before = cache.stats().processes;
            // `ls` of its own descriptors: none of the cache's may be among them.
            let output = Command::new("ls").args(["-l", "/proc/self/fd"]).output().expect("ls");
            let listed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && !listed.contains("cache"), "{listed}");
            Worker::spawn("nothing", &[]).success();
            cache.set("parent", round.to_le_bytes()).expect("set");
            assert_eq!(cache.stats().processes, before);
        }
    });
}

#[test]
fn spawned_commands_inherit_nothing() {
    run("spawns under traffic");
}

/// Forks while other threads open and drop handles: neither waits for the other for ever.
fn forks_while_dropping(args: &Args) {
    let path = args.text(0);
    let cache = Cache::open(path).expect("the cache");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let other = Cache::open(path).expect("the cache");
                    other.set("other", "1").expect("set");
                    drop(other);
                }
            });
        }
        for _ in 0..lengths(300, 5000) {
            Forked::spawn(|| cache.set("child", "1").expect("set")).success();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn forks_while_handles_come_and_go() {
    run("forks while dropping");
}
