//! A process dies at every step of every operation. The others go on, the key holds what it may hold, and all the room can be
//! used again.
#![cfg(shmemo_fault)]

use std::collections::HashMap;

use fault_tests::common::{Scratch, lengths};
use fault_tests::fixture::{Fixture, Kind, fresh_share};
use fault_tests::harness::{End, alone, attach, check_target, count_steps, die_at};
use fault_tests::scenario::{LONG_RUNS, SINGLE, Scenario};

/// Tries a scenario at each of some steps. Gives how many deaths there were.
fn die_at_steps(scenario: &Scenario, scratch: &Scratch, share: f64, steps: impl Iterator<Item = u64>) -> u64 {
    let path = scratch.path("cache");
    let mut deaths = 0;
    for step in steps {
        let fixture = Fixture::with_share(scenario.kind, &path, share);
        let end = die_at(step, || attach(&fixture.cache), || (scenario.act)(&fixture.cache));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            check_target(scenario, &fixture);
            fixture.check_at_once(scenario.name.starts_with("clear"));
            fixture.others_go_on();
            fixture.recovers();
        }));
        std::fs::remove_file(&path).expect("the file");
        if let Err(panic) = outcome {
            eprintln!("{}: a death at step {step}", scenario.name);
            std::panic::resume_unwind(panic);
        }
        if end == End::Done {
            break;
        }
        deaths += 1;
    }
    deaths
}

fn shares(scratch: &Scratch) -> impl FnMut(Kind) -> f64 {
    let mut known = HashMap::new();
    move |kind| *known.entry(format!("{kind:?}")).or_insert_with(|| fresh_share(kind, scratch))
}

#[test]
fn at_every_step_of_every_operation() {
    let _turn = alone();
    let scratch = Scratch::new();
    let mut share = shares(&scratch);
    for scenario in SINGLE {
        let steps = count_steps(scenario, &scratch.path("count")).len() as u64;
        // One more than were counted: the run that ends by itself is checked too.
        let deaths = die_at_steps(scenario, &scratch, share(scenario.kind), 0..steps + 20);
        println!("{}: {steps} steps, {deaths} deaths", scenario.name);
        // Each file has its own hash, and so its own evictions: another run takes more steps or fewer.
        assert!(deaths * 2 + 2 >= steps, "{}: {deaths} deaths for {steps} steps", scenario.name);
    }
}

/// Sweeps take thousands of steps, most of them alike. The short form takes a part of them, another part in each scenario.
#[test]
fn at_the_steps_of_sweeps() {
    let _turn = alone();
    let scratch = Scratch::new();
    let mut share = shares(&scratch);
    for (number, scenario) in LONG_RUNS.iter().enumerate() {
        let steps = count_steps(scenario, &scratch.path("count")).len();
        let every = (steps / lengths(60, usize::MAX)).max(1);
        let deaths =
            die_at_steps(scenario, &scratch, share(scenario.kind), (number as u64 % every as u64..steps as u64).step_by(every));
        println!("{}: {steps} steps, {deaths} deaths", scenario.name);
        assert!(deaths > 0, "{} has no step", scenario.name);
    }
}
