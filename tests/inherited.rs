//! Descriptors that a child inherits must not keep its dead parent's place taken: whenever it was forked, and by whatever call.

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::board::Board;
use common::forked::Forked;
use common::worker::{Args, Worker, serve};
use common::{Scratch, lengths, wait_until};
use shmemo::Cache;

/// Longer than the test takes, and no longer than it may be left behind.
const CHILDS_LIFE: Duration = Duration::from_secs(20);
/// Processes, or handles, that the file has room for.
const LINES: u32 = 64;

#[test]
fn worker_entry() {
    serve(&[
        ("forks while attaching", forks_while_attaching),
        ("idles in a bare child", idles_in_a_bare_child),
        ("idles in a bare grandchild", idles_in_a_bare_grandchild),
        ("idles in a child from before the line", idles_in_a_child_from_before_the_line),
        ("reads in a bare child", reads_in_a_bare_child),
    ]);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Runs a role, kills it when it says so, and sees that its lines are free although its children live.
fn run(role: &str) {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    drop(Cache::builder().capacity(2 << 20).max_processes(LINES).create_new(&path).expect("a cache"));
    let board = Board::create(&board_path);
    let worker = Worker::spawn(role, &[text(&path), text(&board_path)]);
    wait_until("the worker", || board.get(0) == 1);
    worker.kill();
    // Who attaches gives back what the dead left.
    let cache = Cache::open(&path).expect("the cache");
    assert_eq!(cache.stats().processes, 1, "a child keeps a line of its dead parent");
    for id in 0..5000u32 {
        cache.set(id.to_le_bytes(), [7; 500]).expect("set");
    }
    assert_eq!(cache.stats().segments_held, 0);
    cache.verify().unwrap_or_else(|corruption| panic!("{corruption}"));
}

/// Children are forked in every moment of an attach by another thread.
fn forks_while_attaching(args: &Args) {
    let board = Board::open(args.text(1).as_ref());
    std::thread::scope(|scope| {
        let opener = scope.spawn(|| (0..40).map(|_| Cache::open(args.text(0)).expect("the cache")).collect::<Vec<_>>());
        let mut children = 0;
        while !opener.is_finished() && children < 200 {
            Forked::spawn(|| std::thread::sleep(CHILDS_LIFE)).forget();
            children += 1;
        }
        let handles = opener.join().expect("the opener");
        // Else nothing was forked meanwhile.
        assert!(children > 2, "{children} children");
        handles.iter().for_each(|cache| cache.set("key", "value").expect("set"));
        board.set(0, 1);
        std::thread::sleep(CHILDS_LIFE * 4);
    });
}

#[test]
fn a_child_forked_while_another_thread_attaches() {
    run("forks while attaching");
}

/// No handler runs in the child, and it never calls the cache.
fn idles_in_a_bare_child(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    let board = Board::open(args.text(1).as_ref());
    // Enough that it has asked after others.
    (0..20_000u32).for_each(|id| cache.set(id.to_le_bytes(), [7; 500]).expect("set"));
    Forked::bare(|| {
        board.set(0, 1);
        std::thread::sleep(CHILDS_LIFE);
    })
    .forget();
    std::thread::sleep(CHILDS_LIFE * 4);
}

#[test]
fn a_bare_child_that_does_nothing() {
    run("idles in a bare child");
}

/// The child has not written yet when the grandchild comes, which no handler tells anything.
fn idles_in_a_bare_grandchild(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    let board = Board::open(args.text(1).as_ref());
    let mut child = Forked::spawn(|| {
        Forked::bare(|| std::thread::sleep(CHILDS_LIFE)).forget();
        (0..2000u32).for_each(|id| cache.set(id.to_le_bytes(), [7; 500]).expect("set"));
        std::process::abort();
    });
    child.wait();
    board.set(0, 1);
    std::thread::sleep(CHILDS_LIFE * 4);
}

#[test]
fn a_bare_grandchild_that_does_nothing() {
    run("idles in a bare grandchild");
}

/// The registry is full at first, so there is no line yet when the bare child comes.
fn idles_in_a_child_from_before_the_line(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    let board = Board::open(args.text(1).as_ref());
    let others: Vec<Cache> = (1..LINES).map(|_| Cache::open(args.text(0)).expect("the cache")).collect();
    let late = Cache::open(args.text(0)).expect("the cache");
    assert!(late.set("key", "value").is_err(), "there are {LINES} lines");
    Forked::bare(|| std::thread::sleep(CHILDS_LIFE)).forget();
    drop((cache, others));
    (0..2000u32).for_each(|id| late.set(id.to_le_bytes(), [7; 500]).expect("set"));
    board.set(0, 1);
    std::thread::sleep(CHILDS_LIFE * 4);
}

#[test]
fn a_bare_child_from_before_the_line_was_taken() {
    run("idles in a child from before the line");
}

/// Forks of several threads follow each other without a pause, so that one is always under way or about to be.
#[test]
fn no_child_of_many_forking_threads_inherits_what_holds_a_lock() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    drop(Cache::builder().capacity(2 << 20).create_new(&path).expect("a cache"));
    let is_held = || {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("the mappings");
        maps.lines().any(|line| line.contains("---s") && line.ends_with(text(&path)))
    };
    // In a process of its own, which has no other threads.
    Forked::spawn(|| {
        let _first = Cache::open(&path).expect("the cache");
        assert!(is_held(), "this process holds one");
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_done.load(Ordering::Relaxed) {
                        Forked::spawn(|| assert!(!is_held(), "a child inherited what holds its parent's lock")).success();
                    }
                });
            }
            (0..lengths(400, 4000)).for_each(|_| drop(Cache::open(&path).expect("the cache")));
            is_done.store(true, Ordering::Relaxed);
        });
    })
    .success();
}

/// No handler runs in the child, and it never writes.
fn reads_in_a_bare_child(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    let board = Board::open(args.text(1).as_ref());
    cache.set("key", "value").expect("set");
    let mut buffer = Vec::with_capacity(1 << 10);
    Forked::bare(|| {
        (0..100).for_each(|_| assert!(cache.get_into("key", &mut buffer)));
        board.set(0, 1);
        std::thread::sleep(CHILDS_LIFE);
    })
    .forget();
    std::thread::sleep(CHILDS_LIFE * 4);
}

#[test]
fn a_bare_child_that_only_reads() {
    run("reads in a bare child");
}
