//! Opening: of any number at once one makes the cache and all end up in it; those that are killed while they make it leave
//! nothing that is in anybody's way. What is refused, and how, is in `refusals.rs`.

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use common::board::Board;
use common::mounts::small_tmpfs;
use common::worker::{Args, Worker, serve};
use common::{PATIENCE, Rng, Scratch, lengths, wait_until};
use shmemo::{Cache, OnMismatch, OpenError};

const OPENERS: usize = 20;
const CAPACITY: u64 = 6 << 20;
/// Room for one cache and a little, never for two.
const ROOM: u64 = 8 << 20;

#[test]
fn worker_entry() {
    serve(&[
        ("host", host),
        ("opener", opener),
        ("creator", creator),
        ("killer", killer),
        ("defaults", defaults),
        ("recreator", recreator),
        ("wanderer", wanderer),
    ]);
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// The inode of the file that a cache is mapped from.
fn inode(cache: &Cache) -> u64 {
    let file = std::fs::File::from(cache.as_fd().try_clone_to_owned().expect("a descriptor"));
    file.metadata().expect("metadata").ino()
}

/// All of `count` processes wait here for each other.
fn meet(board: &Board, word: usize, count: usize) {
    let arrival = board.add(word, 1);
    let full = (arrival / count as u64 + 1) * count as u64;
    wait_until("the others", || board.get(word) >= full);
}

/// Words of the board.
const MEETING: usize = 0;
const INODES: usize = 16;

/// Opens a path at the same moment as all the others, again and again.
fn opener(args: &Args) {
    let (dir, board, number) = (args.text(0), Board::open(args.text(1).as_ref()), args.number(2) as usize);
    for round in 0..args.number(3) {
        let path = format!("{dir}/cache{round}");
        meet(&board, MEETING, OPENERS);
        let cache = Cache::builder().capacity(CAPACITY).open(&path).unwrap_or_else(|error| panic!("{error}"));
        board.set(INODES + number, inode(&cache));
        cache.set(format!("key {number}"), number.to_le_bytes()).expect("set");
        meet(&board, MEETING, OPENERS);
        for other in 0..OPENERS {
            assert_eq!(board.get(INODES + other), inode(&cache), "opener {other} has another file");
            assert_eq!(cache.get(format!("key {other}")).as_deref(), Some(&other.to_le_bytes()[..]));
        }
        assert!(cache.is_current());
        assert_eq!(cache.stats().processes, OPENERS as u64);
        meet(&board, MEETING, OPENERS);
        drop(cache);
        meet(&board, MEETING, OPENERS);
        if number == 0 {
            assert_eq!(common::names_in(dir.as_ref()), [format!("cache{round}")], "something was left");
            std::fs::remove_file(&path).expect("removed");
        }
    }
}

/// Starts the openers, on a file system without room for two caches where that can be had.
fn host(args: &Args) {
    let dir = args.text(0);
    let is_small = small_tmpfs(dir.as_ref(), ROOM);
    println!("a small file system: {is_small}");
    let rounds = lengths(15, 300).to_string();
    let openers: Vec<Worker> =
        (0..OPENERS).map(|number| Worker::spawn("opener", &[dir, args.text(1), &number.to_string(), &rounds])).collect();
    openers.into_iter().for_each(Worker::success);
    if is_small {
        let one = Cache::builder().capacity(CAPACITY).create_new(format!("{dir}/one")).expect("room for one");
        let two = Cache::builder().capacity(CAPACITY).create_new(format!("{dir}/two"));
        assert!(matches!(two, Err(OpenError::NoSpace { .. })), "there was room for two: {two:?}");
        drop(one);
    }
}

fn run_hosted(role: &str) {
    let scratch = Scratch::new();
    let (dir, board) = (scratch.path("dir"), scratch.path("board"));
    std::fs::create_dir(&dir).expect("a directory");
    Board::create(&board);
    Worker::spawn(role, &[text(&dir), text(&board)]).success();
}

#[test]
fn twenty_open_the_same_absent_path() {
    run_hosted("host");
}

/// Makes a cache, and says so when it has it.
fn creator(args: &Args) {
    let board = Board::open(args.text(1).as_ref());
    board.add(0, 1);
    let cache = Cache::builder().capacity(CAPACITY).open(args.text(0)).unwrap_or_else(|error| panic!("{error}"));
    cache.set("made", "1").expect("set");
    board.add(1, 1);
    loop {
        std::thread::sleep(PATIENCE);
    }
}

/// Kills those who are making a cache, two at a time, at moments from the first to the last of the making.
fn killer(args: &Args) {
    let dir: &Path = args.text(0).as_ref();
    let is_small = small_tmpfs(dir, ROOM);
    println!("a small file system: {is_small}");
    let board = Board::open(args.text(1).as_ref());
    let path = dir.join("cache");
    let mut rng = Rng::from_time();
    let (mut unmade, mut made) = (0, 0);
    for round in 0..lengths(80, 2000) {
        let started = board.get(0);
        let creators = [(); 2].map(|()| Worker::spawn("creator", &[text(&path), args.text(1)]));
        wait_until("a creator", || board.get(0) > started);
        std::thread::sleep(Duration::from_micros(rng.below(5_000)));
        creators.into_iter().for_each(Worker::kill);
        // What appears under the name is whole.
        match Cache::builder().attach(&path) {
            Ok(cache) => {
                made += 1;
                assert_eq!(cache.capacity(), CAPACITY);
                cache.verify().expect("no corruption");
            }
            Err(OpenError::NotFound { .. }) => unmade += 1,
            Err(error) => panic!("round {round}: {error}"),
        }
        // The next one finds all the room, and clears away what was left.
        let cache = Cache::builder().capacity(CAPACITY).open(&path).unwrap_or_else(|error| panic!("round {round}: {error}"));
        cache.set("next", "1").expect("set");
        let mut names = common::names_in(dir);
        // Where a cache was made already, an empty lock file can be left until somebody makes the next.
        names.retain(|name| name != "cache.lock");
        assert_eq!(names, ["cache"], "round {round}");
        drop(cache);
        std::fs::remove_file(&path).expect("removed");
    }
    eprintln!("killed before it was made: {unmade}, after: {made}");
    drop(Cache::builder().capacity(CAPACITY).create_new(&path).expect("a cache"));
    assert_eq!(common::names_in(dir), ["cache"], "something was left");
}

#[test]
fn killed_creators_leave_nothing_in_the_way() {
    run_hosted("killer");
}

/// Without a word: 64 MiB, or half of what is free.
fn defaults(args: &Args) {
    let dir: &Path = args.text(0).as_ref();
    let path = dir.join("cache");
    if small_tmpfs(dir, 16 << 20) {
        let cache = Cache::open(&path).expect("a cache");
        assert!((7 << 20..=8 << 20).contains(&cache.capacity()), "{}", cache.capacity());
        let blocks = std::fs::metadata(&path).expect("metadata").blocks() * 512;
        assert!(blocks >= cache.capacity(), "all its space is allocated: {blocks}");
    } else {
        assert!(Cache::open(&path).expect("a cache").capacity() <= 64 << 20);
    }
}

#[test]
fn the_default_is_half_of_what_is_free() {
    run_hosted("defaults");
    let scratch = Scratch::new();
    assert_eq!(Cache::open(scratch.path("cache")).expect("a cache").capacity(), 64 << 20);
}

/// Asks for a geometry of its own and puts a new file in place of one that is another.
fn recreator(args: &Args) {
    let board = Board::open(args.text(1).as_ref());
    let entries = args.number(2);
    meet(&board, MEETING, 8);
    let cache = Cache::builder().capacity(2 << 20).max_entries(entries).on_mismatch(OnMismatch::Recreate).open(args.text(0));
    let cache = cache.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(cache.max_entries(), Some(entries), "it got what it asked for");
    cache.set("mine", entries.to_le_bytes()).expect("set");
    assert!(cache.get("mine").is_some());
    board.set(INODES + args.number(3) as usize, inode(&cache));
    meet(&board, MEETING, 8);
    let current = (0..8).filter(|&other| board.get(INODES + other) == std::fs::metadata(args.text(0)).expect("it").ino());
    let is_mine = board.get(INODES + args.number(3) as usize) == std::fs::metadata(args.text(0)).expect("it").ino();
    assert_eq!(cache.is_current(), is_mine);
    assert!(current.count() >= 1);
}

#[test]
fn eight_recreate_at_once() {
    for _ in 0..lengths(10, 200) {
        let scratch = Scratch::new();
        let (path, board) = (scratch.path("cache"), scratch.path("board"));
        Board::create(&board);
        drop(Cache::builder().capacity(1 << 20).create_new(&path).expect("a cache"));
        // Six ask for the same, two for something else.
        let workers: Vec<Worker> = (0..8)
            .map(|number| {
                let entries = if number < 6 { "100" } else { "200" };
                Worker::spawn("recreator", &[text(&path), text(&board), entries, &number.to_string()])
            })
            .collect();
        workers.into_iter().for_each(Worker::success);
        assert_eq!(scratch.names(), ["board", "cache"]);
    }
}

#[test]
fn a_deleted_or_replaced_file_is_noticed() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let old = Cache::builder().capacity(1 << 20).open(&path).expect("a cache");
    assert_eq!(old.path(), Some(path.as_path()));
    assert!(old.is_current());
    std::fs::remove_file(&path).expect("removed");
    assert!(!old.is_current());
    let new = Cache::builder().capacity(1 << 20).open(&path).expect("a cache");
    assert!(!old.is_current() && new.is_current());
    old.set("k", "old").expect("it goes on with what it has");
    new.set("k", "new").expect("set");
    assert_eq!((old.get("k").as_deref(), new.get("k").as_deref()), (Some(&b"old"[..]), Some(&b"new"[..])));
}

