//! `clear`: what is from before does not come back.

use crate::explore::explore;
use crate::participant::{Participant, beside, check, file};

/// `clear`, while an entry is moved: it does not come back.
pub(super) fn clear_beside_move() {
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
pub(super) fn clear_beside_increment() {
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
pub(super) fn sweep_after_clear() {
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
