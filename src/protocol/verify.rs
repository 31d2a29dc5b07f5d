//! Looks for anything in the file that should not be there. Here the registry, the segments and the count of entries;
//! `verify_index` looks at the slots and the entries that they point at.
//!
//! Works while others go on: whatever looks wrong is looked at again, and counts only if the word has not changed
//! meanwhile. `tests::findings` holds each word of the file against what is found if it is wrong, or what shows that it does
//! not matter.

use core::sync::atomic::Ordering;

use super::entry::Header;
use super::{Core, Memory, Phase, StateWord};
use crate::layout::{header, segment};

/// Something that should not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The state of a segment is none that there is, or names an owner that has no line.
    State {
        /// Index of the segment.
        segment: usize,
    },
    /// The tail or the hand of a segment that nobody holds lies outside it.
    Bounds {
        /// Index of the segment.
        segment: usize,
    },
    /// Below the tail of a segment stands something that is no entry.
    Log {
        /// Index of the segment.
        segment: usize,
        /// Where in it, in units of 16 bytes.
        unit: usize,
    },
    /// A slot says that an entry is live, and there is none where it points: another begins elsewhere, or none can be there.
    Dangling {
        /// Index of the bucket.
        bucket: usize,
        /// Slot in the bucket.
        slot: usize,
    },
    /// An entry hangs in a bucket that is not its key's, or its hash is not that of its key.
    Misplaced {
        /// Index of the bucket.
        bucket: usize,
        /// Slot in the bucket.
        slot: usize,
    },
    /// Two slots of a bucket hold the same key.
    Duplicate {
        /// Index of the bucket.
        bucket: usize,
        /// The second of the two slots.
        slot: usize,
    },
    /// A slot points at what a sweep has passed, which leaves no such slot behind: when the sweep is over it would dangle.
    Swept {
        /// Index of the bucket.
        bucket: usize,
        /// Slot in the bucket.
        slot: usize,
    },
    /// An entry says that it was stored after a `clear` that was not, has a version that was not given out, or expires later
    /// than any entry can.
    Future {
        /// Index of the bucket.
        bucket: usize,
        /// Slot in the bucket.
        slot: usize,
    },
    /// The number of entries, which `max_entries` bounds, is lower than there are, or of a `clear` that was not.
    Count,
    /// A registry line that nobody has pins segments, or says that it counts.
    Leftover {
        /// Index of the line.
        line: usize,
    },
    /// The number of registry lines in use is larger than their number, or a line beyond it is taken.
    Registry,
    /// Two lines of the registry have the same incarnation, or one has an incarnation that was not given out.
    Incarnation {
        /// The second of the two lines, or the one.
        line: usize,
    },
    /// The base of the clock is not what it was set to.
    Clock,
    /// The part of the header that never changes is not what it was.
    Header,
}

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Live entries, expired ones included.
    pub entries: usize,
    /// Bytes of their keys and values.
    pub payload_bytes: u64,
    /// Slots that an insert has begun to use: more than a few only if processes died in between.
    pub tentative: usize,
    /// Entries in the log, dead ones included.
    pub logged: usize,
    /// By how much the counts of entries are off. A death in the middle of a call leaves one here for a while.
    pub count_drift: usize,
    /// By how much the number that `max_entries` bounds is too high. A death in the middle of a call leaves one here for a
    /// while.
    pub bound_drift: usize,
}

/// What only those know who use a file.
pub struct Facts<'a> {
    /// The hash of the file's keys.
    pub hash: &'a dyn Fn(&[u8]) -> u64,
    /// When an entry expires at the latest that was stored by now.
    pub latest_expiry_ms: &'a dyn Fn() -> u64,
}

/// Who is told of each finding, and says whether to go on.
pub(super) type Reporter<'a> = &'a mut dyn FnMut(Finding) -> bool;

impl<M: Memory> Core<M> {
    /// Looks at everything. `report` gets what is wrong, and says whether to go on.
    pub fn verify(&self, facts: &Facts<'_>, report: Reporter<'_>) -> Summary {
        let mut summary = Summary::default();
        if !self.verify_registry(report) || !self.verify_leftovers(report) {
            return summary;
        }
        for segment in 0..self.layout.segments {
            if let Some(finding) = self.verify_segment(segment, &mut summary)
                && !report(finding)
            {
                return summary;
            }
        }
        for bucket in 0..self.layout.buckets {
            if !self.verify_bucket(bucket, facts, &mut summary, report) {
                return summary;
            }
        }
        if !self.verify_starts(report) || !self.verify_count(&mut summary, report) {
            return summary;
        }
        summary.count_drift = self.count_entries().abs_diff(summary.entries);
        summary
    }

