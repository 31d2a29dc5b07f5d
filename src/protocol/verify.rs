//! Looks for anything in the file that should not be there.
//!
//! Works while others go on: whatever looks wrong is looked at again, and counts only if the word has not changed
//! meanwhile.

use core::sync::atomic::Ordering;

use super::entry::Header;
use super::{Core, Found, Kind, Memory, Phase, SlotWord, StateWord};
use crate::layout::{SLOTS, header, segment};

/// Something that should not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The state of a segment is none that there is, or names an owner that cannot be.
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
    /// A slot says that an entry is live, and there is none where it points.
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
    /// The number of registry lines in use is larger than their number, or a line beyond it is taken.
    Registry,
    /// Two lines of the registry have the same incarnation.
    Incarnation {
        /// The second of the two lines.
        line: usize,
    },
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
}

/// One bit for each unit of a segment, as it was at one moment.
struct StartMap {
    state: StateWord,
    birth: u64,
    generation: u64,
    tail: usize,
    bits: Vec<u64>,
}

impl StartMap {
    fn is_start(&self, unit: usize) -> bool {
        self.bits.get(unit / 64).is_some_and(|bits| bits >> (unit % 64) & 1 == 1)
    }

    fn is_of<M: Memory>(&self, core: &Core<M>, segment: usize) -> bool {
        let birth = core.load(core.layout.segment_at(segment, segment::BIRTH), Ordering::Acquire);
        core.state(segment) == self.state
            && (birth, core.generation(segment), core.tail(segment)) == (self.birth, self.generation, self.tail)
    }
}

impl<M: Memory> Core<M> {
    /// Looks at everything. `hash` is the hash of the file's keys. `report` gets what is wrong, and says whether to go
    /// on.
    pub fn verify(&self, hash: &dyn Fn(&[u8]) -> u64, report: &mut dyn FnMut(Finding) -> bool) -> Summary {
        let mut summary = Summary::default();
        if !self.verify_registry(report) {
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
            if !self.verify_bucket(bucket, hash, &mut summary, report) {
                return summary;
            }
        }
        if !self.verify_starts(report) {
            return summary;
        }
        summary.count_drift = self.count_entries().abs_diff(summary.entries);
        summary
    }

    fn verify_registry(&self, report: &mut dyn FnMut(Finding) -> bool) -> bool {
        let mut taken: Vec<(u64, usize)> = (0..self.layout.lines).map(|line| (self.incarnation(line), line)).collect();
        taken.retain(|&(incarnation, _)| incarnation != 0);
        // After the lines: whoever takes one raises the number first.
        let used = self.load(header::LINES_USED, Ordering::Acquire);
        let is_beyond = |&(incarnation, line): &(u64, usize)| line as u64 >= used && self.incarnation(line) == incarnation;
        if (used > self.layout.lines as u64 || taken.iter().any(is_beyond)) && !report(Finding::Registry) {
            return false;
        }
        taken.sort_unstable();
        taken.windows(2).all(|pair| {
            let is_still = |(incarnation, line): (u64, usize)| self.incarnation(line) == incarnation;
            let is_twin = pair[0].0 == pair[1].0 && is_still(pair[0]) && is_still(pair[1]);
            !is_twin || report(Finding::Incarnation { line: pair[1].1 })
        })
    }

    /// Whether every live word that points into a full segment points at the beginning of an entry. So many segments at a
    /// time as a map of 64 MiB tells of, one bit for each unit.
    fn verify_starts(&self, report: &mut dyn FnMut(Finding) -> bool) -> bool {
        const MAP_BITS: usize = 64 << 23;
        let at_once = (MAP_BITS / self.layout.segment_units).clamp(1, self.layout.segments.max(1));
        let mut first = 0;
        while first < self.layout.segments {
            let end = (first + at_once).min(self.layout.segments);
            let maps: Vec<Option<StartMap>> = (first..end).map(|segment| self.starts(segment)).collect();
            for bucket in 0..self.layout.buckets {
                for slot in 0..SLOTS {
                    let at = self.layout.slot_at(bucket, slot);
                    let word = self.slot(at);
                    let place = word.place();
                    let map = place.segment.checked_sub(first).and_then(|i| maps.get(i)?.as_ref());
                    let is_suspect = word.kind() == Kind::Live && map.is_some_and(|map| !map.is_start(place.unit));
                    // In this order: a segment that has not changed by now was the same when the word was read.
                    if is_suspect
                        && self.slot(at).same_entry(word)
                        && map.is_some_and(|map| map.is_of(self, place.segment))
                        && !report(Finding::Dangling { bucket, slot })
                    {
                        return false;
                    }
                }
            }
            first = end;
        }
        true
    }

    /// Where entries begin in a segment that is full and that nobody holds.
    fn starts(&self, segment: usize) -> Option<StartMap> {
        let state = self.state(segment);
        let birth = self.load(self.layout.segment_at(segment, segment::BIRTH), Ordering::Acquire);
        let mut map = StartMap { state, birth, generation: self.generation(segment), tail: self.tail(segment), bits: Vec::new() };
        if state.phase() != Phase::Sealed {
            return None;
        }
        map.bits.resize(map.tail.div_ceil(64), 0);
        let mut unit = 0;
        while unit < map.tail {
            map.bits[unit / 64] |= 1 << (unit % 64);
            unit += Header::read(self, super::Place { segment, unit })?.units();
        }
        Some(map)
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
                let is_owner = |owner: super::Owner| owner.incarnation > 0 && usize::from(owner.line) < self.layout.lines;
                return (state.owner().is_none_or(|owner| !is_owner(owner)).then_some(Finding::State { segment }), 0);
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

    fn verify_bucket(
        &self,
        bucket: usize,
        hash: &dyn Fn(&[u8]) -> u64,
        summary: &mut Summary,
        report: &mut dyn FnMut(Finding) -> bool,
    ) -> bool {
        let mut keys: Vec<(Vec<u8>, usize, SlotWord)> = Vec::new();
        for slot in 0..SLOTS {
            let at = self.layout.slot_at(bucket, slot);
            let word = self.slot(at);
            if word.kind() == Kind::Tentative {
                summary.tentative += 1;
            }
            if word.kind() != Kind::Live {
                continue;
            }
            let (mut key, mut value) = (Vec::new(), Vec::new());
            let Found::Yes(probe) = self.examine_any(at, &mut key, Some(&mut value)) else {
                if self.slot(at).same_entry(word) && !report(Finding::Dangling { bucket, slot }) {
                    return false;
                }
                continue;
            };
            summary.entries += usize::from(probe.header.era == self.era());
            summary.payload_bytes += (key.len() + value.len()) as u64;
            let full = hash(&key);
            let expected = super::Key::new(&key, full);
            let is_placed = self.layout.bucket_of(probe.header.hash32) == bucket
                && expected.hash32 == probe.header.hash32
                && expected.tag == probe.word.tag();
            if !is_placed && !report(Finding::Misplaced { bucket, slot }) {
                return false;
            }
            let twin = keys.iter().find(|(other, ..)| *other == key).map(|&(_, other_at, other)| (other_at, other));
            // Both must be there at one moment: the key may have moved from the one slot to the other between the two
            // looks.
            if let Some((other_at, other)) = twin
                && self.slot(other_at).same_entry(other)
                && self.slot(at).same_entry(probe.word)
                && !report(Finding::Duplicate { bucket, slot })
            {
                return false;
            }
            keys.push((key, at, probe.word));
        }
        true
    }
}
