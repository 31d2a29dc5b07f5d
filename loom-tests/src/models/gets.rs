//! Readers: whole values, and none but those of their key.

use crate::explore::explore;
use crate::participant::{Participant, beside, check, check_counts, file};

/// A reader, while the entry that it reads is removed and its bytes are written anew.
pub(super) fn get_beside_recycling() {
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
pub(super) fn gets_beside_sweeps() {
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
pub(super) fn get_beside_replace() {
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
pub(super) fn get_beside_insert() {
    explore(|| {
        let file = file(3, 4, 0);
        let other = beside(&file, 1, |p| p.set(1, 102));
        let value = Participant::new(&file, 0).get(1);
        assert!(matches!(value, None | Some(102)), "{value:?}");
        other.join().expect("the writer");
    });
}
