//! Ghosts: what was evicted not long ago, so that a key that comes back tells the policy that it went too early.
//!
//! A table of its own of 32-bit words, about one for each entry, in sets of one cache line. It is lossy on purpose:
//! plain relaxed loads and stores, no exchange, no order. A lost or mistaken ghost costs a hint.
//!
//! ```text
//!  31    | 30  | 29 .... 24 | 23 ........... 0
//!  valid | log | epoch      | fingerprint
//! ```

use super::{Core, Half, Log, Memory};
use crate::layout::GHOSTS;

const EPOCH_MASK: u32 = 0x3f;
const FINGERPRINT_MASK: u32 = 0xff_ffff;

/// For how many epochs of its log a ghost says anything.
pub(super) const EPOCHS: [u32; 2] = [24, 8];

fn fingerprint(hash32: u32, tag: u16) -> u32 {
    // The set comes from the upper bits of `hash32`; what tells keys of one set apart is in the lower ones and in the
    // tag.
    (hash32.wrapping_mul(0x9e37_79b1) ^ u32::from(tag) << 12 ^ u32::from(tag)) & FINGERPRINT_MASK
}

/// A key that came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ghost {
    /// The log that it was evicted from.
    pub log: Log,
    /// How many epochs of that log ago.
    pub age: u32,
}

fn decode(word: u32, epochs: [u32; 2]) -> Option<Ghost> {
    let log = if word & 1 << 30 == 0 { Log::Newcomers } else { Log::Main };
    let age = epochs[log as usize].wrapping_sub(word >> 24) & EPOCH_MASK;
    (word >> 31 == 1 && age < EPOCHS[log as usize]).then_some(Ghost { log, age })
}

/// How much of the time of a ghost is over, in parts of the time of a newcomer's; all of it if there is none. Without a
/// branch, for vectors.
#[inline(always)]
fn time_over(word: u32, epochs: [u32; 2]) -> u32 {
    const { assert!(EPOCHS[0] == 3 * EPOCHS[1]) };
    let is_main = 0u32.wrapping_sub(word >> 30 & 1);
    let is_none = (word >> 31).wrapping_sub(1);
    let epoch = epochs[0] ^ (epochs[0] ^ epochs[1]) & is_main;
    let age = epoch.wrapping_sub(word >> 24) & EPOCH_MASK;
    (age + (age << 1 & is_main)) | (is_none & 0xff)
}

/// The first ghost of a set that says nothing any more, or else the one of which the greatest part of its time is over.
/// Not inlined: the compiler makes vectors of it only where the words stand in memory.
#[inline(never)]
fn least_telling(words: &[u32; GHOSTS], epochs: [u32; 2]) -> usize {
    const { assert!(GHOSTS <= 16) };
    let mut ranks = [0i16; GHOSTS];
    for (i, (rank, &word)) in ranks.iter_mut().zip(words).enumerate() {
        let over = (time_over(word, epochs) as i16).min(EPOCHS[0] as i16);
        *rank = over << 4 | (15 - i as i16);
    }
    let best = ranks.into_iter().fold(0, i16::max);
    15 - (best & 15) as usize
}

impl<M: Memory> Core<M> {
    /// Asks for the set of a key to be brought near.
    #[inline]
    pub(super) fn prefetch_ghosts(&self, hash32: u32) {
        self.memory.prefetch(self.layout.ghost_at(self.layout.ghost_set_of(hash32), 0));
    }

    /// Takes the ghost of a key, if there is one that still says anything.
    pub(super) fn take_ghost(&self, hash32: u32, tag: u16) -> Option<Ghost> {
        let set_at = self.layout.ghost_at(self.layout.ghost_set_of(hash32), 0);
        let wanted = fingerprint(hash32, tag);
        let mut candidates = self.memory.match_halves::<GHOSTS>(set_at, FINGERPRINT_MASK, wanted);
        if candidates == 0 {
            return None;
        }
        let epochs = self.epochs();
        while candidates != 0 {
            let half = self.memory.half(set_at + candidates.trailing_zeros() as usize * 4);
            candidates &= candidates - 1;
            let word = half.load();
            let ghost = if word & FINGERPRINT_MASK == wanted { decode(word, epochs) } else { None };
            if ghost.is_some() {
                half.store(0);
                return ghost;
            }
        }
        None
    }

    /// Leaves a ghost, in place of the one of its set that says least.
    pub(super) fn leave_ghost(&self, hash32: u32, tag: u16, log: Log, epochs: [u32; 2]) {
        let set_at = self.layout.ghost_at(self.layout.ghost_set_of(hash32), 0);
        let worst = least_telling(&self.memory.halves(set_at), epochs);
        let word = 1 << 31 | (log as u32) << 30 | (epochs[log as usize] & EPOCH_MASK) << 24 | fingerprint(hash32, tag);
        self.memory.half(set_at + worst * 4).store(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ghost_says_how_long_ago_and_ends_in_time() {
        let word = |log: Log, epoch: u32| 1 << 31 | (log as u32) << 30 | epoch << 24;
        assert_eq!(decode(word(Log::Newcomers, 60), [62, 0]), Some(Ghost { log: Log::Newcomers, age: 2 }));
        assert_eq!(decode(word(Log::Newcomers, 60), [65, 0]), Some(Ghost { log: Log::Newcomers, age: 5 }));
        assert_eq!(decode(word(Log::Newcomers, 60), [60 + 24, 0]), None);
        assert_eq!(decode(word(Log::Main, 1), [0, 8]), Some(Ghost { log: Log::Main, age: 7 }));
        assert_eq!(decode(word(Log::Main, 1), [0, 9]), None);
        assert_eq!(decode(0, [0, 0]), None);
    }

    #[test]
    fn the_ghost_that_says_least_gives_way() {
        let word = |log: Log, epoch: u32| 1 << 31 | (log as u32) << 30 | epoch << 24;
        let newcomer = |epoch| word(Log::Newcomers, epoch);
        let least = |first: [u32; 3]| {
            let mut words = [newcomer(6); GHOSTS];
            words[..3].copy_from_slice(&first);
            least_telling(&words, [6, 6])
        };
        assert_eq!(least([newcomer(6), newcomer(6), newcomer(6)]), 0, "all alike");
        assert_eq!(least([newcomer(5), newcomer(4), newcomer(4)]), 1, "the oldest");
        assert_eq!(least([newcomer(4), newcomer(4), word(Log::Main, 5)]), 2, "three of 24 parts over, not two");
        assert_eq!(least([newcomer(4), 0, word(Log::Main, 62)]), 1, "the first of those that say nothing");
    }
}
