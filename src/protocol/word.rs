//! The only way in which the protocol touches shared memory.
//!
//! Everything above this page is written against two traits, so that the very same code runs over a mapped file, over
//! heap memory (Miri) and over the model checker's words (`loom-tests`). The protocol itself has no pointers and no
//! `unsafe`.

use core::sync::atomic::Ordering;

/// One 64-bit word that any process may change at any moment.
pub trait Word {
    /// Reads the word.
    fn load(&self, order: Ordering) -> u64;
    /// Writes the word.
    fn store(&self, value: u64, order: Ordering);
    /// Replaces `current` by `new` in one step, or tells what stands there instead.
    fn compare_exchange(&self, current: u64, new: u64, success: Ordering, failure: Ordering) -> Result<u64, u64>;
    /// Adds with wrap-around and returns what was there before.
    fn fetch_add(&self, value: u64, order: Ordering) -> u64;
}

/// One 32-bit word: a ghost. Only plain loads and stores, always relaxed: a lost one costs a hint.
pub trait Half {
    /// Reads the word, relaxed.
    fn load(&self) -> u32;
    /// Writes the word, relaxed.
    fn store(&self, value: u32);
}

/// The mapped file, or what stands for it.
///
/// Offsets are in bytes from the start. An implementation checks every offset and length against its own size before it
/// touches anything (invariant I1), so that memory safety does not rest on the protocol being right: a wrong offset is
/// a panic, never undefined behaviour. The protocol in turn checks each number that it reads from the file against the
/// geometry before it uses it as an offset, so that the panic is never reached, whatever the bytes.
///
/// The payload functions read and write as if by relaxed atomic words: another process may change the bytes meanwhile,
/// and whoever reads must find out by the segment's generation whether what was read is whole.
pub trait Memory {
    /// A 64-bit word in place.
    type Word: Word;
    /// A 32-bit word in place.
    type Half: Half;

    /// The word at `at`, a multiple of 8.
    fn word(&self, at: usize) -> &Self::Word;
    /// The words at `at`, a multiple of 8, and after it.
    #[inline]
    fn words<const N: usize>(&self, at: usize) -> [&Self::Word; N] {
        core::array::from_fn(|i| self.word(at + i * 8))
    }
    /// Which of the `N` words from `at` on, a multiple of 8, are `wanted` in the bits of `mask` of their upper halves: a bit
    /// for each. Every word is read once, with acquire.
    #[inline]
    fn match_upper_halves<const N: usize>(&self, at: usize, mask: u32, wanted: u32) -> u32 {
        let words = self.words::<N>(at).into_iter().enumerate();
        words.fold(0, |matches, (i, word)| {
            let upper = (word.load(Ordering::Acquire) >> 32) as u32;
            matches | u32::from(upper & mask == wanted) << i
        })
    }
    /// Which of the `N` words from `at` on, a multiple of 8, have this lower half: a bit for each. Every word is read once,
    /// with acquire.
    #[inline]
    fn match_lower_halves<const N: usize>(&self, at: usize, wanted: u32) -> u32 {
        let words = self.words::<N>(at).into_iter().enumerate();
        words.fold(0, |matches, (i, word)| matches | u32::from(word.load(Ordering::Acquire) as u32 == wanted) << i)
    }
    /// The 32-bit word at `at`, a multiple of 4, in a part of the file that is only ever used by halves.
    fn half(&self, at: usize) -> &Self::Half;
    /// Which of the `N` 32-bit words from `at` on, a multiple of 8, are `wanted` in the bits of `mask`: a bit for each.
    #[inline]
    fn match_halves<const N: usize>(&self, at: usize, mask: u32, wanted: u32) -> u32 {
        (0..N).fold(0, |matches, i| matches | u32::from(self.half(at + i * 4).load() & mask == wanted) << i)
    }
    /// The `N` 32-bit words from `at` on, a multiple of 8, each read once.
    #[inline]
    fn halves<const N: usize>(&self, at: usize) -> [u32; N] {
        core::array::from_fn(|i| self.half(at + i * 4).load())
    }
    /// A fence. `Relaxed` means none (a weakened model).
    fn fence(&self, order: Ordering);
    /// A full fence (`SeqCst`) right behind an exchange of this thread that succeeded. Where every exchange is a full
    /// fence to the processor, this need only be one to the compiler.
    #[inline]
    fn fence_after_exchange(&self) {
        self.fence(Ordering::SeqCst);
    }
    /// Lets others go on: a spin hint, later a yield. Never blocks on anybody.
    fn pause(&self, attempt: u32);
    /// Asks for the line at `at` to be brought near. A hint; any `at` is allowed.
    fn prefetch(&self, at: usize);

    /// Appends `len` bytes from `at` (a multiple of 8) to `out`. Allocates nothing if `out` has room.
    fn read_payload(&self, at: usize, len: usize, out: &mut Vec<u8>);
    /// If the bytes at `at` (a multiple of 8) are `prefix`, appends to `out` the `len` bytes from the next multiple of 8
    /// on, as [`Memory::read_payload`] does, and says so.
    #[inline]
    fn read_payload_behind(&self, at: usize, prefix: &[u8], len: usize, out: &mut Vec<u8>) -> bool {
        let is_there = self.payload_equals(at, prefix);
        if is_there {
            self.read_payload(at + prefix.len().next_multiple_of(8), len, out);
        }
        is_there
    }
    /// Writes `bytes` at `at` (a multiple of 8); the rest of the last word becomes zero.
    fn write_payload(&self, at: usize, bytes: &[u8]);
    /// Whether the bytes at `at` (a multiple of 8) are these.
    fn payload_equals(&self, at: usize, bytes: &[u8]) -> bool;
    /// Copies `len` bytes (a multiple of 8) within the memory, between ranges that do not overlap.
    fn copy_payload(&self, from: usize, to: usize, len: usize);
}
