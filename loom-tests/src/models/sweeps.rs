//! Segments: claimed, written to, swept, free again.

use crate::explore::explore;
use crate::participant::{Participant, beside, check, check_counts, file};

/// A sweep, while a reader counts a use of an entry in it: no word is left behind.
pub(super) fn sweep_beside_get() {
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
pub(super) fn two_writers_of_a_segment() {
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
pub(super) fn write_beside_sweep() {
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
pub(super) fn claim_beside_free() {
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
