//! Warm restarts: all leave or all are killed, and the next finds every entry. After a reboot the cache starts empty, as pages that
//! were not written back may be torn; the boot id of another container changes nothing while others are attached.

mod common;

use std::os::unix::fs::FileExt;
use std::path::Path;

use common::board::Board;
use common::worker::{Args, Worker, serve};
use common::{Rng, Scratch, lengths, value, wait_until};
use shmemo::Cache;

const ENTRIES: u64 = 2000;
/// Offset of the boot id in the header (`docs/design.md`, section 2).
const BOOT_ID: u64 = 0x188;

#[test]
fn worker_entry() {
    serve(&[("fill", fill), ("first", first)]);
}

fn open(path: &Path) -> Cache {
    Cache::builder().capacity(8 << 20).open(path).expect("the cache")
}

fn store(cache: &Cache, id: u64) {
    cache.set(id.to_le_bytes(), value::value(id, 1, 300 + id as usize % 900)).expect("set");
}

fn check(cache: &Cache, ids: std::ops::Range<u64>) {
    for id in ids {
        let found = cache.get(id.to_le_bytes()).unwrap_or_else(|| panic!("entry {id} is lost"));
        value::check(id, &found).expect("a whole value");
    }
    cache.verify().expect("no corruption");
}

/// Stores its share, and then the same again and again until it is killed.
fn fill(args: &Args) {
    let (cache, board, place) = (open(args.text(0).as_ref()), Board::open(args.text(1).as_ref()), args.number(2));
    let share = ENTRIES / 4;
    loop {
        (place * share..(place + 1) * share).for_each(|id| store(&cache, id));
        board.add(place as usize, 1);
    }
}

#[test]
fn all_leave() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let cache = open(&path);
    (0..ENTRIES).for_each(|id| store(&cache, id));
    drop(cache);
    let cache = open(&path);
    assert_eq!((cache.len(), cache.stats().processes), (ENTRIES as usize, 1));
    check(&cache, 0..ENTRIES);
}

#[test]
fn all_are_killed() {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let board = Board::create(&board_path);
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let start = |place: u64| Worker::spawn("fill", &[&text(&path), &text(&board_path), &place.to_string()]);
    for round in 0..5 {
        let workers: Vec<Worker> = (0..4).map(start).collect();
        wait_until("each worker's share", || (0..4).all(|place| board.get(place) > round));
        workers.into_iter().for_each(Worker::kill);
        (0..4).for_each(|place| board.set(place, round + 1));
        // Nobody is left. The next to come gives back what they held.
        let cache = open(&path);
        check(&cache, 0..ENTRIES);
        cache.set("one more", "v").expect("set");
        assert_eq!(cache.stats().segments_held, 0);
    }
}

fn change_boot_id(path: &Path, id: &[u8; 16]) {
    let file = std::fs::File::options().write(true).open(path).expect("the file");
    file.write_all_at(id, BOOT_ID).expect("a write");
}

#[test]
fn after_a_reboot_it_starts_empty() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    for seed in 1..=20 {
        let cache = open(&path);
        (0..ENTRIES).for_each(|id| store(&cache, id));
        cache.set_with_ttl("expires", "v", std::time::Duration::from_secs(1000)).expect("set");
        drop(cache);
        change_boot_id(&path, b"a boot of before");
        // Half of the pages behind the header were never written back, or are from other times.
        let file = std::fs::File::options().read(true).write(true).open(&path).expect("the file");
        let mut rng = Rng::new(seed);
        for page in 1..(8 << 20) / 4096 {
            match rng.below(4) {
                0 => file.write_all_at(&[0; 4096], page * 4096).expect("a write"),
                1 => {
                    let mut other = [0; 4096];
                    file.read_exact_at(&mut other, (1 + rng.below(page)) * 4096).expect("a read");
                    file.write_all_at(&other, page * 4096).expect("a write");
                }
                _ => {}
            }
        }
        let cache = open(&path);
        assert_eq!((cache.len(), cache.iter().count(), cache.get("expires")), (0, 0, None), "seed {seed}");
        cache.verify().expect("no corruption");
        (0..ENTRIES).for_each(|id| store(&cache, id));
        check(&cache, 0..ENTRIES);
        assert_eq!(cache.len(), ENTRIES as usize);
        drop(cache);
        // The same boot now: everything stays.
        check(&open(&path), 0..ENTRIES);
    }
}

/// Opens the file at the same moment as others, stores its share, and goes when all have done so.
fn first(args: &Args) {
    let (path, board, place, all) = (args.text(0), Board::open(args.text(1).as_ref()), args.number(2), args.number(3));
    board.add(0, 1);
    while board.get(0) < all {
        std::hint::spin_loop();
    }
    let cache = open(path.as_ref());
    for id in 0..ENTRIES {
        assert_eq!(cache.get(id.to_le_bytes()), None, "an entry from before the reboot");
    }
    let share = ENTRIES + place * 100..ENTRIES + (place + 1) * 100;
    share.clone().for_each(|id| store(&cache, id));
    board.add(1, 1);
    wait_until("the others", || board.get(1) == all);
    check(&cache, share);
    board.add(2, 1);
    wait_until("the others", || board.get(2) == all);
}

/// One of them empties the cache, and no other does so once more or reads before it is done.
#[test]
fn several_at_once_after_a_reboot() {
    let scratch = Scratch::new();
    let (path, all) = (scratch.path("cache"), 6);
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    for round in 0..lengths(15, 500) {
        let cache = open(&path);
        (0..ENTRIES).for_each(|id| store(&cache, id));
        drop(cache);
        change_boot_id(&path, b"a boot of before");
        let board_path = scratch.path(&format!("board{round}"));
        Board::create(&board_path);
        let start =
            |place: u64| Worker::spawn("first", &[&text(&path), &text(&board_path), &place.to_string(), &all.to_string()]);
        (0..all).map(start).collect::<Vec<_>>().into_iter().for_each(Worker::success);
    }
}

#[test]
fn another_boot_id_while_others_are_attached_changes_nothing() {
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let cache = open(&path);
    (0..ENTRIES).for_each(|id| store(&cache, id));
    change_boot_id(&path, b"other containers");
    for _ in 0..3 {
        let other = open(&path);
        check(&other, 0..ENTRIES);
        other.set("from the other", "v").expect("set");
        assert!(cache.contains("from the other"));
    }
    check(&cache, 0..ENTRIES);
}
