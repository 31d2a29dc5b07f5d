//! A process that dumps its core leaves the cache out, and holds up nobody meanwhile.

mod common;

use std::fs::File;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;

use common::Scratch;
use common::board::Board;
use common::worker::{Args, Worker, serve};
use common::writer::{check_all_is_usable, small, text, write_for_ever};
use shmemo::Cache;

#[test]
fn worker_entry() {
    serve(&[("dumps core", dumps_core)]);
}

/// What the process has of its own, beside the cache, in bytes.
const OWN: usize = 64 << 20;
const CACHE: u64 = 128 << 20;

/// Dies in the middle of the writes of other threads, with much to be dumped, in a directory where the dump can be found.
fn dumps_core(args: &Args) {
    let cache = Cache::builder().attach(args.text(0)).expect("the cache");
    let board: &'static Board = Box::leak(Box::new(Board::open(args.text(1).as_ref())));
    std::env::set_current_dir(args.text(2)).expect("a directory");
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to a struct that lives across the call. Without the right to raise the limit it stays as it is.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &limit) };
    let own = vec![7u8; OWN];
    for place in 0..3 {
        let cache = cache.clone();
        std::thread::spawn(move || write_for_ever(&cache, board, place));
    }
    common::wait_until("the threads", || (0..3).all(|place| board.get(place) > 100));
    // The whole mapping is there, to be dumped or not.
    let keys = cache.iter().count();
    assert!(keys > 0 && std::hint::black_box(&own).len() == OWN);
    std::process::abort();
}

#[test]
fn others_go_on_meanwhile_and_the_cache_is_not_in_it() {
    let scratch = Scratch::new();
    let (path, board_path, dir) = (scratch.path("cache"), scratch.path("board"), scratch.path("dumps"));
    std::fs::create_dir(&dir).expect("a directory");
    Board::create(&board_path);
    let cache = Cache::builder().capacity(CACHE).prefault(true).create_new(&path).expect("a cache");
    let mut worker = Worker::spawn("dumps core", &[&text(&path), &text(&board_path), &text(&dir)]);
    let mut stored = 0u64;
    while worker.is_running_whatever_comes() {
        cache.set((stored % 3000).to_le_bytes(), [1; 500]).expect("set");
        stored += 1;
    }
    let status = worker.wait();
    assert_eq!(status.signal(), Some(libc::SIGABRT), "{status}");
    let dumps: Vec<u64> = std::fs::read_dir(&dir)
        .expect("the directory")
        .map(|dump| dump.expect("a dump").metadata().expect("its length").len())
        .collect();
    println!("{stored} sets while it ran, dumps of {dumps:?} bytes, core dumped: {}", status.core_dumped());
    // Where dumps go elsewhere, or nowhere, there is none here.
    assert!(dumps.iter().all(|&len| len < OWN as u64 + CACHE / 2), "{dumps:?}");
    drop(Cache::builder().attach(&path).expect("whoever comes gives back what the dead held"));
    check_all_is_usable(&cache);
}

/// The mapping is left out of core dumps.
#[test]
fn core_dumps_leave_it_out() {
    let scratch = Scratch::new();
    let path = scratch.path("a file of this name");
    let _cache = small(&path);
    let mut maps = String::new();
    File::open("/proc/self/smaps").expect("the mappings").read_to_string(&mut maps).expect("text");
    let mut is_ours = false;
    let mut flags = Vec::new();
    for line in maps.lines() {
        if let Some(rest) = line.strip_prefix("VmFlags:") {
            if is_ours {
                flags.push(rest.to_owned());
            }
        } else if line.contains('-') && line.contains(" rw-s ") {
            // A line that begins a mapping; the file had no name when it was mapped.
            is_ours = line.contains(text(scratch.dir()).as_str());
        } else if !line.starts_with(char::is_uppercase) {
            is_ours = false;
        }
    }
    assert!(!flags.is_empty() && flags.iter().all(|flags| flags.split_whitespace().any(|flag| flag == "dd")), "{flags:?}");
}
