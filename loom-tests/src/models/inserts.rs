//! Inserts beside inserts: one live slot for each key, and no more entries than there may be.

use crate::explore::explore;
use crate::participant::{Participant, beside, check_counts, file};

/// Two inserts of one key end in one live slot.
pub(super) fn two_inserts() {
    explore(|| {
        let file = file(3, 4, 0);
        let other = beside(&file, 1, |p| p.set(1, 11));
        Participant::new(&file, 0).set(1, 10);
        other.join().expect("the other insert");
        assert_eq!(check_counts(&file), [1]);
    });
}

/// So do three.
pub(super) fn three_inserts() {
    explore(|| {
        let file = file(3, 4, 0);
        let others = [1, 2].map(|line| beside(&file, line, move |p| p.set(1, 10 + u64::from(line))));
        Participant::new(&file, 0).set(1, 10);
        others.into_iter().for_each(|other| _ = other.join().expect("another insert"));
        assert_eq!(check_counts(&file), [1]);
    });
}

/// Two inserts, and a slot that becomes free between their scans: where the plain rule "the lower slot goes on" fails.
pub(super) fn inserts_beside_a_remove() {
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
pub(super) fn inserts_into_a_full_bucket() {
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

/// Two writers where one entry more is all that there may be: one of them evicts one, and the number is right.
pub(super) fn two_writers_at_the_bound() {
    explore(|| {
        let file = file(3, 6, 2);
        let me = Participant::new(&file, 0);
        me.set(3, 30);
        let other = beside(&file, 1, |p| p.set(2, 20));
        me.set(1, 10);
        other.join().expect("the other writer");
        let keys = check_counts(&file);
        assert!(keys.len() == 2, "{keys:?}");
    });
}
