//! The memory under the protocol: a mapped file ([`MappedMemory`]), or the heap for Miri and tests.
//!
//! All `unsafe` code that touches shared bytes is in this directory. It rests on two invariants, which the `SAFETY` comments
//! cite:
//!
//! - **I1** Every offset and length is checked against the mapping's size before it is used, so memory safety does not rest on
//!   the protocol.
//! - **I2** Bytes in the mapping are never borrowed as `&[u8]` or `&mut [u8]`; they are used only as atomics, or copied by
//!   relaxed word loads or an assembly copy.

use core::sync::atomic::{self, Ordering};

mod copy;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod copy_x86_64;
#[cfg(any(test, miri))]
mod heap;
mod mapped;
mod placed;
mod shared;
#[cfg(any(test, miri))]
mod words;

#[cfg(test)]
mod copy_tests;
#[cfg(test)]
mod tests;

#[cfg(any(test, miri))]
#[allow(unused_imports, reason = "for tests of the layers above")]
pub use heap::HeapMemory;
pub use mapped::MappedMemory;
pub use shared::{SharedHalf, SharedWord};

/// How often [`pause`] spins before it yields the processor instead; the spins double each time.
const SPINNING_PAUSES: u32 = 6;

/// A fence; none for `Relaxed`, which a fence in Rust does not take.
#[inline]
fn fence(order: Ordering) {
    if order != Ordering::Relaxed {
        atomic::fence(order);
    }
}

/// Waits a little: spins at first, then lets another thread have the processor.
#[inline]
fn pause(attempt: u32) {
    if attempt < SPINNING_PAUSES {
        for _ in 0..1_u32 << attempt {
            core::hint::spin_loop();
        }
    } else {
        std::thread::yield_now();
    }
}

/// The extent of a memory, and with it all of I1: the one place where offsets and lengths are judged.
#[derive(Debug, Clone, Copy)]
struct Extent {
    /// Offset of the last word: the length less 8.
    last_word: usize,
    /// Up to here, a line of 64 bytes is inside.
    last_line: usize,
}

impl Extent {
    /// The extent of `len` bytes; `None` unless that is a positive multiple of 8 that a pointer offset can express.
    fn new(len: usize) -> Option<Self> {
        (len >= 8 && len.is_multiple_of(8) && isize::try_from(len).is_ok())
            .then(|| Self { last_word: len - 8, last_line: len.saturating_sub(64) })
    }

    /// Length in bytes.
    #[inline]
    fn len(self) -> usize {
        self.last_word + 8
    }

    /// Panics unless a whole aligned word lies at `at`.
    #[inline]
    fn check_word(self, at: usize) {
        if !at.is_multiple_of(8) || at > self.last_word {
            out_of_bounds(at, 8, self.len());
        }
    }

    /// Panics unless a whole aligned half lies at `at`.
    #[inline]
    fn check_half(self, at: usize) {
        if !at.is_multiple_of(4) || at > self.last_word + 4 {
            out_of_bounds(at, 4, self.len());
        }
    }

    /// The same as [`Extent::check_payload`] for a few words, with one comparison wherever there is a line.
    #[inline]
    fn check_words<const N: usize>(self, at: usize) {
        const { assert!(N <= 8) };
        if !at.is_multiple_of(8) || at > self.last_line {
            self.check_payload_near_end(at, N * 8);
        }
    }

    #[cold]
    fn check_payload_near_end(self, at: usize, len: usize) {
        self.check_payload(at, len);
    }

    /// Panics unless `at` is aligned to a word and `len` bytes from there are inside. As the whole length is a multiple of 8, so
    /// is then the padding of the last word.
    #[inline]
    fn check_payload(self, at: usize, len: usize) {
        if !at.is_multiple_of(8) || len > self.len() || at > self.len() - len {
            out_of_bounds(at, len, self.len());
        }
    }
}

/// The end of whoever asks for what is not there.
#[cold]
#[inline(never)]
#[track_caller]
fn out_of_bounds(at: usize, wanted: usize, len: usize) -> ! {
    panic!("{wanted} bytes at offset {at} are misaligned or not within the memory's {len} bytes")
}
