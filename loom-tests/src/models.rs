//! The models. Each is a function that explores everything within its bounds and panics if a property is broken.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use loom::model::Builder;

use crate::participant::{Participant, beside, check, check_counts, check_nothing_is_lost, file, stopping};

/// Preemptions in one execution: switches beside those where a participant ends, waits or yields. First all executions
/// with one are explored, then those with two, then those with three, as far as the time goes. Every load may read any
/// store that the memory model lets it see, whatever the switches.
pub const PREEMPTIONS: std::ops::RangeInclusive<usize> = 1..=3;

/// A model is explored for at most so many seconds. `SHMEMO_MODEL_SECONDS` says otherwise.
pub const SECONDS: u64 = 8;
/// How long that is now. A fault that must be caught ends its model, so the search for one may take long on a busy machine.
pub static PATIENCE: AtomicU64 = AtomicU64::new(SECONDS);

/// Executions between two looks at the clock.
const INTERVAL: usize = 200;

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let seconds = std::env::var("SHMEMO_MODEL_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let deadline = Instant::now() + Duration::from_secs(seconds.unwrap_or(PATIENCE.load(Ordering::Relaxed)));
    let model = std::sync::Arc::new(model);
    for preemptions in PREEMPTIONS {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.max_branches = 200_000;
        builder.checkpoint_interval = INTERVAL;
        builder.max_duration = Some(deadline.saturating_duration_since(Instant::now()));
        let model = model.clone();
        builder.check(move || model());
        if Instant::now() >= deadline {
            println!("with {preemptions} preemptions not explored to the end");
            return;
        }
    }
}

/// Explores every execution with one preemption.
fn explore_once(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(*PREEMPTIONS.start());
    builder.max_branches = 200_000;
    builder.check(model);
}

/// Two inserts of one key end in one live slot.
pub fn two_inserts() {
    explore(|| {
        let file = file(3, 4, 0);
        let other = beside(&file, 1, |p| p.set(1, 11));
        Participant::new(&file, 0).set(1, 10);
        other.join().expect("the other insert");
        assert_eq!(check_counts(&file), [1]);
    });
}

/// So do three.
pub fn three_inserts() {
    explore(|| {
        let file = file(3, 4, 0);
        let others = [1, 2].map(|line| beside(&file, line, move |p| p.set(1, 10 + u64::from(line))));
        Participant::new(&file, 0).set(1, 10);
        others.into_iter().for_each(|other| _ = other.join().expect("another insert"));
        assert_eq!(check_counts(&file), [1]);
    });
}

/// Two inserts, and a slot that becomes free between their scans: where the plain rule "the lower slot goes on" fails.
pub fn inserts_beside_a_remove() {
    explore(|| {
        let file = file(3, 4, 0);
        let me = Participant::new(&file, 0);
        me.set(2, 20);
        let other = beside(&file, 1, |p| p.set(1, 11));
        me.remove(2);
        me.set(1, 10);
        other.join().expect("the other insert");
        assert_eq!(check_counts(&file), [1]);
    });
}

/// Two inserts into a full bucket: each evicts, and one live slot of the key is left.
pub fn inserts_into_a_full_bucket() {
    explore(|| {
        let file = file(3, 6, 0);
        let me = Participant::new(&file, 0);
        (2..5).for_each(|key| _ = me.set(key, key));
        let other = beside(&file, 1, |p| p.set(1, 11));
        me.set(1, 10);
        other.join().expect("the other insert");
        let keys = check_counts(&file);
        assert_eq!(keys.iter().filter(|&&key| key == 1).count(), 1, "{keys:?}");
    });
}

/// Two replace the value of one key: one of the two is left, whole.
pub fn two_replaces() {
    explore(|| {
        let file = file(3, 4, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 10);
        let other = beside(&file, 1, |p| p.set(1, 11));
        me.set(1, 12);
        other.join().expect("the other");
        assert!(matches!(me.get(1), Some(11 | 12)));
        assert_eq!(check_counts(&file), [1]);
    });
}

/// A remove and a set of one key: afterwards the key is there or not, and what is there is whole.
pub fn set_beside_remove() {
    explore(|| {
        let file = file(3, 4, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 10);
        let other = beside(&file, 1, |p| p.set(1, 11));
        me.remove(1);
        other.join().expect("the set");
        assert!(matches!(me.get(1), None | Some(11)));
        check_counts(&file);
    });
}

/// Two increments lose nothing.
pub fn two_increments() {
    explore(|| {
        let file = file(3, 4, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 0);
        let other = beside(&file, 1, |p| p.increment(1));
        me.increment(1);
        other.join().expect("the other increment");
        assert_eq!(me.get(1), Some(2));
        check_counts(&file);
    });
}

