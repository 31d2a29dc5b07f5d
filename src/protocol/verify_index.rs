//! The part of `verify` that looks at the slots, and at the entries that they point at.

use core::sync::atomic::Ordering;

use super::entry::Header;
use super::sweep::{HAND_MASK, RETAINED};
use super::verify::{Facts, Finding, Reporter, Summary};
use super::{Core, Found, Kind, Memory, Phase, Place, Probe, SlotWord, StateWord};
use crate::layout::{SLOTS, header, segment};

/// Where entries begin in a segment that nobody holds, a bit for each unit, as it was at one moment.
struct StartMap {
    state: StateWord,
    birth: u64,
    generation: u64,
    tail: usize,
    hand: u64,
    bits: Vec<u64>,
}

impl StartMap {
    fn is_start(&self, unit: usize) -> bool {
        self.bits.get(unit / 64).is_some_and(|bits| bits >> (unit % 64) & 1 == 1)
    }

    /// Whether a sweep is past this unit and left nothing there.
    fn is_swept(&self, unit: usize) -> bool {
        (unit as u64) < self.hand & HAND_MASK && self.hand & RETAINED == 0
    }

    fn is_of<M: Memory>(&self, core: &Core<M>, segment: usize) -> bool {
        let birth = core.load(core.layout.segment_at(segment, segment::BIRTH), Ordering::Acquire);
        core.state(segment) == self.state
            && (birth, core.generation(segment), core.tail(segment)) == (self.birth, self.generation, self.tail)
    }
}

impl<M: Memory> Core<M> {
    /// Whether every live word that points into a segment points at the beginning of an entry, and at none that a sweep has
    /// passed. So many segments at a time as a map of 64 MiB tells of, one bit for each unit.
    pub(super) fn verify_starts(&self, report: Reporter<'_>) -> bool {
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
                    let map = word.place().segment.checked_sub(first).and_then(|i| maps.get(i)?.as_ref());
                    let finding = match map {
                        Some(map) if word.kind() == Kind::Live => self.judge_start(at, word, map),
                        _ => None,
                    };
                    if finding.is_some_and(|finding| !report(finding(bucket, slot))) {
                        return false;
                    }
                }
            }
            first = end;
        }
        true
    }

    /// What is wrong with where a live word points, if anything is. Before that is said the segment is looked at once more: what
    /// was appended to an OPEN one and taken back leaves it as if nothing had been.
    fn judge_start(&self, at: usize, word: SlotWord, map: &StartMap) -> Option<fn(usize, usize) -> Finding> {
        let Place { segment, unit } = word.place();
        let is_wrong = |map: &StartMap| !map.is_start(unit) || map.is_swept(unit);
        if !is_wrong(map) {
            return None;
        }
        let map = self.starts(segment)?;
        // In this order: a segment that has not changed by now was the same when the word was read.
        let is_certain = is_wrong(&map) && self.slot(at).same_entry(word) && map.is_of(self, segment);
        is_certain.then_some(if map.is_start(unit) {
            |bucket, slot| Finding::Swept { bucket, slot }
        } else {
            |bucket, slot| Finding::Dangling { bucket, slot }
        })
    }

    /// Where entries begin in a segment that nobody holds: nowhere, if it is free.
    fn starts(&self, segment: usize) -> Option<StartMap> {
        let state = self.state(segment);
        let field = |field| self.load(self.layout.segment_at(segment, field), Ordering::Acquire);
        let (birth, hand, generation) = (field(segment::BIRTH), field(segment::HAND), self.generation(segment));
        let mut map = StartMap { state, birth, generation, hand, tail: self.tail(segment), bits: Vec::new() };
        match state.phase() {
            Phase::Free => return Some(map),
            Phase::Open | Phase::Sealed => {}
            Phase::Claimed | Phase::Sweeping | Phase::Rotten => return None,
        }
        map.bits.resize(map.tail.div_ceil(64), 0);
        let mut unit = 0;
        while unit < map.tail {
            map.bits[unit / 64] |= 1 << (unit % 64);
            unit += Header::read(self, Place { segment, unit })?.units();
        }
        Some(map)
    }

    /// The entries of a bucket, and whether their keys belong there, each once.
    pub(super) fn verify_bucket(&self, bucket: usize, facts: &Facts<'_>, summary: &mut Summary, report: Reporter<'_>) -> bool {
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
            if self.is_of_the_future(&probe, facts) && !report(Finding::Future { bucket, slot }) {
                return false;
            }
            let full = (facts.hash)(&key);
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

    /// Whether an entry says of itself what cannot be yet. What it says was so before it was published, and what it is held
    /// against is read after it was found.
    fn is_of_the_future(&self, probe: &Probe, facts: &Facts<'_>) -> bool {
        let is_later_era = (probe.header.era.wrapping_sub(self.era()) as i32) > 0;
        let is_later_version = probe.version.is_some_and(|version| version > self.load(header::STAMP_BLOCKS, Ordering::Acquire));
        is_later_era || is_later_version || probe.expiry_ms.is_some_and(|at| at > (facts.latest_expiry_ms)())
    }
}
