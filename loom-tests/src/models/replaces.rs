//! A value that follows another one: nothing is lost, nothing comes back.

use crate::explore::explore;
use crate::participant::{Participant, beside, check, check_counts, file};

/// A remove and a set of one key: afterwards the key is there or not, and what is there is whole.
pub(super) fn set_beside_remove() {
    explore(|| {
        let file = file(3, 4, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 10);
        let other = beside(&file, 1, |p| p.set(1, 11));
        assert!(me.remove(1), "it was there all the time");
        other.join().expect("the set");
        assert!(matches!(me.get(1), None | Some(11)));
        check_counts(&file);
    });
}

/// Two replace the value of one key: one of the two is left, whole.
pub(super) fn two_replaces() {
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

/// Two increments lose nothing.
pub(super) fn two_increments() {
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
pub(super) fn increment_beside_move() {
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
pub(super) fn increment_beside_recycling() {
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
