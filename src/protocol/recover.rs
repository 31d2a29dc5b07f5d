//! Registry lines: taking one, giving it back, and giving back what a dead owner held.
//!
//! Whether an owner is dead is decided elsewhere, by a kernel-held lock; whoever calls [`Core::recover_line`] holds
//! that lock until it returns. Recovery can die at any step and be repeated: each step is an exchange from the dead
//! owner's word, or a store of zero.

use core::sync::atomic::Ordering;

use super::{Core, Half, INCARNATION_BITS, Memory, Mutant, Owner, Phase, StateWord, Word, wanted};
use crate::layout::{GHOSTS, LINE_BYTES, PINS, SLOTS, header, line, segment};

impl<M: Memory> Core<M> {
    fn line_word(&self, line: usize, field: usize) -> &M::Word {
        self.memory.word(self.layout.line_at(line, field))
    }

    /// The incarnation that holds a line, 0 if none does.
    pub fn incarnation(&self, line: usize) -> u64 {
        self.line_word(line, line::INCARNATION).load(Ordering::Acquire)
    }

    /// Takes a line whose lock the caller holds, after whatever was left in it was given back. The number of the process is for
    /// people to read; nothing follows from it.
    pub fn take_line(&self, line: usize, pid: u32) -> Owner {
        self.recover_line(line);
        // Relaxed: the number only has to be different from all others.
        let counter = self.memory.word(header::INCARNATIONS);
        let mut incarnation = 0;
        while incarnation == 0 {
            incarnation = counter.fetch_add(1, Ordering::Relaxed).wrapping_add(1) & ((1 << INCARNATION_BITS) - 1);
        }
        self.line_word(line, line::PID).store(u64::from(pid), Ordering::Relaxed);
        // Before the first pin: whoever looks at pins looks at so many lines.
        let used = self.memory.word(header::LINES_USED);
        let mut seen = used.load(Ordering::Relaxed);
        while seen <= line as u64 {
            match used.compare_exchange(seen, line as u64 + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        // Release: pairs with the acquire of whoever judges this line.
        self.line_word(line, line::INCARNATION).store(incarnation, Ordering::Release);
        Owner { line: line as u16, incarnation }
    }

    /// Gives a line back. The caller is in no operation.
    pub fn leave_line(&self, owner: Owner) {
        let word = self.line_word(usize::from(owner.line), line::INCARNATION);
        let _ = word.compare_exchange(owner.incarnation, 0, Ordering::Release, Ordering::Relaxed);
    }

    /// Gives back all that the dead owner of a line held: claimed and swept segments are sealed at their tails, pins
    /// and marks are taken away. Tells whether there was anything to recover.
    pub fn recover_line(&self, line: usize) -> bool {
        let is_taken = self.incarnation(line) != 0;
        // A line that is nobody's may have been left with something by bytes that rotted, or by a process that was taken for dead.
        let is_left = self.held_words(line).any(|at| self.load(at, Ordering::Relaxed) != 0);
        if !is_taken && !is_left {
            return false;
        }
        if is_taken {
            self.seal_segments_of(|owner| usize::from(owner.line) == line);
        }
        for at in self.held_words(line) {
            let is_mark = at == self.layout.line_at(line, line::COUNTING);
            if !wanted(if is_mark { Mutant::RecoveryKeepsMarks } else { Mutant::RecoveryKeepsPins }) {
                self.memory.word(at).store(0, Ordering::Release);
            }
        }
        self.want_recount();
        // Last of what must be done: a recovery that dies before this is repeated.
        self.line_word(line, line::INCARNATION).store(0, Ordering::Release);
        self.recount(None);
        true
    }

    /// Where in a line its owner says what it holds: pins, and the mark that it counts.
    pub(super) fn held_words(&self, line: usize) -> impl Iterator<Item = usize> {
        let fields = (0..PINS).map(|pin| line::PINS + pin * 8).chain([line::COUNTING]);
        fields.map(move |field| self.layout.line_at(line, field))
    }

    /// Seals what an owner held whose line somebody else may have by now. The caller holds the lock of that line, and its
    /// incarnation is another one.
    pub fn recover_former(&self, owner: Owner) -> bool {
        self.seal_segments_of(|other| other == owner)
    }

    fn seal_segments_of(&self, is_dead: impl Fn(Owner) -> bool) -> bool {
        let mut any = false;
        for segment in 0..self.layout.segments {
            let state = self.state(segment);
            let is_left = wanted(Mutant::RecoveryKeepsSwept) && state.phase() == Phase::Sweeping;
            if state.owner().is_some_and(&is_dead) && !is_left {
                any |= self.swap_state(segment, state, StateWord::sealed(state.log()));
            }
        }
        any
    }

    /// Empties everything at once. Nobody else has a line; readers without one find slots empty or generations changed.
    pub fn start_empty(&self) {
        let store = |at: usize, value: u64| self.memory.word(at).store(value, Ordering::Release);
        for bucket in 0..self.layout.buckets {
            for slot in 0..SLOTS {
                store(self.layout.slot_at(bucket, slot), 0);
            }
        }
        for segment in 0..self.layout.segments {
            store(self.layout.generation_at(segment), self.generation(segment).wrapping_add(1));
            use segment::{ADDED, ADDED_UNITS, BIRTH, FORECAST_OF, GONE, GONE_UNITS, HAND, OPENED, STATE, TAIL};
            for field in [TAIL, HAND, BIRTH, OPENED, ADDED, ADDED_UNITS, GONE, GONE_UNITS, FORECAST_OF, STATE] {
                store(self.layout.segment_at(segment, field), 0);
            }
        }
        for set in 0..self.layout.ghost_sets {
            for ghost in 0..GHOSTS {
                self.memory.half(self.layout.ghost_at(set, ghost)).store(0);
            }
        }
        for line in 0..self.layout.lines {
            for word in 0..LINE_BYTES / 8 {
                store(self.layout.line_at(line, word * 8), 0);
            }
        }
        use header::{
            COUNT, COUNT_MAIN, EPOCH_ENDS, EVICTED_AGE, LATE, LINES_USED, POLICY_EVICTED, PRESSURE, RECOUNT, SPENT_ON_MOVES,
        };
        let evicted = [POLICY_EVICTED, POLICY_EVICTED + 8];
        let ends = (0..8).map(|epoch| EPOCH_ENDS + epoch * 8);
        let words = [COUNT, COUNT_MAIN, RECOUNT, PRESSURE, SPENT_ON_MOVES, EVICTED_AGE, LINES_USED, LATE];
        for at in words.into_iter().chain(evicted).chain(ends) {
            store(at, 0);
        }
        store(header::POLICY_SHARE, self.layout.first_share());
        self.clear();
    }

    /// How many lines were ever taken.
    pub fn lines_used(&self) -> usize {
        (self.load(header::LINES_USED, Ordering::Acquire) as usize).min(self.layout.lines)
    }
}