/// An increment, while the entry is moved: it is neither lost nor counted twice.
pub fn increment_beside_move() {
    explore(|| {
        let file = file(5, 2, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 5);
        me.set(2, 7); // now the segment is full, and the increment goes to another
        (0..3).for_each(|_| _ = me.get(1)); // so that the sweeper saves it
        let other = beside(&file, 1, |p| p.sweep(0));
        me.increment(1);
        other.join().expect("the sweeper");
        assert_eq!(me.get(1), Some(6));
        check_counts(&file);
    });
}

/// An increment, while the key is removed, its segment recycled until the bits of the generation repeat, and the key set
/// anew at the very same place: the increment must not take the new entry for the old one. The pin is what prevents it.
pub fn increment_beside_recycling() {
    explore(|| {
        let file = file(5, 2, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 5);
        me.set(2, 7); // now the segment is full, and the increment goes to another
        me.remove(2);
        let other = beside(&file, 1, |p| {
            p.remove(1);
            p.sweep(0);
            p.set(1, 100); // into segment 0 again, if that is free
            p.remove(1);
            p.sweep(0);
            p.set(1, 100);
        });
        me.increment(1);
        other.join().expect("the recycler");
        // The increment came first, or last, or somewhere between set and remove: a five has no successor any more.
        let value = me.get(1);
        assert!(matches!(value, Some(100 | 101)), "{value:?}");
        check(&file);
    });
}

/// A reader, while the entry that it reads is removed and its bytes are written anew.
pub fn get_beside_recycling() {
    explore(|| {
        let file = file(5, 2, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 101);
        let other = beside(&file, 1, |p| {
            p.remove(1);
            p.sweep(0);
            p.set(3, 303);
        });
        let value = me.get(1);
        assert!(matches!(value, None | Some(101)), "{value:?}");
        other.join().expect("the writer");
        check(&file);
    });
}

/// A reader of two keys, while segments are swept for the room that two more need.
pub fn gets_beside_sweeps() {
    explore(|| {
        let file = file(2, 2, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 101);
        let other = beside(&file, 1, |p| {
            p.sweep(0);
            p.set(2, 202);
            p.set(3, 303);
        });
        let values = [me.get(1), me.get(2)];
        assert!(matches!(values, [None | Some(101), None | Some(202)]), "{values:?}");
        other.join().expect("the writer");
        check(&file);
    });
}

/// A reader, while the value is replaced: one of the two, whole.
pub fn get_beside_replace() {
    explore(|| {
        let file = file(3, 4, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 101);
        let other = beside(&file, 1, |p| p.set(1, 102));
        let value = me.get(1);
        assert!(matches!(value, Some(101 | 102)), "{value:?}");
        other.join().expect("the writer");
        assert_eq!(check_counts(&file), [1]);
    });
}

/// A reader, while the key is inserted: nothing, or the whole value.
pub fn get_beside_insert() {
    explore(|| {
        let file = file(3, 4, 0);
        let other = beside(&file, 1, |p| p.set(1, 102));
        let value = Participant::new(&file, 0).get(1);
        assert!(matches!(value, None | Some(102)), "{value:?}");
        other.join().expect("the writer");
    });
}

/// A remove, while a reader counts a use: what was reported as removed is gone.
pub fn remove_beside_get() {
    explore(|| {
        let file = file(3, 4, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 101);
        let other = beside(&file, 1, |p| p.get(1));
        assert!(me.remove(1));
        other.join().expect("the reader");
        assert_eq!(me.get(1), None);
        check_counts(&file);
    });
}

/// A remove, while the entry is moved and its segment recycled: it must not miss the entry.
pub fn remove_beside_move() {
    explore(|| {
        let file = file(3, 2, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 101);
        (0..3).for_each(|_| _ = me.get(1));
        let other = beside(&file, 1, |p| p.sweep(0));
        let removed = me.remove(1);
        other.join().expect("the sweeper");
        assert!(removed || me.get(1).is_none(), "absent, it said");
        assert_eq!(me.get(1), None);
        check(&file);
    });
}

/// A remove, while the entry is moved twice: a word whose generation has gone is no sign that the key is absent.
pub fn remove_beside_moves() {
    explore(|| {
        let file = file(5, 2, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 101);
        let other = beside(&file, 1, |p| (0..2).for_each(|segment| _ = p.sweep(segment)));
        let removed = me.remove(1);
        other.join().expect("the sweeper");
        assert!(removed, "it was there all the time");
        assert_eq!(me.get(1), None);
        check_counts(&file);
    });
}

/// A sweep, while a reader counts a use of an entry in it: no word is left behind.
pub fn sweep_beside_get() {
    explore(|| {
        let file = file(3, 2, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 101);
        let other = beside(&file, 1, |p| p.get(1));
        me.sweep(0);
        other.join().expect("the reader");
        check(&file);
    });
}

