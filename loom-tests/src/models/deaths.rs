//! Deaths at every step: what the dead one held comes back, and nothing foreign is read.

use std::sync::atomic::{AtomicBool, Ordering};

use shmemo::protocol::Step;

use crate::explore::explore_once;
use crate::participant::{Participant, check, check_bound, check_nothing_is_lost, file, stopping};

/// One who dies at any step of an operation, another beside it, who goes on after it was recovered: nothing foreign is
/// read, and in the end nothing is lost.
fn death_at_any_step(prepare: fn(&Participant), die_in: fn(&Participant), (segments, max_entries): (u64, u64)) {
    for steps in 0.. {
        let ended = std::sync::Arc::new(AtomicBool::new(false));
        let came_to_its_end = ended.clone();
        explore_once(move || {
            let file = file(segments, 2, max_entries);
            let me = Participant::new(&file, 0);
            prepare(&me);
            let dying = stopping(&file, 1, steps, die_in);
            set_and_look(&me);
            came_to_its_end.store(dying.join().expect("it stopped, or ended"), Ordering::Relaxed);
            file.recover_line(1);
            check(&file);
            set_and_look(&me);
            check_bound(&file, check(&file).len());
            check_nothing_is_lost(&file, &[]);
        });
        if ended.load(Ordering::Relaxed) {
            assert!(steps > 0, "an operation changes something");
            return;
        }
    }
}

fn set_and_look(p: &Participant) {
    p.set(1, 103);
    let value = p.get(1);
    assert!(matches!(value, None | Some(101..=103)), "{value:?}");
}

/// Death in a set of a new key.
pub(super) fn death_in_insert() {
    death_at_any_step(|_| {}, |p| _ = p.set(1, 102), (3, 0));
}

/// Death in a set of a key that is there.
pub(super) fn death_in_replace() {
    death_at_any_step(|p| _ = p.set(1, 101), |p| _ = p.set(1, 102), (3, 0));
}

/// Death in a remove, where the number of entries is bounded: it is right after the recovery.
pub(super) fn death_in_remove() {
    death_at_any_step(|p| _ = p.set(1, 101), |p| _ = p.remove(1), (3, 3));
}

/// Death in a sweep that moves an entry.
pub(super) fn death_in_sweep() {
    let prepare = |p: &Participant| {
        p.set(1, 101);
        (0..3).for_each(|_| _ = p.get(1));
    };
    death_at_any_step(prepare, |p| _ = p.sweep(0), (4, 0));
}

/// Death in the last steps of a sweep that a pin had held up: the hand stands at the tail when they begin.
pub(super) fn death_at_the_end_of_a_sweep() {
    let prepare = |p: &Participant| {
        p.set(1, 101);
        p.while_pinned(0, || assert!(matches!(p.sweep(0), Step::Pinned(_))));
    };
    death_at_any_step(prepare, |p| _ = p.sweep(0), (3, 0));
}
