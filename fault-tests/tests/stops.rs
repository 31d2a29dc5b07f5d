//! A process stops at every step of every operation. The others go on; when its segment, its slot and its key have been used for
//! something else, it goes on too, and harms nothing.
#![cfg(shmemo_fault)]

use std::time::Duration;

use fault_tests::common::{Scratch, lengths};
use fault_tests::fixture::{ADDED, COUNTER, Fixture, Kind, LAPS, NEW, OLD, TARGET};
use fault_tests::harness::{alone, attach, count_steps, go_on, stop_at};
use fault_tests::scenario::{LONG_RUNS, SINGLE, Scenario};
use shmemo::{Action, Cache, UpTo};

/// What stands there after the stopped process has gone on: its own new value, or what the others did meanwhile. What they
/// replaced or removed does not come back.
fn check_after(fixture: &Fixture) {
    let value = fixture.cache.get(TARGET);
    let is_known = value.as_deref().is_none_or(|value| value == NEW || value == ADDED);
    assert!(is_known, "a value came back: {value:?}");
    assert!(fixture.cache.increment(COUNTER, 1, 0, None).is_ok_and(|count| (1..=14).contains(&count)));
    fixture.cache.verify().expect("no corruption");
}

fn stop_at_steps(scenario: &Scenario, scratch: &Scratch, steps: impl Iterator<Item = u64>) -> u64 {
    let path = scratch.path("cache");
    let mut stops = 0;
    for step in steps {
        let fixture = Fixture::new(scenario.kind, &path);
        let stopped = stop_at(step, || attach(&fixture.cache), || (scenario.act)(&fixture.cache));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let Some(stopped) = stopped else { return false };
            fixture.check_at_once(scenario.name.starts_with("clear"));
            fixture.others_go_on();
            // In every second file the key is still there when the other one goes on.
            if step % 2 == 0 {
                fixture.laps(LAPS);
            }
            go_on(stopped);
            check_after(&fixture);
            fixture.others_go_on();
            fixture.recovers();
            true
        }));
        std::fs::remove_file(&path).expect("the file");
        match outcome {
            Ok(true) => stops += 1,
            Ok(false) => break,
            Err(panic) => {
                eprintln!("{}: a stop at step {step}", scenario.name);
                std::panic::resume_unwind(panic);
            }
        }
    }
    stops
}

#[test]
fn at_every_step_of_every_operation() {
    let _turn = alone();
    let scratch = Scratch::new();
    for scenario in SINGLE {
        let steps = count_steps(scenario, &scratch.path("count")).len() as u64;
        let stops = stop_at_steps(scenario, &scratch, 0..steps + 20);
        println!("{}: {steps} steps, {stops} stops", scenario.name);
        assert!(stops * 2 + 2 >= steps, "{}: {stops} stops for {steps} steps", scenario.name);
    }
}

#[test]
fn at_the_steps_of_sweeps() {
    let _turn = alone();
    let scratch = Scratch::new();
    for (number, scenario) in LONG_RUNS.iter().enumerate() {
        let steps = count_steps(scenario, &scratch.path("count")).len();
        let every = (steps / lengths(40, 1000)).max(1);
        let chosen = (number as u64 % every as u64..steps as u64).step_by(every);
        let stops = stop_at_steps(scenario, &scratch, chosen);
        println!("{}: {steps} steps, {stops} stops", scenario.name);
        assert!(stops > 0, "{} has no step", scenario.name);
    }
}

const TTL: Duration = Duration::from_millis(60);

