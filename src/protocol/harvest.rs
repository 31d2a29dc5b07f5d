//! Taking expired entries out where they stand, so that one that is alive need not go.
//!
//! Where the policy counts entries, an expired one takes the place of another as long as it has a slot, whatever room there
//! is. Before an entry is evicted, the segment that has most of what has expired, as far as is foreseen (`forecast`), is
//! looked through, a few entries at a time, by whoever needs a place. Nothing moves, and the hand of the segment stays where
//! it is: to empty the slot of a dead entry is harmless at any time.

use core::sync::atomic::Ordering;

use super::sweep::HAND_MASK;
use super::{Memory, Op, Phase};
use crate::layout::segment;

/// A segment is worth it of which so much has expired.
const WORTH: usize = 16;
/// Steps of one call.
const STEPS: u32 = 32;
/// After a look over the segment table that found nothing, so many entries are evicted before the next one.
const PATIENCE: u32 = 64;

impl<M: Memory> Op<'_, M> {
    /// Takes expired entries out. `false`: none were found that are worth the search.
    #[inline]
    pub(super) fn harvest(&self) -> bool {
        let patience = self.hints.patience.load(Ordering::Relaxed);
        if patience > 0 {
            self.hints.patience.store(patience - 1, Ordering::Relaxed);
            return false;
        }
        self.harvest_now()
    }

    #[cold]
    #[inline(never)]
    fn harvest_now(&self) -> bool {
        let hints = self.hints;
        let Some(segment) = self.core.hinted(hints.harvesting.load(Ordering::Relaxed), Phase::Sealed).or_else(|| self.ripest())
        else {
            return false;
        };
        for _ in 0..STEPS {
            let from = hints.harvested.load(Ordering::Relaxed) as usize;
            let Some((end, taken)) = self.harvest_step(segment, from) else { return false };
            hints.harvested.store(end as u32, Ordering::Relaxed);
            let is_done = end >= self.core.tail(segment);
            if is_done {
                self.core.forget_expired(segment, self.now());
                hints.harvesting.store(u64::MAX, Ordering::Relaxed);
            }
            if taken > 0 || is_done {
                return taken > 0;
            }
        }
        false
    }

    /// The segment with the most of what has expired and is still the value of its key. It is noted.
    fn ripest(&self) -> Option<usize> {
        let (core, hints) = (self.core, self.hints);
        let expired = |segment: usize| core.expired_units(segment, self.era, || self.now());
        let has_more = |&segment: &usize| {
            let hand = core.load(core.layout.segment_at(segment, segment::HAND), Ordering::Relaxed) & HAND_MASK;
            core.state(segment).phase() == Phase::Sealed && hand < core.tail(segment) as u64
        };
        let sealed = (0..core.layout.segments).filter(|&segment| core.has_forecast(segment, self.era)).filter(has_more);
        let (units, segment) = sealed.map(|segment| (expired(segment), segment)).max().unwrap_or_default();
        if units * WORTH < core.layout.segment_units {
            hints.patience.store(PATIENCE, Ordering::Relaxed);
            return None;
        }
        hints.harvesting.store(core.pack(segment), Ordering::Relaxed);
        // Below the hand nothing is left.
        let hand = core.load(core.layout.segment_at(segment, segment::HAND), Ordering::Relaxed) & HAND_MASK;
        hints.harvested.store(hand as u32, Ordering::Relaxed);
        Some(segment)
    }
}
