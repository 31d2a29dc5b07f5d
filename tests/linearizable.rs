//! Clients in several processes and threads work on a few keys at once and write down when each call began, when it
//! ended and what it gave. Each key's history must be linearizable (`common/history.rs` says how that is decided):
//! strictly where there is room for everything, and else with nothing but evictions to explain what is missing.

#[path = "common/history_client.rs"]
mod client;
mod common;
#[path = "common/history.rs"]
mod history;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use client::{Client, KEYS};
use common::board::Board;
use common::worker::{Args, Worker, serve};
use common::{PATIENCE, Rng, Scratch, lengths};
use history::{Event, Evictions, Kind};
use shmemo::{Builder, Cache, TimeToLive};

/// The word of the board on which the clients wait for each other.
const ARRIVED: usize = 0;

#[test]
fn worker_entry() {
    serve(&[("clients", clients)]);
}

/// A process with several clients, who begin each round together with those of the other processes.
fn clients(args: &Args) {
    let cache = Cache::open(args.text(0)).expect("the cache");
    let board = Board::open(args.text(1).as_ref());
    let (dir, process, threads, all) = (args.text(2), args.number(3), args.number(4), args.number(5));
    let [rounds, flood, flood_len, clears, is_careless] = [6, 7, 8, 9, 10].map(|index| args.number(index));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (cache, board) = (cache.clone(), &board);
            scope.spawn(move || {
                let number = process * threads + thread;
                let mut client = Client::new(cache, Rng::new(Rng::from_time().next() ^ number), number);
                (client.flood, client.flood_len, client.clears) = (flood, flood_len, clears == 1);
                client.is_careless = is_careless == 1 && number == 0;
                for round in 0..rounds {
                    board.add(ARRIVED, 1);
                    while board.get(ARRIVED) < (round + 1) * all {
                        std::thread::yield_now();
                    }
                    client.round(round);
                    for (key, events) in client.events.iter_mut().enumerate() {
                        save(&Path::new(dir).join(format!("{round}-{key}-{number}")), events);
                        events.clear();
                    }
                }
            });
        }
    });
}

fn save(path: &Path, events: &[Event]) {
    let bytes: Vec<u8> = events.iter().flat_map(Event::words).flat_map(u64::to_le_bytes).collect();
    std::fs::write(path, bytes).expect("the history is written");
}

fn load(path: &Path) -> Vec<Event> {
    let bytes = std::fs::read(path).expect("a history");
    let words: Vec<u64> = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("a word"))).collect();
    words.chunks_exact(history::WORDS).map(|words| Event::of_words(words.try_into().expect("an event"))).collect()
}

/// A cache, and how the clients work on it.
#[derive(Clone)]
struct Setting {
    builder: Builder,
    evictions: Evictions,
    flood: u64,
    flood_len: u64,
    clears: bool,
    is_careless: bool,
    rounds: u64,
}

/// What was found over all rounds of a setting.
#[derive(Debug, Default)]
struct Found {
    histories: u64,
    calls: usize,
    overlapping: usize,
    busy: usize,
    /// Histories that are linearizable only if entries vanish.
    evicted: u64,
    /// Histories that are not linearizable; the first of them.
    wrong: u64,
    first: Option<String>,
}

fn run(setting: &Setting, processes: u64, threads: u64, found: &mut Found) {
    let scratch = Scratch::new();
    let (path, board_path) = (scratch.path("cache"), scratch.path("board"));
    let cache = setting.builder.clone().create_new(&path).expect("a cache");
    Board::create(&board_path);
    let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
    let all = processes * threads;
    let workers = (0..processes).map(|process| {
        let flags = [setting.clears, setting.is_careless].map(u64::from);
        let numbers = [process, threads, all, setting.rounds, setting.flood, setting.flood_len, flags[0], flags[1]];
        let mut args = vec![text(&path), text(&board_path), text(scratch.dir())];
        args.extend(numbers.map(|number| number.to_string()));
        Worker::spawn("clients", &args.iter().map(String::as_str).collect::<Vec<_>>())
    });
    workers.collect::<Vec<_>>().into_iter().for_each(Worker::success);
    for round in 0..setting.rounds {
        for key in 0..KEYS {
            let clients: Vec<Vec<Event>> =
                (0..all).map(|client| load(&scratch.path(&format!("{round}-{key}-{client}")))).collect();
            found.histories += 1;
            found.calls += clients.iter().map(Vec::len).sum::<usize>();
            found.overlapping += history::overlapping(&clients);
            found.busy += clients.iter().flatten().filter(|event| event.kind == Kind::Busy).count();
            if let Err(stuck) = history::check(&clients, Evictions::Never) {
                found.evicted += 1;
                let excused = if setting.evictions == Evictions::AnyTime {
                    history::check(&clients, Evictions::AnyTime)
                } else {
                    Err(stuck)
                };
                if let Err(stuck) = excused {
                    found.wrong += 1;
                    found
                        .first
                        .get_or_insert_with(|| format!("{processes} x {threads} clients, round {round}, key {key}: {stuck}"));
                }
            }
        }
    }
    cache.verify().unwrap_or_else(|corruption| panic!("{corruption}"));
    println!("{processes} x {threads}: {:?}", cache.stats());
}

