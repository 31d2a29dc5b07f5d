//! One entry more where `max_entries` bounds the cache: counted, after another one went if there are as many as there may be.

use core::sync::atomic::Ordering;

use super::count::Reserve;
use super::sweep::{HAND_MASK, Mercy, Step};
use super::victim::{Candidate, pack};
use super::{Log, Memory, Op, Phase};
use crate::layout::segment;

/// After so many attempts to get below the bound on the entries, the write is dropped.
const ATTEMPTS_TO_COUNT: u32 = 4096;
/// So often the entries may turn out to be as many as there may be, while none of them can be evicted.
const RECOUNTS: u32 = 16;

impl<M: Memory> Op<'_, M> {
    /// Counts one entry more, evicting one if there are as many as there may be.
    pub(super) fn reserve_one(&self) -> bool {
        let (mut in_vain, mut recounts) = (0, 0);
        for _ in 0..ATTEMPTS_TO_COUNT {
            if self.reserve_entry() == Reserve::Granted {
                return true;
            }
            self.doubt_the_count();
            if self.evict_for_count() {
                continue;
            }
            // Others hold what could be evicted, or the count is wrong.
            in_vain += 1;
            self.core.memory.pause(in_vain);
            if in_vain % 16 != 0 {
                continue;
            }
            if self.core.recount(self.owner) {
                recounts += 1; // the count is right, and nobody else is storing
            } else if !self.reclaim_counting() && in_vain >= 64 {
                return false;
            }
            if recounts >= RECOUNTS {
                return false;
            }
        }
        false
    }

    /// A step towards one entry less, because there are as many as there may be. The bytes of what is evicted stay
    /// until their segment is swept. `false`: nothing was done, since others hold what could be evicted, or nothing is
    /// there.
    pub(super) fn evict_for_count(&self) -> bool {
        if self.core.layout.geometry.is_exact_lru() {
            return self.evict_least_recent().is_some();
        }
        if self.core.layout.counts_entries && self.harvest() {
            return true;
        }
        let log = self.core.log_to_sweep(self.core.log_sizes(|| self.core.segments_of_logs()));
        let Some(first) = self.oldest_unswept(log).or_else(|| self.oldest_unswept(log.other())) else { return false };
        if !first.is_open {
            return self.sweep_step(first.segment, Mercy::Policy, 1) != Step::Taken;
        }
        let state = self.core.state(first.segment);
        if let Some(owner) = self.owner
            && state.phase() == Phase::Open
            && let Some(claim) = self.core.claim(first.segment, state, state.log(), owner)
        {
            self.evict_from_open(claim, state.log());
            return true;
        }
        false
    }

    /// The oldest segment of a log in which something is left to sweep: the one of last time, or by a look over the
    /// table.
    fn oldest_unswept(&self, log: Log) -> Option<Candidate> {
        let core = self.core;
        let as_candidate = |segment: usize| {
            let state = core.state(segment);
            let is_open = state.phase() == Phase::Open;
            let hand = core.field(segment, segment::HAND) & HAND_MASK;
            let has_more = hand < core.tail(segment) as u64 && (is_open || state.phase() == Phase::Sealed);
            (has_more && state.log() == log).then(|| Candidate { segment, birth: core.field(segment, segment::BIRTH), is_open })
        };
        let hint = &self.hints.evicting[log as usize];
        let hinted = hint.load(Ordering::Relaxed);
        let segment = (hinted & 0xff) as usize;
        if segment < core.layout.segments
            && let Some(candidate) = as_candidate(segment).filter(|candidate| pack(segment, candidate.birth) == hinted)
        {
            return Some(candidate);
        }
        let first = (0..core.layout.segments).filter_map(as_candidate).min_by_key(|candidate| candidate.birth)?;
        hint.store(pack(first.segment, first.birth), Ordering::Relaxed);
        Some(first)
    }
}
