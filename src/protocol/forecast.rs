//! When the entries of a segment expire, in outline: so that what has expired is known without being read.
//!
//! Twelve pairs of a time and a number of units stand in the segment's line, in the order of times: up to that time, so
//! many more of the units that stand there will have expired. A time too many, and the two that lose least by it become
//! one, the later one (a histogram that makes its own bins, after Ben-Haim and Tom-Tov, "A streaming parallel decision tree
//! algorithm", JMLR 2010). So a segment with a few times to live in it is known exactly, and others well enough; and what
//! is said to have expired has. An entry that goes is taken off again.
//!
//! ```text
//!  63 .. 42 | 41 .. 32 | 31 .. 10 | 9 .. 0
//!  units    | time     | units    | time
//! ```
//!
//! Times count from the opening of the segment, on a scale whose steps grow with them, from 1 ms to a sixteenth. Hints, like
//! the tallies: relaxed, of one generation and era, and any bits do. The holder and those who take entries out change the
//! words by one attempt each, so that a change is lost where two do so at once; no decision about correctness rests on
//! them.

use core::sync::atomic::Ordering;

use super::tally::{is_of_later_era, tag};
use super::{Claim, Core, Memory, Place, Probe, Word};
use crate::layout::{FORECAST_WORDS, segment};

/// Pairs of a segment.
const PAIRS: usize = FORECAST_WORDS * 2;
const TIME_BITS: u32 = 10;
/// Steps of times that make no difference where there are many.
const NEARLY: u32 = 3;
const UNITS_MAX: u32 = (1 << (32 - TIME_BITS)) - 1;

