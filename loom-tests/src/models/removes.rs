//! Removes: what was reported as removed is gone, what is there is not missed.

use crate::explore::explore;
use crate::participant::{Participant, beside, check, check_counts, file};

/// A remove, while a reader counts a use: what was reported as removed is gone.
pub(super) fn remove_beside_get() {
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
pub(super) fn remove_beside_move() {
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
pub(super) fn remove_beside_moves() {
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

/// A remove, while the entry is moved so often that it stands at the very same place again, in a generation of the same
/// bits: a generation in between is no sign that the word there means nothing.
pub(super) fn remove_beside_wrap() {
    explore(|| {
        let file = file(5, 2, 0);
        let me = Participant::new(&file, 0);
        me.set(1, 101);
        let other = beside(&file, 1, |p| (0..4).for_each(|step| _ = p.sweep(step % 2)));
        let removed = me.remove(1);
        other.join().expect("the sweeper");
        assert!(removed, "it was there all the time");
        assert_eq!(me.get(1), None);
        // Not the counts: of a word that the remove has seen in an earlier generation, the tally of that one is lowered.
        check(&file);
    });
}