/// Something that is done with a cache, and what came of it.
type Named<T> = (&'static str, fn(&Cache) -> T);

/// What gives the target a longer life if it is there.
const PROLONGING: &[Named<()>] = &[
    ("touch", |cache| _ = cache.touch(TARGET, None)),
    ("replace", |cache| _ = cache.replace(TARGET, NEW, None)),
    ("compare_and_swap", |cache| {
        if let Some((_, version)) = cache.get_versioned(TARGET) {
            _ = cache.compare_and_swap(TARGET, version, NEW, None);
        }
    }),
    ("update", |cache| {
        let prolong =
            |old: Option<&[u8]>| old.map_or(Action::Keep, |_| Action::SetWithTtl(NEW.to_vec(), Duration::from_secs(60)));
        _ = cache.update(TARGET, prolong);
    }),
];

/// What says that the target has no value.
const OBSERVERS: &[Named<bool>] = &[
    ("get", |cache| cache.get(TARGET).is_none()),
    ("contains", |cache| !cache.contains(TARGET)),
    ("time_to_live", |cache| cache.time_to_live(TARGET).is_none()),
    ("get_up_to", |cache| cache.get_up_to(TARGET, 1 << 20, &mut Vec::new()) == UpTo::Absent),
    ("get_versioned", |cache| cache.get_versioned(TARGET).is_none()),
    ("remove", |cache| !cache.remove(TARGET)),
    ("take", |cache| cache.take(TARGET).is_none()),
    ("touch", |cache| !cache.touch(TARGET, None)),
    ("replace", |cache| !cache.replace(TARGET, OLD, None).expect("replace")),
];

/// One that is about to give an entry a longer life stops; the entry expires, and somebody is told so. Then the other one
/// goes on, and comes too late.
#[test]
fn what_expired_meanwhile_does_not_come_back() {
    let _turn = alone();
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let mut too_late = 0;
    for kind in [Kind::Roomy, Kind::Bounded] {
        for &(name, prolong) in PROLONGING {
            for step in 0..lengths(24, 60) {
                let fixture = Fixture::new(kind, &path);
                let cache = &fixture.cache;
                let (observer, is_absent) = OBSERVERS[step as usize % OBSERVERS.len()];
                cache.set_with_ttl(TARGET, OLD, TTL).expect("set");
                let Some(stopped) = stop_at(step, || attach(cache), || prolong(cache)) else { break };
                std::thread::sleep(TTL);
                let was_absent = is_absent(cache);
                go_on(stopped);
                assert!(!was_absent || cache.get(TARGET).is_none(), "{name}, step {step}: {observer} had found it expired");
                too_late += u32::from(was_absent);
                fixture.others_go_on();
                cache.verify().expect("no corruption");
                std::fs::remove_file(&path).expect("the file");
            }
            std::fs::remove_file(&path).ok();
        }
    }
    println!("{too_late} came too late");
    assert!(too_late > 40, "only {too_late} came too late");
}

/// One who stands still in the middle of a removal through a `clear` and much of what comes after it: when it goes on, its own late
/// count takes nothing from theirs.
#[test]
fn a_late_count_leaves_later_ones() {
    let _turn = alone();
    let path = Scratch::new();
    let mut stops = 0;
    for step in 0.. {
        let cache = Cache::builder().capacity(1 << 20).max_entries(5000).create_new(path.path("cache")).expect("a cache");
        cache.set("early", "value").expect("set");
        let stopped = stop_at(step, || attach(&cache), || assert!(cache.remove("early")));
        cache.clear();
        for key in 0..100u32 {
            cache.set(key.to_le_bytes(), "value").expect("set");
        }
        (0..90u32).for_each(|key| assert!(cache.remove(key.to_le_bytes())));
        let is_done = stopped.is_none();
        stopped.into_iter().for_each(go_on);
        assert!(cache.remove(95u32.to_le_bytes()));
        assert_eq!((cache.len(), cache.iter().count()), (9, 9), "stopped at step {step}");
        std::fs::remove_file(path.path("cache")).expect("the file");
        if is_done {
            break;
        }
        stops += 1;
    }
    assert!(stops > 2, "{stops}");
}

/// A slot word tells so many generations of its segment apart.
const GENERATIONS: u64 = 1 << 12;

/// They stand still for so long that the words they have read come round: segments are recycled more often than a
/// word can tell. In use that takes minutes.
#[test]
fn until_generations_come_round() {
    let _turn = alone();
    let scratch = Scratch::new();
    let path = scratch.path("cache");
    let roomy = SINGLE.iter().filter(|scenario| !scenario.kind.evicts());
    for scenario in roomy.skip(lengths(4, 0)).step_by(lengths(9, 1)) {
        let fixture = Fixture::new(scenario.kind, &path);
        let cache = &fixture.cache;
        let stopped: Vec<_> = (0..12).filter_map(|step| stop_at(step, || attach(cache), || (scenario.act)(cache))).collect();
        fixture.others_go_on();
        let begin = cache.stats();
        let value = vec![1; cache.max_value_len()];
        while cache.stats().segments_freed - begin.segments_freed < (GENERATIONS + 50) * begin.segments {
            (0..2000u64).for_each(|number| cache.set(number.to_le_bytes(), &value).expect("set"));
        }
        let count = stopped.len();
        stopped.into_iter().for_each(go_on);
        println!("{}: {count} stood still, {} segments were recycled", scenario.name, cache.stats().segments_freed);
        check_after(&fixture);
        fixture.others_go_on();
        fixture.recovers();
        std::fs::remove_file(&path).expect("the file");
    }
}