    fn verify_registry(&self, report: Reporter<'_>) -> bool {
        let mut taken: Vec<(u64, usize)> = (0..self.layout.lines).map(|line| (self.incarnation(line), line)).collect();
        taken.retain(|&(incarnation, _)| incarnation != 0);
        // After the lines: whoever takes one raises the number first.
        let used = self.load(header::LINES_USED, Ordering::Acquire);
        let is_beyond = |&(incarnation, line): &(u64, usize)| line as u64 >= used && self.incarnation(line) == incarnation;
        if (used > self.layout.lines as u64 || taken.iter().any(is_beyond)) && !report(Finding::Registry) {
            return false;
        }
        let given = self.load(header::INCARNATIONS, Ordering::Acquire);
        let not_given = taken.iter().find(|&&(incarnation, line)| incarnation > given && self.incarnation(line) == incarnation);
        if not_given.is_some_and(|&(_, line)| !report(Finding::Incarnation { line })) {
            return false;
        }
        taken.sort_unstable();
        taken.windows(2).all(|pair| {
            let is_still = |(incarnation, line): (u64, usize)| self.incarnation(line) == incarnation;
            let is_twin = pair[0].0 == pair[1].0 && is_still(pair[0]) && is_still(pair[1]);
            !is_twin || report(Finding::Incarnation { line: pair[1].1 })
        })
    }

    /// Whoever has no line has no pins and counts nothing.
    fn verify_leftovers(&self, report: Reporter<'_>) -> bool {
        (0..self.layout.lines).all(|line| {
            let has_left = |at| {
                // The line on both sides of the word: who takes one writes that first, and clears it last.
                let seen = self.load(at, Ordering::Acquire);
                seen != 0
                    && self.incarnation(line) == 0
                    && self.load(at, Ordering::Acquire) == seen
                    && self.incarnation(line) == 0
            };
            !self.held_words(line).any(has_left) || report(Finding::Leftover { line })
        })
    }

    /// Nobody in the middle of a change, before and after: then the number is that of the entries, or higher by what the dead
    /// left. (One without a line removes without a mark. It leaves the number too high.)
    fn verify_count(&self, summary: &mut Summary, report: Reporter<'_>) -> bool {
        match self.excess_of_count() {
            None => {}
            Some(excess @ 0..) => summary.bound_drift = excess as usize,
            Some(_) => return report(Finding::Count),
        }
        true
    }

    fn verify_segment(&self, segment: usize, summary: &mut Summary) -> Option<Finding> {
        for _ in 0..16 {
            let state = self.state(segment);
            let generation = self.generation(segment);
            let (finding, logged) = self.look_at_segment(segment, state);
            self.memory.fence(Ordering::Acquire);
            let is_still = self.state(segment) == state && self.generation(segment) == generation;
            if finding.is_none() || is_still {
                summary.logged += logged;
                return finding;
            }
            self.memory.pause(0);
        }
        None
    }

    fn look_at_segment(&self, segment: usize, state: StateWord) -> (Option<Finding>, usize) {
        let field = |field| self.load(self.layout.segment_at(segment, field), Ordering::Acquire);
        let (tail, hand) = (field(segment::TAIL), field(segment::HAND) & super::sweep::HAND_MASK);
        let mut logged = 0;
        match state.phase() {
            Phase::Rotten => return (Some(Finding::State { segment }), 0),
            Phase::Free => return (None, 0),
            Phase::Claimed | Phase::Sweeping => {
                let has_line = |owner: super::Owner| {
                    let line = usize::from(owner.line);
                    owner.incarnation > 0 && line < self.layout.lines && self.incarnation(line) == owner.incarnation
                };
                return ((!state.owner().is_some_and(has_line)).then_some(Finding::State { segment }), 0);
            }
            Phase::Open | Phase::Sealed => {}
        }
        if tail > self.layout.segment_units as u64 || hand > tail {
            return (Some(Finding::Bounds { segment }), 0);
        }
        let mut unit = 0;
        while unit < tail as usize {
            let header =
                Header::read(self, super::Place { segment, unit }).filter(|header| unit + header.units() <= tail as usize);
            let Some(header) = header else { return (Some(Finding::Log { segment, unit }), logged) };
            unit += header.units();
            logged += 1;
        }
        (None, logged)
    }
}
