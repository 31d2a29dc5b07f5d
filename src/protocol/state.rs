//! The state word of a segment: its phase, its log, and who holds it.
//!
//! ```text
//!  63 ............ 20 | 19 ........ 4 | 3   | 2 .. 0
//!  incarnation        | registry line | log | phase
//! ```
//!
//! ```text
//!  FREE -> CLAIMED(owner) <-> OPEN -> SEALED <-> SWEEPING(owner) -> FREE, generation + 1
//! ```

use core::fmt;

/// Which of the two logs a segment belongs to, from its first claim to its recycling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// The log of newcomers.
    Newcomers = 0,
    /// The log of entries that were used again.
    Main = 1,
}

impl Log {
    /// The other one of the two.
    pub fn other(self) -> Self {
        match self {
            Self::Newcomers => Self::Main,
            Self::Main => Self::Newcomers,
        }
    }
}

/// What is being done with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Holds nothing; may be claimed for either log.
    Free,
    /// A writer appends to it at this moment.
    Claimed,
    /// Has room, and nobody holds it.
    Open,
    /// Full. No slot comes to point into it any more.
    Sealed,
    /// A sweeper walks through it at this moment.
    Sweeping,
    /// No phase at all: the bytes are rotten. It is never claimed, swept or freed, and `verify` reports it.
    Rotten,
}

/// Who a process is in the file: its line in the registry, and the number of this attachment, which never repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Index of the registry line.
    pub line: u16,
    /// The number of the attachment, never 0, below 2^44.
    pub incarnation: u64,
}

/// Incarnations have this many bits.
pub const INCARNATION_BITS: u32 = 44;

/// A snapshot of a segment's state.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct StateWord(u64);

impl StateWord {
    /// A segment that holds nothing: also what a fresh file holds.
    pub const FREE: Self = Self(0);

    fn unowned(phase: u64, log: Log) -> Self {
        Self(phase | (log as u64) << 3)
    }

    fn owned(phase: u64, log: Log, owner: Owner) -> Self {
        debug_assert!(owner.incarnation > 0 && owner.incarnation < 1 << INCARNATION_BITS);
        Self(phase | (log as u64) << 3 | u64::from(owner.line) << 4 | owner.incarnation << 20)
    }

    /// Has room, and nobody holds it.
    pub fn open(log: Log) -> Self {
        Self::unowned(2, log)
    }

    /// Full.
    pub fn sealed(log: Log) -> Self {
        Self::unowned(3, log)
    }

    /// FREE or OPEN to CLAIMED.
    #[must_use]
    pub fn transition_to_claimed(self, log: Log, owner: Owner) -> Self {
        debug_assert!(matches!(self.phase(), Phase::Free | Phase::Open));
        Self::owned(1, log, owner)
    }

    /// SEALED to SWEEPING.
    #[must_use]
    pub fn transition_to_sweeping(self, owner: Owner) -> Self {
        debug_assert!(self.phase() == Phase::Sealed);
        Self::owned(4, self.log(), owner)
    }

    /// Decodes any bits.
    #[inline]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The bits as they stand in the file.
    #[inline]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// What is being done with the segment.
    #[inline]
    pub fn phase(self) -> Phase {
        match self.0 & 0b111 {
            0 => Phase::Free,
            1 => Phase::Claimed,
            2 => Phase::Open,
            3 => Phase::Sealed,
            4 => Phase::Sweeping,
            _ => Phase::Rotten,
        }
    }

    /// The log it belongs to; of no meaning while it is FREE.
    #[inline]
    pub fn log(self) -> Log {
        if self.0 & 0b1000 == 0 { Log::Newcomers } else { Log::Main }
    }

    /// Who holds it, if anybody does.
    pub fn owner(self) -> Option<Owner> {
        matches!(self.phase(), Phase::Claimed | Phase::Sweeping)
            .then_some(Owner { line: ((self.0 >> 4) & 0xffff) as u16, incarnation: self.0 >> 20 })
    }
}

impl fmt::Debug for StateWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?}, {:?})", self.phase(), self.log(), self.owner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_keeps_its_owner() {
        let owner = Owner { line: 65_535, incarnation: (1 << INCARNATION_BITS) - 1 };
        let claimed = StateWord::open(Log::Main).transition_to_claimed(Log::Main, owner);
        assert_eq!((claimed.phase(), claimed.log(), claimed.owner()), (Phase::Claimed, Log::Main, Some(owner)));
        let sweeping = StateWord::sealed(Log::Newcomers).transition_to_sweeping(owner);
        assert_eq!((sweeping.phase(), sweeping.log(), sweeping.owner()), (Phase::Sweeping, Log::Newcomers, Some(owner)));
        assert_eq!(StateWord::FREE.owner(), None);
    }

    #[test]
    fn any_bits_decode() {
        for low in 0..8 {
            let state = StateWord::from_bits(u64::MAX << 3 | low);
            assert_eq!(state.phase() == Phase::Rotten, low > 4);
        }
    }
}
