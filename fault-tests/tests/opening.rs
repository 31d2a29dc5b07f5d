//! A process dies at every step of making a file, of opening one, and of leaving it.
#![cfg(shmemo_fault)]

use std::path::Path;

use fault_tests::common::{Scratch, names_in};
use fault_tests::fixture::{Fixture, Kind, OLD, TARGET};
use fault_tests::harness::{End, alone, attach, die_at};
use shmemo::{Builder, Cache, OnMismatch};

fn builder() -> Builder {
    Cache::builder().capacity(1 << 20).max_processes(16)
}

/// Dies at each step of some work in a directory; then `check` looks at what is left.
fn die_at_each(scratch: &Scratch, prepare: impl Fn(&Path), act: impl Fn(&Path), check: impl Fn(&Path)) -> u64 {
    let path = scratch.path("cache");
    for step in 0.. {
        prepare(&path);
        let end = die_at(step, || {}, || act(&path));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&path)));
        std::fs::remove_file(&path).expect("the file");
        if let Err(panic) = outcome {
            eprintln!("a death at step {step}");
            std::panic::resume_unwind(panic);
        }
        if end == End::Done {
            return step;
        }
    }
    unreachable!("no work has so many steps")
}

/// The next to come gets a whole file. Beside it lies at most the empty file that creators lock, which the next creator removes.
fn check_use(path: &Path) {
    let cache = builder().open(path).expect("a cache");
    cache.set("key", "value").expect("set");
    assert_eq!(cache.get("key").as_deref(), Some(&b"value"[..]));
    cache.verify().expect("no corruption");
    let directory = path.parent().expect("a directory");
    let names = names_in(directory);
    assert!(names == ["cache"] || names == ["cache", "cache.lock"], "{names:?}");
    assert!(names.len() == 1 || std::fs::metadata(directory.join("cache.lock")).is_ok_and(|lock| lock.len() == 0));
    drop(builder().capacity(3 << 20).on_mismatch(OnMismatch::Recreate).open(path).expect("a cache"));
    assert_eq!(names_in(directory), ["cache"]);
}

#[test]
fn making_a_file() {
    let _turn = alone();
    let deaths = die_at_each(&Scratch::new(), |_| {}, |path| drop(builder().open(path).expect("a cache")), check_use);
    println!("{deaths} deaths while a file was made");
    assert!(deaths > 10);
}

#[test]
fn making_a_file_in_place_of_another() {
    let _turn = alone();
    let old = |path: &Path| drop(Cache::builder().capacity(2 << 20).create_new(path).expect("a cache"));
    let make = |path: &Path| drop(builder().on_mismatch(OnMismatch::Recreate).open(path).expect("a cache"));
    let check = |path: &Path| {
        let cache = builder().on_mismatch(OnMismatch::UseExisting).open(path).expect("the old one or the new one");
        assert!([1 << 20, 2 << 20].contains(&cache.capacity()));
        make(path);
        check_use(path);
    };
    let deaths = die_at_each(&Scratch::new(), old, make, check);
    println!("{deaths} deaths while a file was replaced");
    assert!(deaths > 10);
}

/// Lines of the registry do not run out, however many die while they come or go.
#[test]
fn coming_and_going() {
    let _turn = alone();
    let scratch = Scratch::new();
    let fixture = Fixture::new(Kind::Roomy, &scratch.path("cache"));
    let mut deaths = 0;
    for _ in 0..4 {
        for step in 0.. {
            let end = die_at(
                step,
                || {},
                || {
                    let cache = Cache::builder().attach(&fixture.path).expect("the file");
                    attach(&cache);
                    drop(cache);
                },
            );
            fixture.check_at_once(false);
            assert_eq!(fixture.cache.get(TARGET).as_deref(), Some(OLD));
            if end == End::Done {
                break;
            }
            deaths += 1;
        }
    }
    println!("{deaths} deaths while a process came or went");
    assert!(deaths > 64, "more than there are lines");
    let crowd: Vec<Cache> = (0..60).map(|_| Cache::builder().attach(&fixture.path).expect("the file")).collect();
    crowd.iter().for_each(attach);
    fixture.others_go_on();
    fixture.recovers();
}
