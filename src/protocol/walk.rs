//! Walks over all entries, and what there is to say about the whole file.

use core::sync::atomic::Ordering;

use super::{Core, Found, Memory, Op, Phase};
use crate::layout::{COUNTERS, SLOTS, line};

/// A look over the whole file. Weakly consistent: nothing stands still meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Segments that hold nothing.
    pub free: usize,
    /// Segments that have room and that nobody holds.
    pub open: usize,
    /// Segments that a writer holds.
    pub claimed: usize,
    /// Full segments.
    pub sealed: usize,
    /// Segments that a sweeper holds.
    pub sweeping: usize,
    /// Segments whose state makes no sense.
    pub rotten: usize,
    /// Segments of the main log.
    pub main: usize,
    /// Units of entries that count.
    pub live_units: usize,
    /// Units below the tails.
    pub filled_units: usize,
    /// Number of entries that count.
    pub entries: usize,
}

impl<M: Memory> Core<M> {
    /// Looks over the segment table.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        let era = self.era();
        for segment in 0..self.layout.segments {
            let state = self.state(segment);
            match state.phase() {
                Phase::Free => census.free += 1,
                Phase::Open => census.open += 1,
                Phase::Claimed => census.claimed += 1,
                Phase::Sealed => census.sealed += 1,
                Phase::Sweeping => census.sweeping += 1,
                Phase::Rotten => census.rotten += 1,
            }
            if state.phase() != Phase::Free {
                census.main += usize::from(state.log() == super::Log::Main);
                census.filled_units += self.tail(segment);
            }
            let tally = self.tally(segment, era);
            census.live_units += tally.units;
            census.entries += tally.count;
        }
        census
    }

    /// Adds to a counter of a registry line. Counters go on from owner to owner of the line, so nothing has to be added
    /// up when one dies.
    pub fn add_to_counter(&self, line: usize, counter: usize, amount: u64) {
        use super::Word;
        let at = self.layout.line_at(line, line::COUNTERS) + counter * 8;
        self.memory.word(at).fetch_add(amount, Ordering::Relaxed);
    }

    /// The counters of all lines, added up.
    pub fn counters(&self) -> [u64; COUNTERS] {
        let mut sums = [0u64; COUNTERS];
        for line in 0..self.lines_used() {
            for (counter, sum) in sums.iter_mut().enumerate() {
                let at = self.layout.line_at(line, line::COUNTERS) + counter * 8;
                *sum = sum.wrapping_add(self.load(at, Ordering::Relaxed));
            }
        }
        sums
    }
}

impl<M: Memory> Op<'_, M> {
    /// Gives every entry of one bucket that counts, each key once: key, value (empty if it is not wanted), and when it
    /// expires. An entry that is there throughout is given.
    pub fn visit_bucket(&self, bucket: usize, want_values: bool, mut visit: impl FnMut(Vec<u8>, Vec<u8>, Option<u64>)) {
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for slot in 0..SLOTS {
            let (mut key, mut value) = (Vec::new(), Vec::new());
            let found =
                self.core.examine_any(self.core.layout.slot_at(bucket, slot), &mut key, want_values.then_some(&mut value));
            if let Found::Yes(probe) = found
                && !self.is_dead(&probe)
                && !seen.contains(&key)
            {
                seen.push(key.clone());
                visit(key, value, probe.expiry_ms);
            }
        }
    }
}