/// Two writers and one segment: nobody overwrites the other's entry.
pub fn two_writers_of_a_segment() {
    explore(|| {
        let file = file(2, 4, 0);
        let other = beside(&file, 1, |p| p.set(2, 202));
        let me = Participant::new(&file, 0);
        me.set(1, 101);
        other.join().expect("the other writer");
        assert!(matches!((me.get(1), me.get(2)), (Some(101), Some(202))));
        assert_eq!(check_counts(&file).len(), 2);
    });
}

/// A writer, and a sweeper who seals the writer's segment as soon as it can: what was stored is whole, or gone.
pub fn write_beside_sweep() {
    explore(|| {
        let file = file(5, 2, 0);
        let other = beside(&file, 1, |p| p.sweep(0));
        let me = Participant::new(&file, 0);
        me.set(2, 202);
        assert_eq!(me.get(2), Some(202));
        other.join().expect("the sweeper");
        assert_eq!(check_counts(&file), [2]);
    });
}

/// A segment becomes free and is claimed at once: what the new holder writes is of the new generation.
pub fn claim_beside_free() {
    explore(|| {
        let file = file(5, 2, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 101);
        me.remove(1);
        let other = beside(&file, 1, |p| p.sweep(0));
        me.set(2, 202);
        assert_eq!(me.get(2), Some(202));
        other.join().expect("the sweeper");
        assert_eq!(check_counts(&file), [2]);
    });
}

/// `clear`, while an entry is moved: it does not come back.
pub fn clear_beside_move() {
    explore(|| {
        let file = file(3, 2, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 101);
        (0..3).for_each(|_| _ = me.get(1));
        let other = beside(&file, 1, |p| p.sweep(0));
        file.clear();
        assert_eq!(me.get(1), None);
        other.join().expect("the sweeper");
        assert_eq!(me.get(1), None);
    });
}

/// `clear`, while a key is counted up: the sum is from before or from after, never from both.
pub fn clear_beside_increment() {
    explore(|| {
        let file = file(3, 4, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 5);
        let other = beside(&file, 1, |p| p.increment(1));
        file.clear();
        other.join().expect("the increment");
        let value = me.get(1);
        assert!(matches!(value, None | Some(1)), "{value:?}");
    });
}

/// A dead entry in a segment that is swept leaves no word behind.
pub fn sweep_after_clear() {
    explore(|| {
        let file = file(3, 2, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 101);
        file.clear();
        me.sweep(0);
        assert_eq!(check(&file), []);
        assert_eq!(me.get(1), None);
    });
}

/// Two writers where one entry more is one too many.
pub fn two_writers_at_the_bound() {
    explore(|| {
        let file = file(3, 6, 2);
        let other = beside(&file, 1, |p| p.remove(1));
        let me = Participant::new(&file, 0);
        me.set(1, 101);
        other.join().expect("the remover");
        let keys = check_counts(&file);
        assert!(keys.len() <= 2, "{keys:?}");
    });
}

/// One who dies at any step of an operation, and another who goes on after it was recovered: nothing foreign is read, and in the end nothing is lost.
fn death_at_any_step(prepare: fn(&Participant), die_in: fn(&Participant), go_on: fn(&Participant), segments: u64) {
    for steps in 0.. {
        let ended = std::sync::Arc::new(AtomicBool::new(false));
        let came_to_its_end = ended.clone();
        explore_once(move || {
            let file = file(segments, 2, 0);
            let me = Participant::new(&file, 0);
            prepare(&me);
            let dying = stopping(&file, 1, steps, die_in);
            go_on(&me);
            came_to_its_end.store(dying.join().expect("it stopped, or ended"), Ordering::Relaxed);
            file.recover_line(1);
            go_on(&me);
            check(&file);
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
pub fn death_in_insert() {
    death_at_any_step(|_| {}, |p| _ = p.set(1, 102), set_and_look, 3);
}

/// Death in a set of a key that is there.
pub fn death_in_replace() {
    death_at_any_step(|p| _ = p.set(1, 101), |p| _ = p.set(1, 102), set_and_look, 3);
}

/// Death in a remove.
pub fn death_in_remove() {
    death_at_any_step(|p| _ = p.set(1, 101), |p| _ = p.remove(1), set_and_look, 3);
}

/// Death in a sweep that moves an entry.
pub fn death_in_sweep() {
    let prepare = |p: &Participant| {
        p.set(1, 101);
        (0..3).for_each(|_| _ = p.get(1));
    };
    death_at_any_step(prepare, |p| _ = p.sweep(0), set_and_look, 4);
}