/// Several processes, several threads, both.
fn run_all(setting: &Setting) -> Found {
    let mut found = Found::default();
    for (processes, threads) in [(2, 1), (1, 3), (2, 2), (4, 1)] {
        run(setting, processes, threads, &mut found);
    }
    println!("{found:?}");
    // Else the clients were hardly ever at it at once.
    assert!(found.overlapping * 50 > found.calls, "{found:?}");
    found
}

fn roomy() -> Setting {
    // The long form does not go round either: what was put in order is not to depend on what is evicted.
    let builder = Cache::builder().capacity(lengths(64 << 20, 256 << 20));
    let rounds = lengths(60, 3000);
    Setting { builder, evictions: Evictions::Never, flood: 0, flood_len: 1, clears: false, is_careless: false, rounds }
}

#[test]
fn with_room_for_everything() {
    let found = run_all(&roomy());
    assert_eq!(found.first, None, "{found:?}");
    assert_eq!((found.wrong, found.busy), (0, 0), "nothing is missing and nothing busy where there is room");
}

/// A store that began before a `clear` may take what was stored after it along: that counts as an eviction.
#[test]
fn with_clears() {
    let found = run_all(&Setting { evictions: Evictions::AnyTime, clears: true, ..roomy() });
    assert_eq!((&found.first, found.busy), (&None, 0), "{found:?}");
}

#[test]
fn while_the_log_is_swept() {
    let (builder, rounds) = (Cache::builder().capacity(1 << 20), lengths(25, 1200));
    let evictions = Evictions::AnyTime;
    let found = run_all(&Setting { builder, evictions, flood: 24, flood_len: 16_000, clears: true, rounds, ..roomy() });
    assert_eq!(found.first, None, "{found:?}");
    // What is dead makes room first, so most keys live through a round.
    assert!(found.evicted * 100 > found.histories, "entries were evicted: {found:?}");
    assert!(found.busy * 100 < found.calls, "{found:?}");
}

#[test]
fn while_entries_are_bounded() {
    for (most, flood) in [(6, 2), (100, 40)] {
        let (builder, rounds) = (Cache::builder().capacity(1 << 20).max_entries(most), lengths(10, 400));
        let found = run_all(&Setting { builder, evictions: Evictions::AnyTime, flood, flood_len: 800, rounds, ..roomy() });
        assert_eq!(found.first, None, "{found:?}");
        assert!(found.evicted * 20 > found.histories, "entries were evicted: {found:?}");
    }
}

/// A touch that finds nothing says so, although the key has a value by the time that it returns.
#[test]
fn a_touch_that_came_too_early_did_nothing() {
    let cache = Cache::builder().capacity(4 << 20).anonymous().expect("a cache");
    let (begun, stored, mut touched) = (AtomicU64::new(0), AtomicU64::new(0), 0);
    let rounds = lengths(20_000, 1_000_000);
    let wait = |word: &AtomicU64, round: u64| {
        let start = Instant::now();
        for spins in 1.. {
            if word.load(Ordering::Acquire) == round {
                return;
            }
            if spins % 1000 == 0 {
                assert!(start.elapsed() < PATIENCE, "the other thread is gone");
                std::thread::yield_now();
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 1..=rounds {
                wait(&begun, round);
                // Sooner or later, so that it falls into every part of the touch.
                (0..round % 32).for_each(|_| std::hint::spin_loop());
                cache.set("key", "value").expect("set");
                stored.store(round, Ordering::Release);
            }
        });
        for round in 1..=rounds {
            cache.remove("key");
            begun.store(round, Ordering::Release);
            (0..round / 32 % 32).for_each(|_| std::hint::spin_loop());
            let done = cache.touch("key", Some(Duration::from_secs(3600)));
            wait(&stored, round);
            let expires = matches!(cache.time_to_live("key"), Some(TimeToLive::Left(_)));
            assert_eq!(done, expires, "round {round}");
            touched += u64::from(done);
        }
    });
    println!("{touched} of the touches found the value");
}

/// What this test can see: one client increments by a get and a set.
#[test]
fn a_careless_client_is_noticed() {
    let found = run_all(&Setting { is_careless: true, rounds: 20, ..roomy() });
    assert!(found.wrong > 0, "{found:?}");
}
