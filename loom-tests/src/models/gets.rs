//! Readers: whole values, and none but those of their key.

use shmemo::protocol::Outcome;

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

/// A get that comes when the entry has expired, beside one that gives it a longer life: what one found absent stays so.
pub(super) fn get_beside_touch() {
    explore(|| {
        let file = file(3, 4, 0);
        let me = Participant::new(&file, 0);
        me.set_until(1, 101, 10);
        let other = beside(&file, 1, |p| p.at(10).get(1));
        let touched = me.touch(1);
        let found = other.join().expect("the reader");
        let left = me.get(1);
        assert!(found.is_some() || left.is_none(), "it came back");
        assert_eq!((touched == Outcome::Stored, left), (left.is_some(), left.and(Some(101))));
        check_counts(&file);
    });
}
