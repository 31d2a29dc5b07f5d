//! Two die at once; the one who recovers dies during the recovery, at every step of it.
#![cfg(shmemo_fault)]

use std::path::Path;

use fault_tests::common::board::Board;
use fault_tests::common::{Scratch, lengths, wait_until};
use fault_tests::fixture::{Fixture, Kind, fresh_share};
use fault_tests::harness::{End, alone, attach, close_and_stop_in, count_steps, die_at, go_on, stop_at};
use fault_tests::scenario::{LONG_RUNS, SINGLE, Scenario};
use shmemo::Cache;

fn named(name: &str) -> &'static Scenario {
    SINGLE.iter().chain(LONG_RUNS).find(|scenario| scenario.name == name).expect("a scenario")
}

/// Opens a file for writing, as a process that comes later.
fn come_later(path: &Path) -> Cache {
    let cache = Cache::builder().attach(path).expect("the file");
    attach(&cache);
    cache
}

fn check(fixture: &Fixture, what: &str) {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        fixture.check_at_once(false);
        fixture.others_go_on();
        fixture.recovers();
    }));
    std::fs::remove_file(&fixture.path).expect("the file");
    if let Err(panic) = outcome {
        eprintln!("{what}");
        std::panic::resume_unwind(panic);
    }
}

/// Both stand in the middle of something at the same moment, and then both are gone.
#[test]
fn two_die_at_once() {
    let _turn = alone();
    let scratch = Scratch::new();
    for name in ["sets, full", "sets, bounded", "sets, exact LRU", "overwriting, full"] {
        let scenario = named(name);
        let share = fresh_share(scenario.kind, &scratch);
        let steps = count_steps(scenario, &scratch.path("count")).len() as u64;
        for round in 0..lengths(15, 400u64) {
            let fixture = Fixture::with_share(scenario.kind, &scratch.path("cache"), share);
            // Two sequences that between them come to all pairs of early and late steps.
            let at = [round * 37 % steps, (round * round * 11 + 5) % steps];
            let act = || (scenario.act)(&fixture.cache);
            let both = at.map(|step| stop_at(step, || attach(&fixture.cache), act));
            both.into_iter().flatten().for_each(|stopped| stopped.kill());
            check(&fixture, &format!("{name}: deaths at steps {at:?}"));
        }
    }
}

/// One dies in the middle of a write. Another opens the file, gives back what the first held, and dies at that.
#[test]
fn the_one_who_recovers_dies() {
    let _turn = alone();
    let scratch = Scratch::new();
    let mut second_deaths = 0;
    for name in ["sets, full", "sets, bounded", "set over a value"] {
        let scenario = named(name);
        let share = fresh_share(scenario.kind, &scratch);
        let steps = count_steps(scenario, &scratch.path("count")).len() as u64;
        let every = (steps / lengths(12, 200)).max(1);
        for first in (0..steps).step_by(every as usize) {
            for second in 0.. {
                let fixture = Fixture::with_share(scenario.kind, &scratch.path("cache"), share);
                die_at(first, || attach(&fixture.cache), || (scenario.act)(&fixture.cache));
                let end = die_at(second, || {}, || drop(come_later(&fixture.path)));
                check(&fixture, &format!("{name}: a death at step {first}, then one at step {second} of the recovery"));
                if end == End::Done {
                    break;
                }
                second_deaths += 1;
            }
        }
    }
    println!("{second_deaths} deaths in recoveries");
    assert!(second_deaths > 100);
}

/// One dies while it sweeps around what another, who stands still, has pinned or holds.
#[test]
fn beside_one_who_stands_still() {
    let _turn = alone();
    let scratch = Scratch::new();
    let (over, sets) = (named("set over a value"), named("sets, full"));
    let share = fresh_share(Kind::Full, &scratch);
    for stop in 0..14 {
        for death in (stop..1500).step_by(lengths(290, 11)) {
            let fixture = Fixture::with_share(Kind::Full, &scratch.path("cache"), share);
            fixture.let_age();
            let stopped = stop_at(stop, || attach(&fixture.cache), || (over.act)(&fixture.cache));
            // Far enough that the sweep comes to where the other one stands.
            let lap = || (0..20).for_each(|_| (sets.act)(&fixture.cache));
            die_at(death, || attach(&fixture.cache), lap);
            fixture.check_at_once(false);
            fixture.laps(1);
            stopped.into_iter().for_each(go_on);
            check(&fixture, &format!("one stood at step {stop}, one died at step {death}"));
        }
    }
}

/// A process that finds everything held by the dead recovers in the middle of its own write.
#[test]
fn a_writer_recovers() {
    let _turn = alone();
    let scratch = Scratch::new();
    let scenario = named("sets, full");
    let share = fresh_share(Kind::Full, &scratch);
    for first in (0..600).step_by(lengths(60, 7)) {
        let fixture = Fixture::with_share(Kind::Full, &scratch.path("cache"), share);
        for death in 0..20 {
            die_at(first + death * 3, || attach(&fixture.cache), || (scenario.act)(&fixture.cache));
        }
        check(&fixture, &format!("twenty deaths from step {first} on"));
    }
}

/// Whoever gives back what a dead process held closes all its descriptors by force in the middle of that, as daemonizing code does
/// in another thread, and stands still. Others come, and may want the line of the dead one. Then it goes on.
#[test]
fn descriptors_closed_in_the_middle_of_a_recovery() {
    let _turn = alone();
    let scratch = Scratch::new();
    let scenario = named("sets, full");
    let board = Board::create(&scratch.path("board"));
    let steps = count_steps(scenario, &scratch.path("count")).len() as u64;
    let mut stops = 0;
    for death in (0..steps).step_by((steps / lengths(6, 60)).max(1) as usize) {
        for step in 0.. {
            let fixture = Fixture::new(Kind::Full, &scratch.path("cache"));
            board.set(0, 0);
            board.set(1, 0);
            // It has a line before the other one dies, so that it recovers by what it asks after others by.
            let ready = || {
                attach(&fixture.cache);
                board.set(0, 1);
                wait_until("a death", || board.get(1) == 1);
            };
            let act = || (0..60).for_each(|_| (scenario.act)(&fixture.cache));
            let stopped = std::thread::scope(|scope| {
                scope.spawn(|| {
                    wait_until("the one who recovers", || board.get(0) == 1);
                    die_at(death, || attach(&fixture.cache), || (scenario.act)(&fixture.cache));
                    board.set(1, 1);
                });
                close_and_stop_in("recover.rs", step, ready, act)
            });
            let Some(stopped) = stopped else {
                std::fs::remove_file(&fixture.path).expect("the file");
                break;
            };
            stops += 1;
            let late = [(); 3].map(|()| come_later(&fixture.path));
            go_on(stopped);
            let what = format!("a death at step {death}, all closed at step {step} of the recovery");
            // This process by four handles, and the line of the one who went on, which has ended since.
            assert!(late[0].stats().processes >= 5, "{what}: somebody who lives has lost its line");
            late[0].verify().unwrap_or_else(|corruption| panic!("{what}: {corruption}"));
            late.iter().for_each(|cache| cache.set("late", "value").expect(&what));
            drop(late);
            check(&fixture, &what);
        }
    }
    println!("all descriptors closed in the middle of {stops} recoveries");
    assert!(stops > 20, "{stops}");
}
