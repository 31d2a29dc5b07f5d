//! A process dies or stops at every step of making a file, of opening one, of emptying it after a reboot, and of leaving it.
#![cfg(shmemo_fault)]

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use fault_tests::common::forked::Forked;
use fault_tests::common::{Scratch, lengths, names_in};
use fault_tests::fixture::{Fixture, Kind, LONGEST, OLD, TARGET};
use fault_tests::harness::{End, alone, attach, die_at, go_on, stop_at};
use shmemo::fault::{Action, arm, disarm, steps_taken};
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

/// Who stands still while it comes or goes keeps nobody from coming, and goes on when it may.
#[test]
fn stopping_while_coming_and_going() {
    let _turn = alone();
    let scratch = Scratch::new();
    let fixture = Fixture::new(Kind::Roomy, &scratch.path("cache"));
    let come_and_go = || {
        let cache = Cache::builder().attach(&fixture.path).expect("the file");
        attach(&cache);
        drop(cache);
    };
    for step in 0.. {
        let Some(stopped) = stop_at(step, || {}, come_and_go) else {
            println!("{step} stops while a process came or went");
            assert!(step > 10);
            break;
        };
        let begin = Instant::now();
        (0..3).for_each(|_| come_and_go());
        assert!(begin.elapsed() < LONGEST, "the others were held up for {:?}", begin.elapsed());
        fixture.check_at_once(false);
        go_on(stopped);
        assert_eq!(fixture.cache.stats().processes, 1);
    }
    fixture.others_go_on();
    fixture.recovers();
}

/// Others wait for the one that makes the file, not for ever; here it goes on.
#[test]
fn stopping_while_making_a_file() {
    let _turn = alone();
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    for step in 0.. {
        let Some(stopped) = stop_at(step, || {}, || drop(builder().open(&path).expect("a cache"))) else {
            println!("{step} stops while a file was made");
            assert!(step > 10);
            break;
        };
        let others = [(); 2].map(|()| Forked::spawn(|| builder().open(&path).expect("a cache").set("key", "v").expect("set")));
        std::thread::sleep(Duration::from_millis(3));
        go_on(stopped);
        others.into_iter().for_each(Forked::success);
        check_use(&path);
        std::fs::remove_file(&path).expect("the file");
    }
}

/// The offset of the boot id in the header: a test that pretends a reboot writes there.
const BOOT_ID: u64 = 0x188;

/// A file of another boot, full of entries of which the next to come must see none.
fn of_another_boot(path: &Path) {
    let cache = builder().create_new(path).expect("a cache");
    (0..2000u32).for_each(|number| cache.set(number.to_le_bytes(), [7; 300]).expect("set"));
    drop(cache);
    let file = std::fs::File::options().write(true).open(path).expect("the file");
    file.write_all_at(b"another boot id", BOOT_ID).expect("a write");
}

/// Whoever empties the file after a reboot dies at that: the next one does it once more. Nearly all steps are alike; the first and
/// the last are all tried.
#[test]
fn beginning_anew_after_a_reboot() {
    let _turn = alone();
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let come = || attach(&Cache::builder().attach(&path).expect("the file"));
    of_another_boot(&path);
    arm(0, Action::Count);
    come();
    disarm();
    let steps = steps_taken();
    std::fs::remove_file(&path).expect("the file");
    let every = lengths(151, 13);
    for step in (0..steps).filter(|step| step % every == 0 || *step < 12 || step + 40 > steps) {
        of_another_boot(&path);
        assert_eq!(die_at(step, || {}, come), End::Died);
        let cache = Cache::builder().attach(&path).expect("the file");
        assert_eq!((cache.len(), cache.iter().count()), (0, 0), "a death at step {step} of {steps}");
        cache.verify().expect("no corruption");
        drop(cache);
        check_use(&path);
        std::fs::remove_file(&path).expect("the file");
    }
    println!("{steps} steps after a reboot");
    assert!(steps > 5000);
}
