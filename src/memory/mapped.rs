//! The mapped file.

use core::sync::atomic::{AtomicU64, Ordering};
use std::fs::File;
use std::io;

use super::placed::Placed;
use super::{Extent, SharedHalf, SharedWord, copy};
use crate::fault;
use crate::protocol::Memory;

/// A shared, writable mapping of the start of a file. Children inherit it; core dumps leave it out.
///
/// Whoever shortens the file meanwhile makes the next access beyond its new end a SIGBUS.
#[derive(Debug)]
pub struct MappedMemory {
    /// Where the mapping starts: page-aligned and valid for the extent as long as `mapping` lives.
    base: *mut u8,
    /// How far it goes.
    extent: Extent,
    /// Unmaps when dropped.
    mapping: Placed,
}

// SAFETY: the mapping belongs to no thread, and its bytes are only used as atomics or by copies that allow for races (I2).
unsafe impl Send for MappedMemory {}
// SAFETY: as above: no method gives a plain reference to the bytes (I2).
unsafe impl Sync for MappedMemory {}

impl MappedMemory {
    /// Maps the first `len` bytes of `file`, a positive multiple of 8. With `prefault` all pages are allocated and mapped at
    /// once, so that a lack of memory is an error here and not a signal later.
    pub fn map(file: &File, len: usize, prefault: bool) -> io::Result<Self> {
        let Some(extent) = Extent::new(len) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the length to map is no positive multiple of 8"));
        };
        if file.metadata()?.len() < len as u64 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than the length to map"));
        }
        let mapping = Placed::map(file, len)?;
        let memory = Self { base: mapping.base(), extent, mapping };
        if prefault {
            memory.prefault()?;
        }
        Ok(memory)
    }

    /// Length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    #[inline]
    pub fn len(&self) -> usize {
        self.extent.len()
    }

    /// Allocates and maps every page.
    fn prefault(&self) -> io::Result<()> {
        match self.mapping.populate() {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                // Linux before 5.14.
                self.touch();
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Writes to every page, but changes nothing, whatever others do meanwhile.
    pub(super) fn touch(&self) {
        for at in (0..self.len()).step_by(4096) {
            // SAFETY: `at` is a multiple of 8 below the length, which is another (I1); used as an atomic (I2).
            let word = unsafe { &*self.base.add(at).cast::<AtomicU64>() };
            // Adding zero would not do: the compiler makes a mere load of it.
            let _ = word.compare_exchange(0, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Where `N` words at `at` start, after the check that they are inside (I1).
    #[inline(always)]
    fn few_words<const N: usize>(&self, at: usize) -> *mut u8 {
        self.extent.check_words::<N>(at);
        // SAFETY: `at` is less than the mapping's length, by the check above (I1).
        unsafe { self.base.add(at) }
    }

    /// Where the payload of `len` bytes at `at` starts, after the check that it is inside, padding included (I1).
    #[inline(always)]
    fn payload(&self, at: usize, len: usize) -> *mut u8 {
        self.extent.check_payload(at, len);
        // SAFETY: `at` is at most the mapping's length, by the check above (I1).
        unsafe { self.base.add(at) }
    }
}

impl Memory for MappedMemory {
    type Word = SharedWord;
    type Half = SharedHalf;

    #[inline(always)]
    fn word(&self, at: usize) -> &SharedWord {
        self.extent.check_word(at);
        // SAFETY: eight aligned bytes inside the mapping by the check above (I1), which lives as long as `self`; the type is a
        // transparent atomic for which any bits are valid (I2).
        unsafe { &*self.base.add(at).cast() }
    }

    #[inline(always)]
    fn words<const N: usize>(&self, at: usize) -> [&SharedWord; N] {
        let first = self.few_words::<N>(at).cast::<SharedWord>();
        // SAFETY: `N` words from the aligned `first` on are inside the mapping by the check in `few_words` (I1), which lives as
        // long as `self`; the type is a transparent atomic for which any bits are valid (I2).
        core::array::from_fn(|i| unsafe { &*first.add(i) })
    }

    #[cfg(all(target_arch = "x86_64", not(miri), not(shmemo_model)))]
    #[inline(always)]
    fn match_upper_halves<const N: usize>(&self, at: usize, mask: u32, wanted: u32) -> u32 {
        const { assert!(N == 8) };
        let from = self.few_words::<N>(at);
        // SAFETY: eight words from the word-aligned `from` on are inside the mapping (I1), and read by accesses of whole words (I2).
        unsafe { super::copy_x86_64::match_words::<true>(from, mask, wanted) }
    }

    #[cfg(all(target_arch = "x86_64", not(miri), not(shmemo_model)))]
    #[inline(always)]
    fn match_lower_halves<const N: usize>(&self, at: usize, wanted: u32) -> u32 {
        const { assert!(N == 8) };
        let from = self.few_words::<N>(at);
        // SAFETY: eight words from the word-aligned `from` on are inside the mapping (I1), and read by accesses of whole words (I2).
        unsafe { super::copy_x86_64::match_words::<false>(from, u32::MAX, wanted) }
    }

    #[cfg(all(target_arch = "x86_64", not(miri), not(shmemo_model)))]
    #[inline(always)]
    fn match_halves<const N: usize>(&self, at: usize, mask: u32, wanted: u32) -> u32 {
        const { assert!(N == 16) };
        let from = self.few_words::<8>(at);
        // SAFETY: sixteen halves from the word-aligned `from` on are inside the mapping (I1), and read by accesses of whole halves
        // (I2).
        unsafe { super::copy_x86_64::match_halves(from, mask, wanted) }
    }

    #[cfg(all(target_arch = "x86_64", not(miri), not(shmemo_model)))]
    #[inline(always)]
    fn halves<const N: usize>(&self, at: usize) -> [u32; N] {
        const { assert!(N == 16) };
        let from = self.few_words::<8>(at);
        // SAFETY: as for `match_halves`.
        let halves = unsafe { super::copy_x86_64::halves(from) };
        core::array::from_fn(|i| halves[i])
    }

    #[inline]
    fn half(&self, at: usize) -> &SharedHalf {
        self.extent.check_half(at);
        // SAFETY: four aligned bytes inside the mapping by the check above (I1), which lives as long as `self`; the type is a
        // transparent atomic for which any bits are valid (I2).
        unsafe { &*self.base.add(at).cast() }
    }

    #[inline]
    fn fence(&self, order: Ordering) {
        super::fence(order);
    }

    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[inline]
    fn fence_after_exchange(&self) {
        // A locked instruction orders everything before it against everything behind it.
        core::sync::atomic::compiler_fence(Ordering::SeqCst);
    }

    #[inline]
    fn pause(&self, attempt: u32) {
        super::pause(attempt);
    }

    #[inline]
    fn prefetch(&self, at: usize) {
        // Behind the end nothing happens.
        copy::prefetch(self.base.wrapping_add(at));
    }

    #[inline]
    fn read_payload(&self, at: usize, len: usize, out: &mut Vec<u8>) {
        let from = self.payload(at, len);
        // SAFETY: `len` bytes from the word-aligned `from`, padding included, are inside the mapping (I1).
        unsafe { copy::append_from_shared(from, len, out) }
    }

    #[inline(always)]
    fn read_payload_behind(&self, at: usize, prefix: &[u8], len: usize, out: &mut Vec<u8>) -> bool {
        let skipped = (prefix.len() + 7) & !7; // a slice has fewer than 2^63 bytes
        let from = self.payload(at, skipped.saturating_add(len));
        // SAFETY: the bytes from the word-aligned `from`, padding included, are inside the mapping (I1): those of `prefix` and
        // its padding, and `len` behind them, from a word on.
        unsafe {
            if !copy::equals_shared(from, prefix) {
                return false;
            }
            copy::append_from_shared(from.add(skipped), len, out);
        }
        true
    }

    #[cfg_attr(shmemo_fault, track_caller)]
    #[inline(always)]
    fn write_payload(&self, at: usize, bytes: &[u8]) {
        fault::point();
        let to = self.payload(at, bytes.len());
        // SAFETY: the bytes from the word-aligned `to`, padding included, are inside the mapping (I1) and written as relaxed
        // accesses (I2).
        unsafe { copy::copy_to_shared(bytes, to) }
    }

    #[inline(always)]
    fn payload_equals(&self, at: usize, bytes: &[u8]) -> bool {
        let from = self.payload(at, bytes.len());
        // SAFETY: the bytes from the word-aligned `from`, padding included, are inside the mapping (I1) and read as relaxed
        // words (I2).
        unsafe { copy::equals_shared(from, bytes) }
    }

    #[cfg_attr(shmemo_fault, track_caller)]
    #[inline]
    fn copy_payload(&self, from: usize, to: usize, len: usize) {
        fault::point();
        assert!(len.is_multiple_of(8), "a copy within the memory is of whole words");
        let (source, target) = (self.payload(from, len), self.payload(to, len));
        // SAFETY: both ranges are word-aligned, of whole words and inside the mapping (I1), and copied as relaxed accesses (I2).
        unsafe { copy::copy_within_shared(source, target, len) }
    }
}