/// A point on the scale of times: four bits behind the highest one. Rounded up for when something expires, and down for how
/// much time has passed.
fn step(ms: u64, is_up: bool) -> u32 {
    let exponent = ms.checked_ilog2().unwrap_or(0).saturating_sub(4);
    let mantissa = ms >> exponent;
    let is_cut = mantissa << exponent != ms;
    (exponent << 4) + mantissa as u32 + u32::from(is_cut && is_up)
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Pair {
    time: u32,
    units: u32,
}

impl Pair {
    fn from_bits(bits: u32) -> Self {
        Self { time: bits & ((1 << TIME_BITS) - 1), units: bits >> TIME_BITS }
    }

    fn bits(self) -> u32 {
        self.units.min(UNITS_MAX) << TIME_BITS | self.time
    }

    /// What it costs to forget this one in favour of a later one: so many units are known to have expired only then.
    fn loss(self, later: Self) -> u64 {
        u64::from(self.units) * u64::from(later.time.saturating_sub(self.time))
    }
}

/// Adds a pair to those that there are.
fn add(pairs: &mut [Pair; PAIRS], new: Pair) {
    let used = pairs.iter().take_while(|pair| **pair != Pair::default()).count();
    let place = pairs[..used].iter().take_while(|pair| pair.time < new.time).count();
    if place < used && pairs[place].time == new.time {
        pairs[place].units = (pairs[place].units + new.units).min(UNITS_MAX);
        return;
    }
    let mut all = [Pair::default(); PAIRS + 1];
    all[..place].copy_from_slice(&pairs[..place]);
    all[place] = new;
    all[place + 1..].copy_from_slice(&pairs[place..]);
    if used == PAIRS {
        let losses = (0..PAIRS).map(|i| (all[i].loss(all[i + 1]), i));
        let (_, least) = losses.min().unwrap_or_default();
        all[least + 1].units = (all[least + 1].units + all[least].units).min(UNITS_MAX);
        all.copy_within(least + 1.., least);
    }
    pairs.copy_from_slice(&all[..PAIRS]);
}

/// Takes units away again that were added for a time: from the pair that they are in, as far as can be told.
fn take(pairs: &mut [Pair; PAIRS], time: u32, mut units: u32) {
    for pair in pairs.iter_mut().filter(|pair| pair.time >= time) {
        let part = pair.units.min(units);
        (pair.units, units) = (pair.units - part, units - part);
    }
}

impl<M: Memory> Core<M> {
    /// Units are counted in twos, fours and so on where a segment has more than can be counted.
    fn forecast_shift(&self) -> u32 {
        (usize::BITS - self.layout.segment_units.leading_zeros()).saturating_sub(32 - TIME_BITS)
    }

    /// How many are counted of those from one place to another.
    fn counted_units(&self, begin: usize, end: usize) -> u32 {
        ((end >> self.forecast_shift()) - (begin >> self.forecast_shift())) as u32
    }

    fn opened(&self, segment: usize) -> u64 {
        self.load(self.layout.segment_at(segment, segment::OPENED), Ordering::Relaxed)
    }

    fn time_of(&self, segment: usize, expiry_ms: u64) -> u32 {
        step(expiry_ms.saturating_sub(self.opened(segment)).max(1), true)
    }

    fn passed(&self, segment: usize, now_ms: u64) -> u32 {
        step(now_ms.saturating_sub(self.opened(segment)), false)
    }

    fn pairs(&self, segment: usize) -> [Pair; PAIRS] {
        let words = self.memory.words::<FORECAST_WORDS>(self.layout.segment_at(segment, segment::FORECAST));
        let mut pairs = [Pair::default(); PAIRS];
        for (word, both) in words.iter().zip(pairs.chunks_exact_mut(2)) {
            let bits = word.load(Ordering::Relaxed);
            (both[0], both[1]) = (Pair::from_bits(bits as u32), Pair::from_bits((bits >> 32) as u32));
        }
        pairs
    }

    /// Changes what has changed. Where another does so at the same time, one of them loses.
    fn swap_pairs(&self, segment: usize, from: &[Pair; PAIRS], to: &[Pair; PAIRS]) {
        let words = self.memory.words::<FORECAST_WORDS>(self.layout.segment_at(segment, segment::FORECAST));
        let bits = |both: &[Pair]| u64::from(both[0].bits()) | u64::from(both[1].bits()) << 32;
        for (word, (from, to)) in words.iter().zip(from.chunks_exact(2).zip(to.chunks_exact(2))) {
            if from != to {
                let _ = word.compare_exchange(bits(from), bits(to), Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// Adds units to the first pair that is not before a time, or takes them off, if that is good enough: the common case.
    #[inline]
    fn add_to_pair(&self, segment: usize, time: u32, units: u32, is_more: bool) -> bool {
        let words = self.memory.words::<FORECAST_WORDS>(self.layout.segment_at(segment, segment::FORECAST));
        for word in words {
            let bits = word.load(Ordering::Relaxed);
            let (first, second) = (Pair::from_bits(bits as u32), Pair::from_bits((bits >> 32) as u32));
            if second.time < time && first.time < time {
                continue;
            }
            let (pair, shift) = if first.time >= time { (first, 0) } else { (second, 32) };
            let (after, change) = (pair.units.wrapping_add(units), u64::from(units) << (TIME_BITS + shift));
            let new = match is_more {
                true if pair.units == 0 || after > UNITS_MAX => return false,
                // Where there is no pair to spare, a time that is nearly the same will do.
                true if pair.time == time || pair.time <= time + NEARLY && self.is_full(words) => bits + change,
                false if pair.units >= units => bits - change,
                _ => return false,
            };
            let _ = word.compare_exchange(bits, new, Ordering::Relaxed, Ordering::Relaxed);
            return true;
        }
        false
    }

    fn is_full(&self, words: [&M::Word; FORECAST_WORDS]) -> bool {
        words[FORECAST_WORDS - 1].load(Ordering::Relaxed) >> 32 != 0
    }

    #[cold]
    #[inline(never)]
    fn change_pairs(&self, segment: usize, change: impl FnOnce(&mut [Pair; PAIRS])) {
        let before = self.pairs(segment);
        let mut pairs = before;
        change(&mut pairs);
        self.swap_pairs(segment, &before, &pairs);
    }

    fn forecast_of(&self, segment: usize) -> &M::Word {
        self.memory.word(self.layout.segment_at(segment, segment::FORECAST_OF))
    }

    /// Notes when an entry expires that was just appended, before it is published, by the holder of its segment.
    #[inline(never)]
    pub(super) fn foresee(&self, claim: &Claim, era: u32, units: usize, expiry_ms: u64) {
        let segment = claim.segment;
        let (mine, seen) = (tag(claim.generation, era) | 1, self.forecast_of(segment).load(Ordering::Relaxed));
        if seen != mine {
            if is_of_later_era(seen, claim.generation, era) {
                return; // it is dead already
            }
            self.change_pairs(segment, |pairs| *pairs = Default::default());
            self.forecast_of(segment).store(mine, Ordering::Relaxed);
        }
        let new = Pair { time: self.time_of(segment, expiry_ms), units: self.counted_units(claim.tail - units, claim.tail) };
        if new.units > 0 && !self.add_to_pair(segment, new.time, new.units, true) {
            self.change_pairs(segment, |pairs| add(pairs, new));
        }
    }

    /// After the word of an entry was taken out that has an expiry, whether its time had come or not.
    #[inline(never)]
    pub(super) fn unforesee(&self, place: Place, generation: u64, era: u32, units: usize, expiry_ms: u64) {
        if self.forecast_of(place.segment).load(Ordering::Relaxed) != tag(generation, era) | 1 {
            return;
        }
        let time = self.time_of(place.segment, expiry_ms);
        let units = self.counted_units(place.unit, place.unit + units);
        if !self.add_to_pair(place.segment, time, units, false) {
            self.change_pairs(place.segment, |pairs| take(pairs, time, units));
        }
    }

    /// What is foreseen of a segment is not so any more.
    pub(super) fn forget_forecast(&self, segment: usize) {
        self.forecast_of(segment).store(0, Ordering::Relaxed);
    }

    /// All that has expired in a segment is gone.
    pub(super) fn forget_expired(&self, segment: usize, now_ms: u64) {
        let passed = self.passed(segment, now_ms);
        self.change_pairs(segment, |pairs| {
            pairs.iter_mut().filter(|pair| pair.time <= passed).for_each(|pair| pair.units = 0);
        });
    }

    /// The same for an entry that was found.
    #[inline]
    pub(super) fn unforesee_of(&self, probe: &Probe) {
        if let Some(expiry_ms) = probe.expiry_ms {
            self.unforesee(probe.place(), probe.generation, probe.header.era, probe.header.units(), expiry_ms);
        }
    }

    /// Whether a segment has entries that expire.
    #[inline]
    pub(super) fn has_forecast(&self, segment: usize, era: u32) -> bool {
        let of = self.forecast_of(segment).load(Ordering::Relaxed);
        of != 0 && of == tag(self.load(self.layout.generation_at(segment), Ordering::Relaxed), era) | 1
    }

    /// Units of a segment that have expired and have not gone.
    pub(super) fn expired_units(&self, segment: usize, era: u32, now_ms: impl FnOnce() -> u64) -> usize {
        if !self.has_forecast(segment, era) {
            return 0;
        }
        let passed = self.passed(segment, now_ms());
        let expired = self.pairs(segment).into_iter().filter(|pair| pair.time <= passed);
        expired.map(|pair| pair.units as usize).sum::<usize>() << self.forecast_shift()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_have_expired_has() {
        let times = (0..300).chain((8..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1, 3 << (bit - 1)]));
        for ms in times.chain([u64::MAX]) {
            let (up, down) = (step(ms, true), step(ms, false));
            assert!(up < 1 << TIME_BITS && up - down <= 1, "{ms}");
            assert!(ms == 0 || step(ms - 1, false) < up, "{ms} is not reached a moment before");
            let late = ms.saturating_add(ms / 16);
            assert!(step(late, false) >= up || late == u64::MAX, "{ms} is known to have passed soon after");
        }
    }

    fn units_up_to(pairs: &[Pair; PAIRS], time: u32) -> u32 {
        pairs.iter().filter(|pair| pair.time <= time).map(|pair| pair.units).sum()
    }

    #[test]
    #[cfg_attr(miri, ignore = "long, and nothing for Miri to see")]
    fn a_few_times_are_kept_exactly_and_of_many_the_outline() {
        let mut pairs = [Pair::default(); PAIRS];
        for i in 0..1000 {
            add(&mut pairs, Pair { time: 7 + i * i % 3 * 100, units: 2 });
        }
        assert_eq!((units_up_to(&pairs, 6), units_up_to(&pairs, 7), units_up_to(&pairs, 107)), (0, 668, 2000));
        for (i, factor) in [(0, 1), (1, 611), (2, 997)] {
            let mut pairs = [Pair::default(); PAIRS];
            for nth in 0..1000 {
                add(&mut pairs, Pair { time: (nth * factor + i) % 1000 / 10 + 1, units: 1 });
            }
            assert_eq!(units_up_to(&pairs, 100), 1000);
            for time in 0..=100 {
                let known = units_up_to(&pairs, time);
                assert!(known <= time * 10 && known + 300 >= time * 10, "{known} at {time}: {pairs:?}");
            }
        }
    }

    #[test]
    fn any_bits_are_pairs() {
        for bits in [0, u32::MAX, UNITS_MAX << TIME_BITS, 1023, 0x5555_5555, 0xaaaa_aaaa] {
            let mut pairs = [Pair::from_bits(bits); PAIRS];
            add(&mut pairs, Pair { time: 5, units: 5 });
            add(&mut pairs, Pair { time: 1023, units: UNITS_MAX });
            assert!(pairs.iter().all(|&pair| Pair::from_bits(pair.bits()) == pair));
        }
    }
}
