//! A model that cannot fail shows nothing: each deliberate fault, and the models that must catch it.
#![cfg(shmemo_model)]

use std::any::Any;
use std::panic::catch_unwind;
use std::sync::atomic::Ordering;

use loom_tests::explore::{PATIENCE, SECONDS};
use loom_tests::models::MODELS;
use shmemo::protocol::{Mutant, choose};

#[test]
fn each_model_has_a_fault_and_each_fault_a_model() {
    let idle: Vec<_> = MODELS.iter().filter(|model| model.catches.is_empty()).map(|model| model.name).collect();
    assert!(idle.is_empty(), "models that nobody has seen fail: {idle:?}");
    let is_caught = |mutant: &Mutant| MODELS.iter().any(|model| model.catches.contains(mutant));
    let missed: Vec<_> = Mutant::ALL.iter().filter(|mutant| !is_caught(mutant)).collect();
    assert!(missed.is_empty(), "faults that no model is there for: {missed:?}");
}

/// What loom says of an execution that is too long for it: that shows nothing.
const ENDLESS: &str = "exceeded maximum number of branches";

fn text_of(thrown: &(dyn Any + Send)) -> &str {
    let literal = thrown.downcast_ref::<&str>().copied();
    literal.or_else(|| thrown.downcast_ref::<String>().map(String::as_str)).unwrap_or("?")
}

/// One test, since the fault is chosen for the whole process.
#[test]
fn each_fault_is_caught() {
    std::panic::set_hook(Box::new(|_| {})); // what is thrown here is wanted
    PATIENCE.store(SECONDS * 8, Ordering::Relaxed);
    let mut missed = Vec::new();
    for model in MODELS {
        for &mutant in model.catches {
            let began = std::time::Instant::now();
            choose(mutant);
            let what = catch_unwind(model.explore).err().map(|thrown| text_of(&*thrown).replace('\n', " "));
            let is_caught = what.as_ref().is_some_and(|what| !what.contains(ENDLESS));
            let result = if is_caught { "caught" } else { "MISSED" };
            println!("{mutant:?} {result} by {} in {:.2?}: {}", model.name, began.elapsed(), what.as_deref().unwrap_or("-"));
            if !is_caught {
                missed.push((mutant, model.name));
            }
        }
    }
    choose(Mutant::None);
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
