//! A model that cannot fail shows nothing: each deliberate fault, and the model that must catch it.
#![cfg(shmemo_model)]

use std::panic::catch_unwind;

use loom_tests::models;
use shmemo::protocol::{Mutant, choose};

type Model = fn();

/// The model that catches a fault.
fn catcher(mutant: Mutant) -> Model {
    match mutant {
        Mutant::None => unreachable!("no fault"),
        Mutant::NoSecondScan | Mutant::NoKick => models::two_inserts,
        Mutant::NoInsertFence => models::inserts_beside_a_remove,
        Mutant::NoGenerationAfterCopy | Mutant::NoReaderFence | Mutant::NoClaimFence => models::get_beside_recycling,
        Mutant::RelaxedPublish => models::remove_beside_move,
        Mutant::RelaxedSlotLoad => models::get_beside_replace,
        Mutant::TailAfterPublish => models::death_in_insert,
        Mutant::ReleaseBeforePublish => models::write_beside_sweep,
        Mutant::SweepSkipsTentative => models::death_in_insert,
        Mutant::SweepSkipsDead => models::sweep_after_clear,
        Mutant::SweepNoRetry => models::sweep_beside_get,
        Mutant::SweepIgnoresPins | Mutant::NoPinFence | Mutant::NoLookAfterPin => models::increment_beside_recycling,
        Mutant::FreeBeforeGeneration => models::claim_beside_free,
        Mutant::MoveStampsEra => models::clear_beside_move,
        Mutant::GenerationMeansAbsent => models::remove_beside_moves,
        Mutant::RemoveNoRetry => models::remove_beside_get,
        Mutant::RelaxedClaim => models::two_writers_of_a_segment,
        Mutant::CountNotLowered => models::remove_beside_get,
    }
}

/// One test, since the fault is chosen for the whole process.
#[test]
fn each_fault_is_caught() {
    std::panic::set_hook(Box::new(|_| {})); // what is thrown here is wanted
    models::PATIENCE.store(models::SECONDS * 8, std::sync::atomic::Ordering::Relaxed);
    let mut missed = Vec::new();
    for &mutant in Mutant::ALL {
        let began = std::time::Instant::now();
        choose(mutant);
        let is_caught = catch_unwind(catcher(mutant)).is_err();
        println!("{mutant:?}: {} in {:.1?}", if is_caught { "caught" } else { "MISSED" }, began.elapsed());
        if !is_caught {
            missed.push(mutant);
        }
    }
    choose(Mutant::None);
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

/// The atomics here are loom's: message passing without an order must be caught.
#[test]
fn the_model_checker_is_at_work() {
    let is_caught = catch_unwind(|| {
        loom::model(|| {
            use loom::sync::atomic::{AtomicU64, Ordering};
            let pair = loom::sync::Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
            let other = pair.clone();
            let sender = loom::thread::spawn(move || {
                other.0.store(1, Ordering::Relaxed);
                other.1.store(1, Ordering::Relaxed);
            });
            if pair.1.load(Ordering::Relaxed) == 1 {
                assert_eq!(pair.0.load(Ordering::Relaxed), 1);
            }
            sender.join().expect("the sender");
        });
    });
    assert!(is_caught.is_err());
}