/// Opens by a relative path and then goes elsewhere.
fn wanderer(args: &Args) {
    let dir: &Path = args.text(0).as_ref();
    std::env::set_current_dir(dir).expect("a directory");
    let cache = Cache::builder().capacity(1 << 20).open("cache").expect("a cache");
    std::env::set_current_dir("/").expect("a directory");
    assert!(cache.is_current());
    assert_eq!(cache.path(), Some(dir.join("cache").as_path()));
    std::fs::remove_file(dir.join("cache")).expect("removed");
    assert!(!cache.is_current());
}

#[test]
fn a_relative_path_survives_a_change_of_directory() {
    run_hosted("wanderer");
}

#[test]
fn a_link_to_the_directory_is_followed() {
    let scratch = Scratch::new();
    let cache = Cache::builder().capacity(1 << 20).open(scratch.path("cache")).expect("a cache");
    cache.set("k", "v").expect("set");
    let link = scratch.path("link");
    std::os::unix::fs::symlink(scratch.dir(), &link).expect("a link");
    let same = Cache::builder().attach(link.join("cache")).expect("through a link to the directory");
    assert_eq!(same.get("k").as_deref(), Some(&b"v"[..]));
}

#[test]
fn prefault_and_modes() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    for mode in [0o600, 0o640, 0o660, 0o666] {
        let path = scratch.path(&format!("{mode:o}"));
        let cache = Cache::builder().capacity(1 << 20).mode(mode).prefault(true).open(&path).expect("a cache");
        cache.set("k", "v").expect("set");
        let found = std::fs::metadata(&path).expect("metadata").permissions().mode() & 0o7777;
        assert_eq!(found, mode, "whatever the umask");
    }
}
