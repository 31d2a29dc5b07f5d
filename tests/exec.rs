//! A process goes on to another program (`exec`): it is the same process to the kernel, and a new one to the file, whether or not
//! the new program uses the file too.

mod common;

use std::os::unix::process::CommandExt;
use std::process::Command;

use common::board::Board;
use common::worker::{Args, Worker, serve};
use common::writer::{check_all_is_usable, small, text, write_for_ever};
use common::{Scratch, lengths, wait_until};
use shmemo::Cache;

#[test]
fn worker_entry() {
    serve(&[("exec", exec), ("again", again)]);
}

/// Ends all other threads, wherever they are, by running a program.
fn exec(args: &Args) {
    let (cache, board) = (small(args.text(0).as_ref()), Board::open(args.text(1).as_ref()));
    let (cache, board): (&'static Cache, &'static Board) = (Box::leak(Box::new(cache)), Box::leak(Box::new(board)));
    let before = board.get(0);
    for place in 0..5 {
        std::thread::spawn(move || write_for_ever(cache, board, place));
    }
    wait_until("a thread", || board.get(0) > before + 100);
    panic!("{}", Command::new(args.text(2)).args((args.text(2) == "sleep").then_some("600")).exec());
}

#[test]
fn while_other_threads_write() {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let (cache, _board) = (small(&path), Board::create(&board_path));
    for _ in 0..lengths(20, 500) {
        Worker::spawn("exec", &[&text(&path), &text(&board_path), "true"]).success();
    }
    check_all_is_usable(&cache);
    drop(small(&path));
    assert_eq!(cache.stats().processes, 1);
}

/// What the threads held is given back although a process with their number, and the time of its start, lives on.
#[test]
fn the_new_program_lives_on() {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let (cache, _board) = (small(&path), Board::create(&board_path));
    let mut held = 0;
    let mut lives = Vec::new();
    for round in 0..lengths(30, 300) {
        let worker = Worker::spawn("exec", &[&text(&path), &text(&board_path), "sleep"]);
        let name = format!("/proc/{}/comm", worker.pid());
        wait_until("the program", || std::fs::read_to_string(&name).is_ok_and(|name| name.trim() == "sleep"));
        held += cache.stats().segments_held;
        lives.push(worker);
        if round % 10 == 9 {
            check_all_is_usable(&cache);
            drop(small(&path));
            assert_eq!(cache.stats().processes, 1, "no line is held by a program that never attached");
            assert!(lives.iter_mut().all(Worker::is_running));
            lives.clear();
        }
    }
    assert!(held > 0, "no thread was in the middle of a write");
}

/// A server that starts anew by running itself, as they do to load new code.
fn again(args: &Args) {
    let (path, left) = (args.text(0), args.number(1));
    let cache = Cache::builder().attach(path).expect("the cache");
    cache.set("generation", left.to_le_bytes()).expect("a line of the registry");
    assert!(cache.stats().processes <= 4);
    std::mem::forget(cache);
    if left > 0 {
        panic!("{}", Worker::command("again", &[path, &(left - 1).to_string()]).exec());
    }
}

#[test]
fn a_program_that_runs_itself_again_and_again_finds_a_line_each_time() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let cache = Cache::builder().capacity(2 << 20).max_processes(4).create_new(&path).expect("a cache");
    Worker::spawn("again", &[&text(&path), "12"]).success();
    assert_eq!(cache.get("generation").as_deref(), Some(&0u64.to_le_bytes()[..]));
}
